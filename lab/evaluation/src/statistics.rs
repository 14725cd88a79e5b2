//! Estimates with their 95% intervals, and entropies of predictions.

use std::fmt;

use judge::proportion::Z_95;
use judge::{Prediction, Question, Subject};
use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// The median of some values, with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Median {
    /// The median.
    pub value: f64,
    /// The interval that the values' ranks give, whatever their distribution; none of fewer than six values.
    pub interval: Option<(f64, f64)>,
    /// The number of values.
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

/// A statistic of some examples, such as a difference, with its 95% bootstrap interval.
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

/// The bootstrap (Efron 1979) of a statistic of `count` examples, by `times` samples of them with replacement. `statistic` gets
/// the rows of the examples, i64; it is NaN where it is not defined.
pub fn bootstrap(count: usize, times: usize, statistic: impl Fn(&Tensor) -> f64) -> Estimate {
    let all = Tensor::arange(count as i64, (Kind::Int64, Device::Cpu));
    let generator = &mut Generator::new(0);
    let mut resample =
        || -> Vec<i64> { (0..count).map(|_| generator.below(count as u64) as i64).collect() };
    let mut values: Vec<f64> =
        (0..times).map(|_| statistic(&Tensor::from_slice(&resample()))).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((times - 1) as f64 * share).round() as usize];
    Estimate { value: statistic(&all), interval: (at(0.025), at(0.975)) }
}

/// The bootstrap of the mean difference of paired values.
pub fn paired_difference(one: &[f64], other: &[f64]) -> Estimate {
    let differences: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
    let differences = Tensor::from_slice(&differences);
    bootstrap(one.len(), 2000, |rows| {
        differences.index_select(0, rows).mean(Kind::Double).double_value(&[])
    })
}

/// The bootstrap of the sum of some values over that of as many others, of the same examples.
pub fn ratio_of_sums(values: &[f64], others: &[f64]) -> Estimate {
    let [numerator, denominator] = [values, others].map(Tensor::from_slice);
    let sum =
        |of: &Tensor, rows: &Tensor| of.index_select(0, rows).sum(Kind::Double).double_value(&[]);
    bootstrap(values.len(), 2000, |rows| sum(&numerator, rows) / sum(&denominator, rows))
}

/// The entropy in nats of the distribution that these counts give: 0 where one class holds everything or nothing is counted.
pub fn entropy(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let terms = counts.iter().filter(|&&c| c > 0).map(|&c| c as f64 / total as f64);
    terms.map(|p| -p * p.ln()).sum::<f64>().max(0.0)
}

/// The counts of the answers to one question in some predictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerCounts {
    /// For each answer.
    pub named: Vec<u64>,
    /// For 'none of these'.
    pub none: u64,
}

impl AnswerCounts {
    /// Counts the answers to a question about scenes.
    pub fn of(predictions: &[Prediction], question: Question) -> Self {
        let mut answers = Self { named: vec![0; Subject::Scene.answers(question)], none: 0 };
        for prediction in predictions {
            match prediction.answer(question) {
                Some(answer) => answers.named[answer] += 1,
                None => answers.none += 1,
            }
        }
        answers
    }

    /// The entropy in nats of the named answers times their share: 'none of these' is no variety.
    pub fn variety(&self) -> f64 {
        let named: u64 = self.named.iter().sum();
        if named == 0 {
            0.0
        } else {
            entropy(&self.named) * named as f64 / (named + self.none) as f64
        }
    }
}

/// The summed variety of answers over the summed entropies of `reference`, one each a caption. `None` where the reference does not vary.
pub fn entropy_ratio(answers: &[AnswerCounts], reference: &[f64]) -> Option<f64> {
    let possible: f64 = reference.iter().sum();
    (possible > 0.0).then(|| answers.iter().map(AnswerCounts::variety).sum::<f64>() / possible)
}
