//! DDIM (2010.02502), and its inversion.

use crate::{Deviation, Output, Posterior, Schedule, SchedulerConfig, Step};
use std::ops::ControlFlow;
use tch::Tensor;

/// A DDIM sampler over a schedule in f64. With `eta` 0 it draws no noise and can be run backwards; with `eta` 1 it
/// has the posterior's variance, as DDPM has.
#[derive(Clone, Debug)]
pub struct Ddim {
    /// The settings of the checkpoint's scheduler, whose variance is not read.
    pub config: SchedulerConfig,
    /// Its schedule.
    pub schedule: Schedule,
    /// The factor of the posterior's standard deviation that each step draws anew.
    pub eta: f64,
}

impl Ddim {
    /// The sampler of a checkpoint's scheduler.
    pub fn new(config: &SchedulerConfig, eta: f64) -> Self {
        Self { config: config.clone(), schedule: Schedule::of(config), eta }
    }

    /// The distribution of the previous x for a predicted `x_0` and `eps` (equation 12).
    pub fn posterior(&self, x_0: &Tensor, eps: &Tensor, step: Step) -> Posterior {
        let alpha_bar = self.schedule.alpha_bar(Some(step.timestep));
        let alpha_bar_previous = self.schedule.alpha_bar(step.previous);
        let posterior_variance =
            (1.0 - alpha_bar_previous) / (1.0 - alpha_bar) * (1.0 - alpha_bar / alpha_bar_previous);
        let deviation = self.eta * posterior_variance.sqrt();
        let direction = (1.0 - alpha_bar_previous - deviation * deviation).max(0.0);
        Posterior {
            mean: x_0 * alpha_bar_previous.sqrt() + eps * direction.sqrt(),
            deviation: (self.eta > 0.0 && !step.is_last()).then_some(Deviation::Scalar(deviation)),
        }
    }

    /// The x_t from which the step with `eta` 0 arrives at `x`, if the network's output for that x_t is `output`.
    ///
    /// The output must be eps or v where the step ends at x_0, whose noise an x_0 alone does not say.
    pub fn invert(&self, output: &Output, step: Step, x: &Tensor) -> Tensor {
        let level = self.schedule.level(step.previous);
        let x_0 = self.config.x_0(output, x, &level);
        let eps = self.config.eps(output, x, &level, self.config.clip_range.map(|_| &x_0));
        self.schedule.level(Some(step.timestep)).x_t(&x_0, &eps)
    }
}

/// The x_T from which DDIM with `eta` 0 draws `x_0`; `None` where `observe` stopped it.
///
/// The output for an x_t that is not known yet is first taken from the step before, and then computed for the x_t
/// that it led to, until each step has called the denoiser `calls` times: a fixed point of the step, where more than one
/// call is spent on it. With one call this is the inversion of 2105.05233, appendix F. `observe` hears how many steps
/// are done, and their x_t.
pub fn ddim_inverse(
    sampler: &Ddim,
    steps: &[Step],
    x_0: Tensor,
    calls: usize,
    mut denoise: impl FnMut(&Tensor, Step) -> Output,
    mut observe: impl FnMut(usize, &Tensor) -> ControlFlow<()>,
) -> Option<Tensor> {
    let mut x = x_0;
    let mut last_output = None;
    for (done, &step) in steps.iter().rev().enumerate() {
        let mut x_t = match &last_output {
            Some(output) => sampler.invert(output, step, &x),
            None => x.shallow_clone(), // nearly the x_0 that it is made of
        };
        for _ in 0..calls {
            let output = denoise(&x_t, step);
            x_t = sampler.invert(&output, step, &x);
            last_output = Some(output);
        }
        x = x_t;
        if observe(done + 1, &x).is_break() {
            return None;
        }
    }
    Some(x)
}
