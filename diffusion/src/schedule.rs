//! How much of a picture is left at each timestep, and which timesteps a sampler visits.

use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// The largest beta of the cosine schedule (2102.09672, section 3.2).
const MAX_BETA: f64 = 0.999;

/// A noise schedule in f64: for training and for samplers of our own.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The variance that timestep t adds.
    pub betas: Vec<f64>,
    /// The product of 1 - beta up to and including timestep t.
    pub alphas_cumprod: Vec<f64>,
}

impl Schedule {
    /// The cosine schedule (2102.09672, equation 17), unCLIP's own; 1,000 timesteps there.
    pub fn cosine(timesteps: usize) -> Self {
        Self::from_betas(cosine_betas(timesteps))
    }

    /// The linear schedule of DDPM (2006.11239, section 4): 1e-4 to 0.02 at 1,000 timesteps,
    /// and as much noise in all at any other number.
    pub fn linear(timesteps: usize) -> Self {
        let scale = 1000.0 / timesteps as f64;
        let (first, last) = (1e-4 * scale, 0.02 * scale);
        let gaps = (timesteps - 1).max(1) as f64;
        let beta = |t| first + (last - first) * t as f64 / gaps;
        Self::from_betas((0..timesteps).map(beta).collect())
    }

    fn from_betas(betas: Vec<f64>) -> Self {
        let mut product = 1.0;
        let multiply = |beta: &f64| {
            product *= 1.0 - beta;
            product
        };
        let alphas_cumprod = betas.iter().map(multiply).collect();
        Self { betas, alphas_cumprod }
    }

    /// How many timesteps there are.
    pub fn timesteps(&self) -> usize {
        self.betas.len()
    }

    /// The alpha_bar of a timestep, and 1 for `None`: the clean picture.
    pub fn alpha_bar(&self, timestep: Option<i64>) -> f64 {
        timestep.map_or(1.0, |t| self.alphas_cumprod[t as usize])
    }
}

/// The cosine schedule as the published unCLIP scheduler holds it, in f32.
///
/// Its rounding is part of a checkpoint's pictures: 1 - alpha_bar at timestep 0 is 4.1306e-5
/// here and 4.1284e-5 in [`Schedule::cosine`], which scales the last step by 0.99947.
#[derive(Clone, Debug)]
pub struct ReferenceTables {
    /// The f64 betas, rounded.
    pub betas: Vec<f32>,
    /// 1 - beta of the rounded betas, rounded again.
    pub alphas: Vec<f32>,
    /// The running product of those alphas: multiplied in f64 as torch does, stored in f32.
    pub alphas_cumprod: Vec<f32>,
}

impl ReferenceTables {
    /// The tables of the cosine schedule, the only one that scheduler has.
    pub fn cosine(timesteps: usize) -> Self {
        let rounded = |beta: f64| beta as f32;
        let betas: Vec<f32> = cosine_betas(timesteps).into_iter().map(rounded).collect();
        let alphas: Vec<f32> = betas.iter().map(|beta| 1.0 - beta).collect();
        let mut product = 1.0f64;
        let multiply = |alpha: &f32| {
            product *= f64::from(*alpha);
            product as f32
        };
        let alphas_cumprod = alphas.iter().map(multiply).collect();
        Self { betas, alphas, alphas_cumprod }
    }

    /// The alpha_bar of a timestep, and 1 for `None`: the clean picture.
    pub fn alpha_bar(&self, timestep: Option<i64>) -> f32 {
        timestep.map_or(1.0, |t| self.alphas_cumprod[t as usize])
    }
}

fn cosine_betas(timesteps: usize) -> Vec<f64> {
    let alpha_bar = |t: usize| {
        let time = t as f64 / timesteps as f64;
        ((time + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2)
    };
    let beta = |t| (1.0 - alpha_bar(t + 1) / alpha_bar(t)).min(MAX_BETA);
    (0..timesteps).map(beta).collect()
}

/// What a network predicts of x_t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise in it.
    Epsilon,
    /// The clean picture or embedding, x_0.
    Sample,
}

/// One step of a sampler: from a timestep to the one before it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The timestep of the x_t that the denoiser sees.
    pub timestep: i64,
    /// The timestep that the step arrives at; `None` for the clean picture.
    pub previous: Option<i64>,
}

impl Step {
    /// Whether the step ends at the clean picture. Every other step of an ancestral sampler
    /// draws noise.
    pub fn is_last(&self) -> bool {
        self.previous.is_none()
    }
}

/// A number of steps that a schedule cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{steps} sampling steps were asked for, but this schedule can take 1 to {timesteps}")]
pub struct StepsError {
    /// The steps asked for.
    pub steps: usize,
    /// The timesteps of the schedule.
    pub timesteps: usize,
}

/// The steps of the published spacing: from the last timestep to 0 in even strides, each
/// rounded, a half to the even side.
///
/// A single step, where the published formula divides by zero, goes from the last timestep
/// straight to the clean picture. An error where there is no step or more than timesteps.
pub fn published_steps(steps: usize, timesteps: usize) -> Result<Vec<Step>, StepsError> {
    if steps == 0 || steps > timesteps {
        return Err(StepsError { steps, timesteps });
    }
    let last = timesteps as f64 - 1.0;
    let visited: Vec<i64> = if steps == 1 {
        vec![last as i64]
    } else {
        let stride = last / (steps as f64 - 1.0);
        let visit = |i| (i as f64 * stride).round_ties_even() as i64;
        (0..steps).rev().map(visit).collect()
    };
    let step =
        |(i, &timestep): (usize, &i64)| Step { timestep, previous: visited.get(i + 1).copied() };
    Ok(visited.iter().enumerate().map(step).collect())
}
