//! Noise schedules: alpha_bar at each timestep.

use crate::{NoiseLevel, SchedulerConfig, Step};
use num_traits::Float;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// The largest beta of the cosine schedule (2102.09672, section 3.2).
const MAX_BETA: f64 = 0.999;

/// The variances that the timesteps add, by diffusers' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BetaSchedule {
    /// The cosine schedule (2102.09672, equation 17), unCLIP's own.
    #[default]
    #[serde(rename = "squaredcos_cap_v2")]
    Cosine,
    /// In even strides (2006.11239, section 4): 1e-4 to 0.02 there, at 1,000 timesteps.
    Linear {
        /// The beta of timestep 0.
        #[serde(rename = "beta_start")]
        start: f64,
        /// The beta of the last timestep.
        #[serde(rename = "beta_end")]
        end: f64,
    },
    /// Of which the roots are in even strides, as latent diffusion's (2112.10752) are.
    ScaledLinear {
        /// The beta of timestep 0.
        #[serde(rename = "beta_start")]
        start: f64,
        /// The beta of the last timestep.
        #[serde(rename = "beta_end")]
        end: f64,
    },
}

impl BetaSchedule {
    /// The betas in f64.
    fn betas(self, timesteps: usize) -> Vec<f64> {
        let even = |start: f64, end: f64| {
            let gaps = (timesteps - 1).max(1) as f64;
            (0..timesteps).map(move |t| start + (end - start) * t as f64 / gaps)
        };
        match self {
            Self::Cosine => {
                let alpha_bar = |t: usize| {
                    let time = t as f64 / timesteps as f64;
                    ((time + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2)
                };
                let beta = |t| (1.0 - alpha_bar(t + 1) / alpha_bar(t)).min(MAX_BETA);
                (0..timesteps).map(beta).collect()
            }
            Self::Linear { start, end } => even(start, end).collect(),
            Self::ScaledLinear { start, end } => {
                even(start.sqrt(), end.sqrt()).map(|root| root * root).collect()
            }
        }
    }

    /// The betas as diffusers' schedulers hold them: those of the cosine schedule rounded to f32, the others computed in f32.
    fn published_betas(self, timesteps: usize) -> Vec<f32> {
        match self {
            Self::Cosine => self.betas(timesteps).into_iter().map(|beta| beta as f32).collect(),
            Self::Linear { start, end } => linspace(start as f32, end as f32, timesteps).collect(),
            Self::ScaledLinear { start, end } => {
                let roots = linspace(start.sqrt() as f32, end.sqrt() as f32, timesteps);
                roots.map(|root| root * root).collect()
            }
        }
    }
}

/// torch's `linspace` in f32 to the bit, on a processor that multiplies and adds at once: from both ends to the middle.
fn linspace(start: f32, end: f32, count: usize) -> impl Iterator<Item = f32> {
    let last = count - 1;
    let stride = (end - start) / last.max(1) as f32;
    (0..count).map(move |i| match i < count / 2 {
        true => stride.mul_add(i as f32, start),
        false => (-stride).mul_add((last - i) as f32, end),
    })
}

/// A noise schedule: in f64 for training and for samplers of our own, in f32 as published schedulers hold it.
#[derive(Clone, Debug)]
pub struct Schedule<F = f64> {
    /// The variance that timestep t adds.
    pub betas: Vec<F>,
    /// The product of 1 - beta up to and including timestep t.
    pub alphas_cumprod: Vec<F>,
}

impl Schedule {
    /// A schedule in f64.
    pub fn new(betas: BetaSchedule, timesteps: usize) -> Self {
        Self::from_betas(betas.betas(timesteps))
    }

    /// The schedule of a checkpoint's scheduler in f64.
    pub fn of(config: &SchedulerConfig) -> Self {
        Self::new(config.beta_schedule, config.train_timesteps)
    }
}

impl Schedule<f32> {
    /// The schedule of a checkpoint's scheduler as diffusers holds it, in f32.
    ///
    /// Its rounding is part of a checkpoint's images: 1 - alpha_bar at timestep 0 of the cosine schedule is 4.1306e-5
    /// here and 4.1284e-5 in f64, which scales the last step by 0.99947.
    pub fn published(config: &SchedulerConfig) -> Self {
        Self::from_betas(config.beta_schedule.published_betas(config.train_timesteps))
    }
}

impl<F: Float + Into<f64>> Schedule<F> {
    /// The product is multiplied in f64, as torch does, and then rounded.
    fn from_betas(betas: Vec<F>) -> Self {
        let mut product = 1.0;
        let multiply = |&beta: &F| {
            product *= (F::one() - beta).into();
            F::from(product).expect("a number")
        };
        let alphas_cumprod = betas.iter().map(multiply).collect();
        Self { betas, alphas_cumprod }
    }

    /// The number of timesteps.
    pub fn timesteps(&self) -> usize {
        self.betas.len()
    }

    /// The alpha_bar of a timestep, and 1 for `None`: the clean image.
    pub fn alpha_bar(&self, timestep: Option<i64>) -> F {
        timestep.map_or(F::one(), |t| self.alphas_cumprod[t as usize])
    }

    /// The mix of x_0 and eps at a timestep.
    pub fn level(&self, timestep: Option<i64>) -> NoiseLevel {
        let alpha_bar = self.alpha_bar(timestep);
        NoiseLevel {
            sqrt_alpha_bar: alpha_bar.sqrt().into(),
            sqrt_one_minus_alpha_bar: (F::one() - alpha_bar).sqrt().into(),
        }
    }

    /// The coefficients of a step's posterior q(x_previous | x_t, x_0) (2006.11239, equations 6 and 7), each operation in
    /// the schedule's own precision and in the published schedulers' order.
    pub(crate) fn posterior(&self, step: Step) -> PosteriorCoefficients<F> {
        let Step { timestep, previous } = step;
        let one = F::one();
        let alpha_bar = self.alpha_bar(Some(timestep));
        let alpha_bar_previous = self.alpha_bar(previous);
        let beta = match previous.unwrap_or(-1) == timestep - 1 {
            true => self.betas[timestep as usize],
            false => one - alpha_bar / alpha_bar_previous,
        };
        let alpha = one - beta;
        let beta_bar = one - alpha_bar;
        let beta_bar_previous = one - alpha_bar_previous;
        PosteriorCoefficients {
            mean_of_x_0: alpha_bar_previous.sqrt() * beta / beta_bar,
            mean_of_x_t: alpha.sqrt() * beta_bar_previous / beta_bar,
            variance: beta_bar_previous / beta_bar * beta,
            log_variance: (beta_bar_previous / beta_bar * beta).ln(),
            log_beta: beta.ln(),
        }
    }
}

/// The numbers of a step's posterior.
pub(crate) struct PosteriorCoefficients<F> {
    /// The mean's factor of x_0.
    pub(crate) mean_of_x_0: F,
    /// The mean's factor of x_t.
    pub(crate) mean_of_x_t: F,
    /// The variance: 0 for a step that ends at x_0.
    pub(crate) variance: F,
    /// The logarithm of the variance: minus infinity for a step that ends at x_0.
    pub(crate) log_variance: F,
    /// The logarithm of the variance that the step's timesteps add.
    pub(crate) log_beta: F,
}
