//! DDPM (2006.11239): the ancestral sampler, which may skip timesteps.

use crate::posterior::learned_log_variance;
use crate::{Deviation, Posterior, Schedule, SchedulerConfig, Step, Variance};
use num_traits::Float;
use tch::Tensor;

/// An ancestral sampler, whose coefficients are computed in the tables' own precision.
#[derive(Clone, Debug)]
pub struct Ddpm<F = f64> {
    /// The settings of the checkpoint's scheduler.
    pub config: SchedulerConfig,
    /// Its tables.
    pub schedule: Schedule<F>,
}

impl<F: Float + Into<f64>> Ddpm<F> {
    /// p(x_previous | x_t) for a predicted `x_0` [B, ...] (2006.11239, equations 7 and 15). `variance` [B, ...] is the
    /// network's, which a config with a learned range needs. The last step has no deviation.
    pub fn posterior(
        &self,
        x_0: &Tensor,
        variance: Option<&Tensor>,
        step: Step,
        x_t: &Tensor,
    ) -> Posterior {
        let c = self.schedule.posterior(step);
        let mean = x_0 * c.mean_of_x_0.into() + x_t * c.mean_of_x_t.into();
        let deviation = (!step.is_last()).then(|| match self.config.variance {
            Variance::FixedSmallLog => {
                let two = F::one() + F::one();
                Deviation::Scalar((c.log_variance / two).exp().into())
            }
            Variance::FixedSmall => Deviation::Scalar(c.variance.sqrt().into()),
            Variance::LearnedRange => learned(variance, c.log_variance, c.log_beta),
        });
        Posterior { mean, deviation }
    }

    /// The deviation of the last `step` by which guidance moves its mean, though the step adds no noise: between beta and the
    /// posterior's variance in the step `before`, as its own is 0 (guided-diffusion's `posterior_log_variance_clipped`).
    /// `None` where the variance is not learned, or no step came before.
    pub(crate) fn last_deviation(
        &self,
        variance: Option<&Tensor>,
        step: Step,
        before: Option<&Step>,
    ) -> Option<Deviation> {
        let before = before.filter(|_| self.config.variance == Variance::LearnedRange)?;
        let log_variance = self.schedule.posterior(*before).log_variance;
        Some(learned(variance, log_variance, self.schedule.posterior(step).log_beta))
    }
}

/// The deviation that a network's `variance` [B, ...] means.
fn learned<F: Float + Into<f64>>(
    variance: Option<&Tensor>,
    log_posterior_variance: F,
    log_beta: F,
) -> Deviation {
    let output = variance.expect("a learned variance");
    let log_variance =
        learned_log_variance(output, &log_posterior_variance.into(), &log_beta.into());
    Deviation::Learned((log_variance * 0.5).exp())
}
