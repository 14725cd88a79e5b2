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

    /// The x of the next, noisier timestep: the step with `eta` 0 run backwards, taking the
    /// answer for x at `step.previous` for the answer at `step.timestep`.
    ///
    /// `x` is at `step.previous`, which must be a timestep: there is no answer for the clean
    /// picture, so an inversion starts by taking x_0 for the x of the earliest one.
    pub fn invert(&self, output: &Output, step: Step, x: &Tensor) -> Tensor {
        let from = step.previous.expect("an inversion starts at a timestep");
        let alpha_bar_next = self.schedule.alpha_bar(Some(step.timestep));
        let (clean, eps) = self.clean_and_eps(output, self.schedule.alpha_bar(Some(from)), x);
        clean * alpha_bar_next.sqrt() + eps * (1.0 - alpha_bar_next).sqrt()
    }

    fn draws_noise(&self, step: Step) -> bool {
        self.eta > 0.0 && !step.is_last()
    }

    /// The x_0 that the answer means, clipped, and the eps that goes with it.
    fn clean_and_eps(&self, output: &Output, alpha_bar: f64, x_t: &Tensor) -> (Tensor, Tensor) {
        let (clean_share, noise_share) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        let eps_of = |clean: &Tensor| (x_t - clean_share * clean) / noise_share;
        let prediction = output.prediction.shallow_clone();
        let (clean, eps) = match self.prediction {
            Prediction::Epsilon => ((x_t - noise_share * &prediction) / clean_share, prediction),
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
