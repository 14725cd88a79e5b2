//! Differences with their intervals, and what follows from them.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::statistics::{Estimate, resampled};

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

impl Estimate {
    /// Whether it is larger than `margin`.
    pub fn verdict(&self, margin: f64) -> Verdict {
        match self.interval {
            (low, _) if low > margin => Verdict::Holds,
            (_, high) if high < margin => Verdict::DoesNotHold,
            _ => Verdict::CannotBeTold,
        }
    }
}

/// The mean of the differences of paired values.
pub fn paired(one: &[f64], other: &[f64]) -> Estimate {
    let differences: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
    let differences = Tensor::from_slice(&differences);
    let mean = |rows: &Tensor| {
        Ok(differences.index_select(0, rows).mean(tch::Kind::Double).double_value(&[]))
    };
    resampled(one.len(), 2000, mean)
}
