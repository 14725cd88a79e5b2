//! Analytic-DPM (2201.06503): the ancestral sampler with the optimal variance, which few steps need.
//!
//! Where x_0 is not known exactly, the x that a step arrives at varies by more than the posterior's variance lambda^2: by
//! c^2 D too, where c is the mean's factor of x_0 and D the mean squared error of x_0 a value. With the exact score
//! D = (1 - alpha_bar) / alpha_bar (1 - (1 - alpha_bar) Gamma), and lambda^2 + c^2 D is the paper's optimum of its Gamma =
//! E |score|^2 / d (theorem 1). D is measured here and not Gamma: at the noisiest timesteps 1 - (1 - alpha_bar) Gamma is a
//! difference of 1e-9, and D gives the optimum of a network that errs too (2206.07309). The paper's limit of the last
//! noise to less than a pixel's 256th is left out: an embedding has no pixels.

use crate::{Deviation, NoiseLevel, Output, Posterior, Schedule, SchedulerConfig, Step};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The mean squared errors of a network's x_0 at some timesteps, over samples of its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenoisingErrors {
    /// How many samples they are means over.
    pub samples: u64,
    /// Timesteps, ascending from 0 to the schedule's last.
    pub timesteps: Vec<i64>,
    /// E |x_0 - E[x_0 | x_t]|^2 / d at each of them, above 0.
    pub mean_squared_errors: Vec<f64>,
}

/// Numbers that are no denoising errors of a schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DenoisingErrorsError {
    /// The lists are of two lengths.
    #[error("it has {timesteps} timesteps and {errors} mean squared errors")]
    Lengths {
        /// How many timesteps there are.
        timesteps: usize,
        /// How many errors there are.
        errors: usize,
    },
    /// The timesteps do not cover the schedule.
    #[error("its timesteps must ascend from 0 to {last}, the scheduler's last")]
    Timesteps {
        /// The last timestep of the schedule.
        last: i64,
    },
    /// An error that no mean of squares is.
    #[error(
        "its mean squared error at timestep {timestep} is {error}, and it must be above 0 and finite"
    )]
    Error {
        /// The timestep.
        timestep: i64,
        /// The number.
        error: f64,
    },
}

impl DenoisingErrors {
    /// The timesteps to measure at: a hundred even strides from 0 to the last, or all where there are fewer. Between
    /// them the errors are interpolated, which is off by less than a 200th (a test), for a tenth of the work.
    pub fn grid(train_timesteps: usize) -> Vec<i64> {
        const STRIDES: usize = 100;
        let last = train_timesteps.saturating_sub(1);
        let strides = last.min(STRIDES);
        match strides {
            0 => vec![0],
            _ => (0..=strides).map(|i| ((i * last + strides / 2) / strides) as i64).collect(),
        }
    }

    /// Refuses numbers that are none of a schedule of `train_timesteps`.
    pub fn check(&self, train_timesteps: usize) -> Result<(), DenoisingErrorsError> {
        let Self { timesteps, mean_squared_errors, .. } = self;
        if timesteps.len() != mean_squared_errors.len() {
            let (timesteps, errors) = (timesteps.len(), mean_squared_errors.len());
            return Err(DenoisingErrorsError::Lengths { timesteps, errors });
        }
        let last = train_timesteps as i64 - 1;
        let ascends = timesteps.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascends || timesteps.first() != Some(&0) || timesteps.last() != Some(&last) {
            return Err(DenoisingErrorsError::Timesteps { last });
        }
        let mut errors = timesteps.iter().zip(mean_squared_errors);
        match errors.find(|(_, error)| !(error.is_finite() && **error > 0.0)) {
            Some((&timestep, &error)) => Err(DenoisingErrorsError::Error { timestep, error }),
            None => Ok(()),
        }
    }

    /// The error at a timestep. Between two that were measured its logarithm is a line over that of
    /// (1 - alpha_bar) / alpha_bar, which is what it is near the clean end, where x_t alone says x_0; near the
    /// noisy one it is constant.
    pub fn at(&self, timestep: i64, schedule: &Schedule) -> f64 {
        let Self { timesteps, mean_squared_errors: errors, .. } = self;
        let after =
            timesteps.partition_point(|&measured| measured < timestep).min(timesteps.len() - 1);
        let before = after.saturating_sub(1);
        let log_noise = |timestep: i64| noise_to_signal(schedule.alpha_bar(Some(timestep))).ln();
        let [start, end] = [before, after].map(|place| log_noise(timesteps[place]));
        let share = match before == after {
            true => 0.0,
            false => (log_noise(timestep) - start) / (end - start),
        };
        (errors[before].ln() * (1.0 - share) + errors[after].ln() * share).exp()
    }
}

