//! Binomial proportions with their intervals.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The normal quantile of a two-sided 95% interval.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// The proportion of right answers, as counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// Right answers.
    pub right: u64,
    /// All answers.
    #[serde(rename = "asked")]
    pub total: u64,
}

impl Proportion {
    /// Counts one more answer.
    pub fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.total += 1;
    }

    /// The proportion, from 0 to 1, or `None` of no answers.
    pub fn value(self) -> Option<f64> {
        (self.total > 0).then(|| self.right as f64 / self.total as f64)
    }

    /// Wilson's 95% interval (Wilson 1927); `[0, 1]` of no answers.
    ///
    /// It stays within `[0, 1]` and is honest near the ends, where the accuracies of a good judge lie.
    pub fn interval(self) -> (f64, f64) {
        let Some(value) = self.value() else {
            return (0.0, 1.0);
        };
        let n = self.total as f64;
        let z2 = Z_95 * Z_95;
        let centre = (value + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z_95 * (value * (1.0 - value) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

impl FromIterator<bool> for Proportion {
    fn from_iter<I: IntoIterator<Item = bool>>(answers: I) -> Self {
        let mut proportion = Self::default();
        answers.into_iter().for_each(|right| proportion.add(right));
        proportion
    }
}

impl fmt::Display for Proportion {
    /// Such as `61.0% (54.1 to 67.5), n 200`; the proportion itself with one decimal, or as many as `{:.2}` asks for.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = self.value() else {
            return formatter.write_str("not asked");
        };
        let (low, high) = self.interval();
        let [value, low, high] = [value, low, high].map(|part| 100.0 * part);
        let decimals = formatter.precision().unwrap_or(1);
        write!(formatter, "{value:.decimals$}% ({low:.1} to {high:.1}), n {}", self.total)
    }
}
