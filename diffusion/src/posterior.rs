//! The distribution that a step draws from, apart from the noise that draws it.

use crate::prediction::Coefficient;
use tch::Tensor;

/// The normal distribution of the x that a step arrives at.
#[derive(Debug)]
pub struct Posterior {
    /// Its mean [B, ...].
    pub mean: Tensor,
    /// Its standard deviation; `None` where the step adds no noise.
    pub deviation: Option<Deviation>,
}

/// A standard deviation.
#[derive(Debug)]
pub enum Deviation {
    /// One of all values.
    Scalar(f64),
    /// Each value's own, [B, ...].
    Learned(Tensor),
}

impl Posterior {
    /// A value of the distribution, by standard noise in the shape of the mean: it is drawn where there is a deviation.
    pub fn draw(self, noise: impl FnOnce() -> Tensor) -> Tensor {
        match self.deviation {
            None => self.mean,
            Some(Deviation::Scalar(deviation)) => self.mean + deviation * noise(),
            Some(Deviation::Learned(deviation)) => self.mean + deviation * noise(),
        }
    }
}

impl Deviation {
    /// The variance times `x` [B, ...].
    pub fn variance_times(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Scalar(deviation) => x * (deviation * deviation),
            Self::Learned(deviation) => deviation.square() * x,
        }
    }
}

/// The logarithm [B, ...] of a learned variance: `output` [B, ...] is -1 for the posterior's and 1 for beta, and
/// v = (output + 1) / 2 lies between them (2102.09672, equation 15).
pub(crate) fn learned_log_variance<C: Coefficient>(
    output: &Tensor,
    log_posterior_variance: &C,
    log_beta: &C,
) -> Tensor {
    let v: Tensor = (output + 1.0) / 2.0;
    log_beta.times(&v) + log_posterior_variance.times(&(1.0 - &v))
}
