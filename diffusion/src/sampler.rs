//! The published unCLIP sampler: DDPM (2006.11239) that skips timesteps.

use crate::{Output, Prediction, ReferenceTables, Step, StepsError, published_steps};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The variance of an ancestral step's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// The posterior's, the smallest that makes sense.
    FixedSmallLog,
    /// Between the posterior's and beta, as the network says (2102.09672, equation 15).
    LearnedRange,
}

/// What a checkpoint's scheduler fixes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// The timesteps that the network was trained with.
    pub train_timesteps: usize,
    /// What the network predicts.
    pub prediction: Prediction,
    /// The variance of the noise that a step adds.
    pub variance: Variance,
    /// A predicted x_0 is clipped to plus and minus this; `None` leaves it as it is.
    pub clip_range: Option<f64>,
}

/// The published sampler with its f32 tables.
///
/// Every coefficient is computed in f32, in the published scheduler's order of operations:
/// its roundings are part of a seed's picture.
#[derive(Clone, Debug)]
pub struct UnclipSampler {
    config: SchedulerConfig,
    tables: ReferenceTables,
}

impl UnclipSampler {
    /// The sampler of a checkpoint's scheduler.
    pub fn new(config: &SchedulerConfig) -> Self {
        Self { config: config.clone(), tables: ReferenceTables::cosine(config.train_timesteps) }
    }

    /// What the checkpoint's scheduler fixes.
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// A number of steps in the published spacing, in the order they are taken. An error
    /// where there is no step or more than timesteps.
    pub fn steps(&self, steps: usize) -> Result<Vec<Step>, StepsError> {
        published_steps(steps, self.config.train_timesteps)
    }

    /// The mean of the previous x given x_t and the network's answer, plus noise
    /// (2006.11239, equations 7 and 15).
    ///
    /// `noise` has the shape of x_t. Every step but the last needs it, the last ignores it.
    pub fn step(
        &self,
        output: &Output,
        step: Step,
        x_t: &Tensor,
        noise: Option<&Tensor>,
    ) -> Tensor {
        let c = self.coefficients(step);
        let clean = match self.config.prediction {
            Prediction::Epsilon => {
                (x_t - c.sqrt_one_minus_alpha_bar * &output.prediction) / c.sqrt_alpha_bar
            }
            Prediction::Sample => output.prediction.shallow_clone(),
        };
        let clean = match self.config.clip_range {
            Some(range) => clean.clamp(-range, range),
            None => clean,
        };
        let mean = c.mean_of_clean * clean + c.mean_of_x_t * x_t;
        if step.is_last() {
            return mean;
        }
        let noise = noise.expect("every step but the last adds noise");
        mean + match self.config.variance {
            Variance::FixedSmallLog => c.posterior_deviation * noise,
            Variance::LearnedRange => {
                let learned = output.variance.as_ref().expect("a learned variance");
                let share: Tensor = (learned + 1.0) / 2.0;
                let log_variance: Tensor =
                    &share * c.log_beta + (1.0 - &share) * c.log_posterior_variance;
                (log_variance * 0.5).exp() * noise
            }
        }
    }

    fn coefficients(&self, step: Step) -> Coefficients {
        let Step { timestep, previous } = step;
        let t = timestep as usize;
        let alpha_bar = self.tables.alphas_cumprod[t];
        let alpha_bar_previous = self.tables.alpha_bar(previous);
        let (beta, alpha) = if previous.unwrap_or(-1) == timestep - 1 {
            (self.tables.betas[t], self.tables.alphas[t])
        } else {
            let beta = 1.0 - alpha_bar / alpha_bar_previous;
            (beta, 1.0 - beta)
        };
        let beta_bar = 1.0 - alpha_bar;
        let beta_bar_previous = 1.0 - alpha_bar_previous;
        let posterior_variance = beta_bar_previous / beta_bar * beta;
        Coefficients {
            sqrt_one_minus_alpha_bar: beta_bar.sqrt().into(),
            sqrt_alpha_bar: alpha_bar.sqrt().into(),
            mean_of_clean: (alpha_bar_previous.sqrt() * beta / beta_bar).into(),
            mean_of_x_t: (alpha.sqrt() * beta_bar_previous / beta_bar).into(),
            posterior_deviation: (0.5 * posterior_variance.max(1e-20).ln()).exp().into(),
            log_posterior_variance: posterior_variance.ln().into(),
            log_beta: beta.ln().into(),
        }
    }
}

/// One step's numbers: computed in f32, held as f64 because tch takes those.
struct Coefficients {
    sqrt_one_minus_alpha_bar: f64,
    sqrt_alpha_bar: f64,
    mean_of_clean: f64,
    mean_of_x_t: f64,
    posterior_deviation: f64,
    log_posterior_variance: f64,
    log_beta: f64,
}

/// Draws x_0 from noise by the published sampler.
///
/// `x_t` [B, ...] is standard noise. `denoise` answers for the x_t of a step. `noise` gives
/// the shape of x_t: it is called once for every step but the last, after the denoiser, which
/// is the order that the published pipelines draw in. `progress` hears how many steps are
/// done. Returns x_0 [B, ...], clipped in no way beyond the sampler's own.
pub fn ddpm(
    sampler: &UnclipSampler,
    steps: &[Step],
    x_t: Tensor,
    denoise: impl FnMut(&Tensor, Step) -> Output,
    mut noise: impl FnMut() -> Tensor,
    progress: impl FnMut(usize),
) -> Tensor {
    let update = |output: &Output, step: Step, x_t: &Tensor| {
        let noise = (!step.is_last()).then(&mut noise);
        sampler.step(output, step, x_t, noise.as_ref())
    };
    walk(steps, x_t, denoise, update, progress)
}

/// The loop that samplers share: ask the denoiser, move, report.
pub(crate) fn walk(
    steps: &[Step],
    mut x_t: Tensor,
    mut denoise: impl FnMut(&Tensor, Step) -> Output,
    mut update: impl FnMut(&Output, Step, &Tensor) -> Tensor,
    mut progress: impl FnMut(usize),
) -> Tensor {
    for (done, &step) in steps.iter().enumerate() {
        let output = denoise(&x_t, step);
        x_t = update(&output, step, &x_t);
        progress(done + 1);
    }
    x_t
}
