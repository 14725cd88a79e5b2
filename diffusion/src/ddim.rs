//! DDIM (2010.02502): a sampler of our own, over a schedule in f64.

use crate::sampler::walk;
use crate::{Output, Prediction, Schedule, Step};
use tch::Tensor;

/// A DDIM sampler. With `eta` 0 it draws no noise and can be run backwards; with `eta` 1 it
/// has the posterior's variance, as DDPM has.
#[derive(Clone, Debug)]
pub struct DdimSampler {
    /// The schedule that the network was trained with.
    pub schedule: Schedule,
    /// What the network predicts.
    pub prediction: Prediction,
    /// A predicted x_0 is clipped to plus and minus this; `None` leaves it as it is.
    pub clip_range: Option<f64>,
    /// How much of the posterior's standard deviation is drawn anew in each step.
    pub eta: f64,
}

impl DdimSampler {
    /// The previous x given x_t and the network's answer (equation 12).
    ///
    /// `noise` has the shape of x_t. With an `eta` above 0 every step but the last needs it.
    pub fn step(
        &self,
        output: &Output,
        step: Step,
        x_t: &Tensor,
        noise: Option<&Tensor>,
    ) -> Tensor {
        let alpha_bar = self.schedule.alpha_bar(Some(step.timestep));
        let alpha_bar_previous = self.schedule.alpha_bar(step.previous);
        let posterior_variance =
            (1.0 - alpha_bar_previous) / (1.0 - alpha_bar) * (1.0 - alpha_bar / alpha_bar_previous);
        let deviation = self.eta * posterior_variance.sqrt();
        let kept = (1.0 - alpha_bar_previous - deviation * deviation).max(0.0);
        let (clean, eps) = self.clean_and_eps(output, alpha_bar, x_t);
        let mean = clean * alpha_bar_previous.sqrt() + eps * kept.sqrt();
        if !self.draws_noise(step) {
            return mean;
        }
        mean + deviation * noise.expect("with an eta above 0 a step adds noise")
    }

    /// The x_t from which the step with `eta` 0 arrives at `x`, if the network's answer for that x_t is `output`.
    ///
    /// The answer must be a predicted noise where the step ends at the clean picture: of x_0 alone none can be told.
    pub fn invert(&self, output: &Output, step: Step, x: &Tensor) -> Tensor {
        let alpha_bar = self.schedule.alpha_bar(Some(step.timestep));
        let (clean, eps) = self.clean_and_eps(output, self.schedule.alpha_bar(step.previous), x);
        clean * alpha_bar.sqrt() + eps * (1.0 - alpha_bar).sqrt()
    }

    fn draws_noise(&self, step: Step) -> bool {
        self.eta > 0.0 && !step.is_last()
    }

    /// The x_0 that the answer means, clipped, and the eps that goes with it.
    fn clean_and_eps(&self, output: &Output, alpha_bar: f64, x_t: &Tensor) -> (Tensor, Tensor) {
        let (sqrt_alpha_bar, sqrt_one_minus_alpha_bar) =
            (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        let eps_of = |clean: &Tensor| (x_t - sqrt_alpha_bar * clean) / sqrt_one_minus_alpha_bar;
        let prediction = output.prediction.shallow_clone();
        let (clean, eps) = match self.prediction {
            Prediction::Epsilon => {
                ((x_t - sqrt_one_minus_alpha_bar * &prediction) / sqrt_alpha_bar, prediction)
            }
            Prediction::Sample => {
                let eps = eps_of(&prediction);
                (prediction, eps)
            }
        };
        match self.clip_range {
            Some(range) => {
                let clean = clean.clamp(-range, range);
                let eps = eps_of(&clean);
                (clean, eps)
            }
            None => (clean, eps),
        }
    }
}

/// Draws x_0 from noise by DDIM; the arguments are those of [`ddpm`](crate::sampler::ddpm),
/// and `noise` is called only where `eta` is above 0.
pub fn ddim(
    sampler: &DdimSampler,
    steps: &[Step],
    x_t: Tensor,
    denoise: impl FnMut(&Tensor, Step) -> Output,
    mut noise: impl FnMut() -> Tensor,
    progress: impl FnMut(usize),
) -> Tensor {
    let update = |output: &Output, step: Step, x_t: &Tensor| {
        let noise = sampler.draws_noise(step).then(&mut noise);
        sampler.step(output, step, x_t, noise.as_ref())
    };
    walk(steps, x_t, denoise, update, progress)
}

/// The x_T from which [`ddim`] with `eta` 0 draws `x_0`.
///
/// The answer for an x_t that is not known yet is first taken from the step before, and then asked again for the x_t
/// that it led to, until each step has asked the denoiser `calls` times: a fixed point of the step, where more than one
/// call is spent on it. With one call this is the inversion of 2105.05233, appendix F. `progress` hears how many steps
/// are done.
pub fn ddim_inverse(
    sampler: &DdimSampler,
    steps: &[Step],
    x_0: Tensor,
    calls: usize,
    mut denoise: impl FnMut(&Tensor, Step) -> Output,
    mut progress: impl FnMut(usize),
) -> Tensor {
    let mut x = x_0;
    let mut answer = None;
    for (done, &step) in steps.iter().rev().enumerate() {
        let mut x_t = match &answer {
            Some(output) => sampler.invert(output, step, &x),
            None => x.shallow_clone(), // nearly the x_0 that it is made of
        };
        for _ in 0..calls {
            let output = denoise(&x_t, step);
            x_t = sampler.invert(&output, step, &x);
            answer = Some(output);
        }
        x = x_t;
        progress(done + 1);
    }
    x
}
