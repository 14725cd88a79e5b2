//! The settings of a checkpoint's scheduler.

use crate::{BetaSchedule, NoiseLevel, Output, Prediction, TimestepSpacing};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The settings of a checkpoint's scheduler: its schedule, and how a network's output is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// The timesteps that the network was trained with.
    pub train_timesteps: usize,
    /// The variances that the timesteps add.
    #[serde(default)]
    pub beta_schedule: BetaSchedule,
    /// The timesteps that a number of steps visits.
    #[serde(default, skip_serializing_if = "TimestepSpacing::is_linspace")]
    pub timestep_spacing: TimestepSpacing,
    /// The quantity that the network predicts.
    pub prediction: Prediction,
    /// The variance of the noise that an ancestral step adds.
    pub variance: Variance,
    /// A predicted x_0 is clipped to plus and minus this; `None` leaves it as it is.
    pub clip_range: Option<f64>,
}

/// The variance of an ancestral step's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// The posterior's, the smallest that makes sense, whose deviation is computed of its logarithm.
    FixedSmallLog,
    /// The posterior's, whose deviation is its root: the same but for rounding.
    FixedSmall,
    /// Between the posterior's and beta, as the network says (2102.09672, equation 15).
    LearnedRange,
}

impl SchedulerConfig {
    /// The x_0 [B, ...] of a network's output for x_t, clipped.
    pub(crate) fn x_0(&self, output: &Output, x_t: &Tensor, level: &NoiseLevel) -> Tensor {
        self.clip(self.prediction.x_0(&output.prediction, x_t, level))
    }

    /// A predicted x_0 [B, ...], clipped.
    pub fn clip(&self, x_0: Tensor) -> Tensor {
        match self.clip_range {
            Some(range) => x_0.clamp(-range, range),
            None => x_0,
        }
    }

    /// The eps [B, ...] of a network's output for x_t, or of the x_0 that was made of it where that was `changed`.
    pub(crate) fn eps(
        &self,
        output: &Output,
        x_t: &Tensor,
        level: &NoiseLevel,
        changed: Option<&Tensor>,
    ) -> Tensor {
        match changed {
            Some(x_0) => level.eps(x_t, x_0),
            None => self.prediction.eps(&output.prediction, x_t, level),
        }
    }
}
