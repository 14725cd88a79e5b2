//! Noising, and what noising implies: the forward process and its posterior, for training.

use crate::{Output, Schedule};
use tch::{Device, Kind, Tensor};

/// A schedule's numbers as f32 tensors, from which each row of a batch takes those of its own
/// timestep.
#[derive(Debug)]
pub struct Process {
    sqrt_alpha_bar: Tensor,
    sqrt_one_minus_alpha_bar: Tensor,
    mean_of_clean: Tensor,
    mean_of_x_t: Tensor,
    log_posterior_variance: Tensor,
    log_beta: Tensor,
}

/// A normal distribution of each value on its own.
#[derive(Debug)]
pub struct Gaussian {
    /// The means [B, ...].
    pub mean: Tensor,
    /// The logarithms of the variances: [B, ...] or with 1 where all values share one.
    pub log_variance: Tensor,
}

impl Process {
    /// The process of a schedule of two timesteps or more, its numbers on a device.
    pub fn new(schedule: &Schedule, device: Device) -> Self {
        let alpha_bar = |t: usize| schedule.alphas_cumprod[t];
        let alpha_bar_before = |t: usize| t.checked_sub(1).map_or(1.0, alpha_bar);
        let beta = |t: usize| schedule.betas[t];
        let posterior_variance =
            |t: usize| beta(t) * (1.0 - alpha_bar_before(t)) / (1.0 - alpha_bar(t));
        let table = |value: &dyn Fn(usize) -> f64| {
            let values: Vec<f64> = (0..schedule.timesteps()).map(value).collect();
            Tensor::from_slice(&values).to_kind(Kind::Float).to_device(device) // [timesteps]
        };
        Self {
            sqrt_alpha_bar: table(&|t| alpha_bar(t).sqrt()),
            sqrt_one_minus_alpha_bar: table(&|t| (1.0 - alpha_bar(t)).sqrt()),
            mean_of_clean: table(&|t| alpha_bar_before(t).sqrt() * beta(t) / (1.0 - alpha_bar(t))),
            mean_of_x_t: table(&|t| {
                (1.0 - beta(t)).sqrt() * (1.0 - alpha_bar_before(t)) / (1.0 - alpha_bar(t))
            }),
            // The posterior of timestep 0 has no variance: its neighbour's stands in, as in
            // 2102.09672's own code, so that the logarithm is finite.
            log_posterior_variance: table(&|t| posterior_variance(t.max(1)).ln()),
            log_beta: table(&|t| beta(t).ln()),
        }
    }

    /// x_t of the clean `x_0` [B, ...] with `noise` of the same shape, each row at its own
    /// timestep; `timesteps` [B] i64 (2006.11239, equation 4).
    pub fn q_sample(&self, x_0: &Tensor, timesteps: &Tensor, noise: &Tensor) -> Tensor {
        rows(&self.sqrt_alpha_bar, timesteps, x_0) * x_0
            + rows(&self.sqrt_one_minus_alpha_bar, timesteps, x_0) * noise
    }

    /// The x_0 [B, ...] that a predicted noise means: [`Process::q_sample`] solved for it.
    pub fn clean(&self, x_t: &Tensor, timesteps: &Tensor, eps: &Tensor) -> Tensor {
        (x_t - rows(&self.sqrt_one_minus_alpha_bar, timesteps, x_t) * eps)
            / rows(&self.sqrt_alpha_bar, timesteps, x_t)
    }

    /// q(x_{t-1} | x_t, x_0) (2006.11239, equations 6 and 7).
    pub fn posterior(&self, x_0: &Tensor, x_t: &Tensor, timesteps: &Tensor) -> Gaussian {
        Gaussian {
            mean: rows(&self.mean_of_clean, timesteps, x_t) * x_0
                + rows(&self.mean_of_x_t, timesteps, x_t) * x_t, // [B, ...]
            log_variance: rows(&self.log_posterior_variance, timesteps, x_t), // [B, 1...]
        }
    }

    /// p(x_{t-1} | x_t) of a network that predicts the noise and its variance (2102.09672,
    /// equation 15). Panics where the answer has no learned variance.
    pub fn reverse(&self, output: &Output, x_t: &Tensor, timesteps: &Tensor) -> Gaussian {
        let clean = self.clean(x_t, timesteps, &output.prediction);
        let smallest = self.posterior(&clean, x_t, timesteps);
        let learned = output.variance.as_ref().expect("a learned variance");
        let share: Tensor = (learned + 1.0) / 2.0;
        let log_beta = rows(&self.log_beta, timesteps, x_t); // [B, 1...]
        Gaussian {
            mean: smallest.mean,
            log_variance: &share * log_beta + (1.0 - &share) * smallest.log_variance, // [B, ...]
        }
    }
}

/// Each row's number, shaped to multiply `like`: [B, 1, 1, ...].
fn rows(table: &Tensor, timesteps: &Tensor, like: &Tensor) -> Tensor {
    let mut shape = vec![1; like.dim()];
    shape[0] = -1;
    table.index_select(0, timesteps).reshape(shape)
}
