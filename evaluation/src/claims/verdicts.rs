//! Differences with their intervals, and what follows from them.

use std::fmt;

use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::Error;

/// A difference, and the 95% interval that resampling gives it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Over everything that was drawn.
    pub value: f64,
    /// The 2.5th and the 97.5th percentile over samples with replacement.
    pub interval: (f64, f64),
}

/// What a difference says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval lies above the margin.
    Holds,
    /// The whole interval lies below it.
    DoesNotHold,
    /// The margin lies within it, or there is none.
    CannotBeTold,
}

impl Verdict {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::CannotBeTold => "cannot be told",
        }
    }
}

impl Difference {
    /// Of shares, in percent.
    pub fn percent(self) -> Self {
        let (low, high) = self.interval;
        Self {
            value: 100.0 * self.value,
            interval: (100.0 * low, 100.0 * high),
        }
    }

    /// Whether it is larger than `margin`.
    pub fn verdict(&self, margin: f64) -> Verdict {
        match self.interval {
            (low, _) if low > margin => Verdict::Holds,
            (_, high) if high < margin => Verdict::DoesNotHold,
            _ => Verdict::CannotBeTold,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval;
        write!(formatter, "{:+.2} ({low:+.2} to {high:+.2})", self.value)
    }
}

/// The mean of the differences of paired values.
pub fn paired(one: &[f64], other: &[f64]) -> Difference {
    let differences: Vec<f64> = one
        .iter()
        .zip(other)
        .map(|(one, other)| one - other)
        .collect();
    let differences = Tensor::from_slice(&differences);
    let mean = |rows: &Tensor| {
        Ok(differences
            .index_select(0, rows)
            .mean(tch::Kind::Double)
            .double_value(&[]))
    };
    resampled(one.len(), 2000, mean)
}

/// A figure over `count` examples, and over `times` samples of them with replacement (Efron 1979). `figure` gets the rows of
/// the examples. NaN where it is not defined.
pub fn resampled(
    count: usize,
    times: usize,
    figure: impl Fn(&Tensor) -> Result<f64, Error>,
) -> Difference {
    let all = Tensor::arange(count as i64, (tch::Kind::Int64, tch::Device::Cpu));
    let generator = &mut Generator::new(0);
    let defined = |rows: &Tensor| figure(rows).unwrap_or(f64::NAN);
    let mut found: Vec<f64> = (0..times)
        .map(|_| {
            let rows: Vec<i64> = (0..count)
                .map(|_| generator.below(count as u64) as i64)
                .collect();
            defined(&Tensor::from_slice(&rows))
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let at = |share: f64| found[((times - 1) as f64 * share).round() as usize];
    Difference {
        value: defined(&all),
        interval: (at(0.025), at(0.975)),
    }
}
