//! Counts of verdicts: shares and other figures with their intervals, and entropies.

use std::fmt;

use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::questions::Question;
use crate::{Error, Reading};

/// The normal quantile of a two-sided 95% interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// How many of some verdicts were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The right ones.
    pub right: u64,
    /// All of them.
    pub asked: u64,
}

impl Tally {
    /// Counts one more verdict.
    pub fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.asked += 1;
    }

    /// The share of right ones, or `None` where nothing was asked.
    pub fn share(self) -> Option<f64> {
        (self.asked > 0).then(|| self.right as f64 / self.asked as f64)
    }

    /// Wilson's 95% interval for the share (Wilson 1927); `[0, 1]` where nothing was asked.
    ///
    /// It stays within `[0, 1]` and is honest near the ends, where the shares of a good judge lie.
    pub fn interval(self) -> (f64, f64) {
        if self.asked == 0 {
            return (0.0, 1.0);
        }
        let n = self.asked as f64;
        let share = self.right as f64 / n;
        let z2 = Z_95 * Z_95;
        let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z_95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

/// The median of some values, with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Median {
    /// The median.
    pub value: f64,
    /// The interval that the values' ranks give, whatever their distribution; below six values there is none.
    pub interval: Option<(f64, f64)>,
    /// How many values there are.
    pub count: usize,
}

impl Median {
    /// Of at least one value. The interval's ends are the values whose ranks a fair coin's heads stay between.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let half = Z_95 * (n as f64).sqrt() / 2.0;
        let below = (n as f64 / 2.0 - half).floor().max(1.0) as usize;
        Self {
            value: (values[(n - 1) / 2] + values[n / 2]) / 2.0,
            interval: (n >= 6).then(|| (values[below - 1], values[n - below])),
            count: n,
        }
    }
}

impl fmt::Display for Median {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, count) = (self.value, self.count);
        match self.interval {
            Some((low, high)) => {
                write!(formatter, "{value:.1} ({low:.1} to {high:.1}), n {count}")
            }
            None => write!(formatter, "{value:.1}, n {count}"),
        }
    }
}

/// A figure over some examples, such as a difference, and the 95% interval that resampling them gives it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Over all examples.
    pub value: f64,
    /// The 2.5th and the 97.5th percentile over samples with replacement.
    pub interval: (f64, f64),
}

impl Estimate {
    /// A share, in percent.
    pub fn percent(self) -> Self {
        let (low, high) = self.interval;
        Self { value: 100.0 * self.value, interval: (100.0 * low, 100.0 * high) }
    }
}

impl fmt::Display for Estimate {
    /// With its sign where `{:+}` asks for it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, (low, high)) = (self.value, self.interval);
        match formatter.sign_plus() {
            true => write!(formatter, "{value:+.2} ({low:+.2} to {high:+.2})"),
            false => write!(formatter, "{value:.2} ({low:.2} to {high:.2})"),
        }
    }
}

/// A figure over `count` examples, and over `times` samples of them with replacement (Efron 1979). `figure` gets the rows of
/// the examples. NaN where it is not defined.
pub fn resampled(
    count: usize,
    times: usize,
    figure: impl Fn(&Tensor) -> Result<f64, Error>,
) -> Estimate {
    let all = Tensor::arange(count as i64, (Kind::Int64, Device::Cpu));
    let generator = &mut Generator::new(0);
    let defined = |rows: &Tensor| figure(rows).unwrap_or(f64::NAN);
    let mut found: Vec<f64> = (0..times)
        .map(|_| {
            let rows: Vec<i64> = (0..count).map(|_| generator.below(count as u64) as i64).collect();
            defined(&Tensor::from_slice(&rows))
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let at = |share: f64| found[((times - 1) as f64 * share).round() as usize];
    Estimate { value: defined(&all), interval: (at(0.025), at(0.975)) }
}

/// The entropy, in nats, of the shares that these counts are: 0 where one class holds everything or nothing is counted.
pub fn entropy(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let terms = counts.iter().filter(|&&c| c > 0).map(|&c| c as f64 / total as f64);
    terms.map(|p| -p * p.ln()).sum::<f64>().max(0.0)
}

/// How often each answer was given to one question about some pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// For each answer.
    pub named: Vec<u64>,
    /// For 'none of these'.
    pub none: u64,
}

impl Answers {
    /// What some readings answer to a question.
    pub fn of(readings: &[Reading], question: Question) -> Self {
        let mut answers = Self { named: vec![0; question.answers()], none: 0 };
        for reading in readings {
            match reading.answer(question) {
                Some(answer) => answers.named[answer] += 1,
                None => answers.none += 1,
            }
        }
        answers
    }

    /// The entropy of the named answers times their share: to see none of these is no variety.
    pub fn variety(&self) -> f64 {
        let named: u64 = self.named.iter().sum();
        if named == 0 {
            0.0
        } else {
            entropy(&self.named) * named as f64 / (named + self.none) as f64
        }
    }
}

/// How varied answers are beside a reference: their summed variety over the summed entropies of `reference`, one each a
/// caption. `None` where the reference does not vary.
pub fn entropy_ratio(answers: &[Answers], reference: &[f64]) -> Option<f64> {
    let possible: f64 = reference.iter().sum();
    (possible > 0.0).then(|| answers.iter().map(Answers::variety).sum::<f64>() / possible)
}