/// The ancestral sampler with the optimal variance, over a schedule in f64.
#[derive(Clone, Debug)]
pub struct AnalyticDpm {
    /// The settings of the checkpoint's scheduler, whose variance is not read.
    pub config: SchedulerConfig,
    /// Its schedule.
    pub schedule: Schedule,
    /// The errors of the network, checked.
    pub errors: DenoisingErrors,
    /// The factor of the posterior's standard deviation that makes lambda: 1 for DDPM's forward process, 0 for DDIM's.
    pub eta: f64,
}

impl AnalyticDpm {
    /// The sampler of DDPM's forward process for a checkpoint's scheduler. An error for those of another schedule.
    pub fn new(
        config: &SchedulerConfig,
        errors: DenoisingErrors,
    ) -> Result<Self, DenoisingErrorsError> {
        errors.check(config.train_timesteps)?;
        Ok(Self { config: config.clone(), schedule: Schedule::of(config), errors, eta: 1.0 })
    }

    /// The distribution of the previous x for a predicted `x_0` [B, ...] (2201.06503, section 2 and theorem 1). The last step
    /// has no deviation.
    pub fn posterior(&self, x_0: &Tensor, step: Step, x_t: &Tensor) -> Posterior {
        let [of_x_0, of_x_t] = self.mean_factors(step);
        Posterior {
            mean: x_0 * of_x_0 + x_t * of_x_t,
            deviation: (!step.is_last()).then(|| Deviation::Scalar(self.variance(step).sqrt())),
        }
    }

    /// The optimal variance of a step: lambda^2 + c^2 D. It lies within the bounds of theorem 2, because D is clipped where a
    /// network is worse than they say: at the error of x_t / sqrt(alpha_bar) as a guess of x_0, and at that of 0 for data
    /// within the scheduler's clip range.
    pub fn variance(&self, step: Step) -> f64 {
        let [of_x_0, _] = self.mean_factors(step);
        let of_guess = noise_to_signal(self.schedule.alpha_bar(Some(step.timestep)));
        let of_range = self.config.clip_range.map_or(f64::INFINITY, |range| range * range);
        let error = self.errors.at(step.timestep, &self.schedule).min(of_guess).min(of_range);
        self.lambda_squared(step) + of_x_0 * of_x_0 * error
    }

    /// The variance of the forward process's posterior.
    fn lambda_squared(&self, step: Step) -> f64 {
        let alpha_bar = self.schedule.alpha_bar(Some(step.timestep));
        let alpha_bar_previous = self.schedule.alpha_bar(step.previous);
        let posterior =
            (1.0 - alpha_bar_previous) / (1.0 - alpha_bar) * (1.0 - alpha_bar / alpha_bar_previous);
        self.eta * self.eta * posterior
    }

    /// The mean's factors of x_0 and of x_t.
    fn mean_factors(&self, step: Step) -> [f64; 2] {
        let alpha_bar = self.schedule.alpha_bar(Some(step.timestep));
        let alpha_bar_previous = self.schedule.alpha_bar(step.previous);
        let of_eps = (1.0 - alpha_bar_previous - self.lambda_squared(step)).max(0.0);
        let of_x_t = (of_eps / (1.0 - alpha_bar)).sqrt();
        [alpha_bar_previous.sqrt() - of_x_t * alpha_bar.sqrt(), of_x_t]
    }
}

/// The mean squared error `[]` (f64) of the x_0 that a network predicts for `x_0` [B, ...] with the noise `eps` [B, ...] of a
/// timestep, a value: of many samples what [`DenoisingErrors`] has. The prediction is clipped as a sampler clips it.
pub fn denoising_error(
    config: &SchedulerConfig,
    level: &NoiseLevel,
    x_0: &Tensor,
    eps: &Tensor,
    denoise: impl FnOnce(&Tensor) -> Output,
) -> Tensor {
    let x_t = level.x_t(x_0, eps);
    let predicted = config.x_0(&denoise(&x_t), &x_t, level);
    (predicted - x_0).square().mean(Kind::Double)
}

/// The variance of the noise over the squared factor of x_0.
fn noise_to_signal(alpha_bar: f64) -> f64 {
    (1.0 - alpha_bar) / alpha_bar
}
