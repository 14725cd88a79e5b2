//! Hypothesis tests: whether a difference is larger than a margin, by its 95% interval.

use evaluation::statistics::Estimate;
use serde::{Deserialize, Serialize};

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval lies above the margin.
    Holds,
    /// The whole interval lies below it.
    DoesNotHold,
    /// The margin lies within it, or there is none.
    Inconclusive,
}

impl Verdict {
    /// The outcome for an estimate.
    pub fn of(estimate: &Estimate, margin: f64) -> Self {
        match estimate.interval {
            (low, _) if low > margin => Self::Holds,
            (_, high) if high < margin => Self::DoesNotHold,
            _ => Self::Inconclusive,
        }
    }

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::Inconclusive => "cannot be told",
        }
    }
}

/// A claim and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Its name in `docs/claims.md`.
    pub name: String,
    /// The comparison.
    pub compared: String,
    /// The estimate; none where it cannot be tested here.
    pub found: Option<Estimate>,
    /// The outcome.
    pub verdict: Verdict,
}

impl Claim {
    /// A claim that a difference is larger than 0.
    pub(crate) fn test(name: &str, compared: &str, estimate: Estimate) -> Self {
        Self::test_margin(name, compared, estimate, 0.0)
    }

    /// A claim that an estimate is larger than a margin.
    pub(crate) fn test_margin(name: &str, compared: &str, estimate: Estimate, margin: f64) -> Self {
        Self {
            name: name.to_owned(),
            compared: compared.to_owned(),
            found: Some(estimate).filter(|estimate| !estimate.value.is_nan()),
            verdict: Verdict::of(&estimate, margin),
        }
    }

    /// A claim that cannot be tested here, and why.
    pub(crate) fn untested(name: &str, why: &str) -> Self {
        let verdict = Verdict::Inconclusive;
        Self { name: name.to_owned(), compared: why.to_owned(), found: None, verdict }
    }
}
