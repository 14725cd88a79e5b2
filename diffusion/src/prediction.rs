//! Parameterisations: x_0 and eps of a network's output, and the output that a network should give.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The quantity that a network predicts of x_t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// eps, the noise in it.
    Epsilon,
    /// x_0, the clean image or embedding.
    Sample,
    /// v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (2202.00512, section 4).
    #[serde(rename = "v_prediction")]
    V,
}

impl Prediction {
    /// The x_0 [B, ...] that a network's `output` [B, ...] for x_t means.
    pub fn x_0<C: Coefficient>(
        self,
        output: &Tensor,
        x_t: &Tensor,
        level: &NoiseLevel<C>,
    ) -> Tensor {
        match self {
            Self::Epsilon => level.x_0(x_t, output),
            Self::Sample => output.shallow_clone(),
            Self::V => {
                level.sqrt_alpha_bar.times(x_t) - level.sqrt_one_minus_alpha_bar.times(output)
            }
        }
    }

    /// The eps [B, ...] that a network's `output` [B, ...] for x_t means.
    pub fn eps<C: Coefficient>(
        self,
        output: &Tensor,
        x_t: &Tensor,
        level: &NoiseLevel<C>,
    ) -> Tensor {
        match self {
            Self::Epsilon => output.shallow_clone(),
            Self::Sample => level.eps(x_t, output),
            Self::V => {
                level.sqrt_alpha_bar.times(output) + level.sqrt_one_minus_alpha_bar.times(x_t)
            }
        }
    }

    /// The output [B, ...] that a network should give for the x_t of `x_0` and `eps`, its target in training.
    pub fn target<C: Coefficient>(
        self,
        x_0: &Tensor,
        eps: &Tensor,
        level: &NoiseLevel<C>,
    ) -> Tensor {
        match self {
            Self::Epsilon => eps.shallow_clone(),
            Self::Sample => x_0.shallow_clone(),
            Self::V => level.sqrt_alpha_bar.times(eps) - level.sqrt_one_minus_alpha_bar.times(x_0),
        }
    }
}

/// The mix of x_0 and eps that x_t is: numbers of one timestep, or tensors [B, 1, ...] of each row's own.
#[derive(Clone, Debug)]
pub struct NoiseLevel<C = f64> {
    /// The factor of x_0.
    pub sqrt_alpha_bar: C,
    /// The factor of eps.
    pub sqrt_one_minus_alpha_bar: C,
}

impl<C: Coefficient> NoiseLevel<C> {
    /// x_t of `x_0` and `eps` (2006.11239, equation 4).
    pub fn x_t(&self, x_0: &Tensor, eps: &Tensor) -> Tensor {
        self.sqrt_alpha_bar.times(x_0) + self.sqrt_one_minus_alpha_bar.times(eps)
    }

    /// x_0 of `x_t` and `eps`: [`NoiseLevel::x_t`] solved for it.
    pub fn x_0(&self, x_t: &Tensor, eps: &Tensor) -> Tensor {
        self.sqrt_alpha_bar.divide(&(x_t - self.sqrt_one_minus_alpha_bar.times(eps)))
    }

    /// eps of `x_t` and `x_0`: [`NoiseLevel::x_t`] solved for it.
    pub fn eps(&self, x_t: &Tensor, x_0: &Tensor) -> Tensor {
        self.sqrt_one_minus_alpha_bar.divide(&(x_t - self.sqrt_alpha_bar.times(x_0)))
    }
}

/// A factor of tensors [B, ...]: a number, or a tensor [B, 1, ...] of each row's own.
pub trait Coefficient {
    /// `x` times this.
    fn times(&self, x: &Tensor) -> Tensor;
    /// `x` divided by this.
    fn divide(&self, x: &Tensor) -> Tensor;
}

impl Coefficient for f64 {
    fn times(&self, x: &Tensor) -> Tensor {
        x * *self
    }

    fn divide(&self, x: &Tensor) -> Tensor {
        x / *self
    }
}

impl Coefficient for Tensor {
    fn times(&self, x: &Tensor) -> Tensor {
        self * x
    }

    fn divide(&self, x: &Tensor) -> Tensor {
        x / self
    }
}
