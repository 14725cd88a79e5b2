//! The forward process and its posterior, for training: each row of a batch at its own timestep.

use crate::posterior::learned_log_variance;
use crate::{NoiseLevel, Output, Prediction, Schedule, Step};
use tch::{Device, Kind, Tensor};

/// A schedule's numbers as f32 tensors, from which each row of a batch takes those of its own
/// timestep.
#[derive(Debug)]
pub struct Process {
    sqrt_alpha_bar: Tensor,
    sqrt_one_minus_alpha_bar: Tensor,
    mean_of_x_0: Tensor,
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
        let table = |value: &dyn Fn(i64) -> f64| {
            let values: Vec<f64> = (0..schedule.timesteps() as i64).map(value).collect();
            Tensor::from_slice(&values).to_kind(Kind::Float).to_device(device) // [timesteps]
        };
        let level = |t| schedule.level(Some(t));
        let posterior =
            |t| schedule.posterior(Step { timestep: t, previous: (t > 0).then_some(t - 1) });
        Self {
            sqrt_alpha_bar: table(&|t| level(t).sqrt_alpha_bar),
            sqrt_one_minus_alpha_bar: table(&|t| level(t).sqrt_one_minus_alpha_bar),
            mean_of_x_0: table(&|t| posterior(t).mean_of_x_0),
            mean_of_x_t: table(&|t| posterior(t).mean_of_x_t),
            // The posterior of timestep 0 has no variance: its neighbour's stands in, as in
            // 2102.09672's own code, so that the logarithm is finite.
            log_posterior_variance: table(&|t| posterior(t.max(1)).log_variance),
            log_beta: table(&|t| posterior(t).log_beta),
        }
    }

    /// Each row's mix of x_0 and eps, shaped [B, 1, ...] to multiply `like` [B, ...]; `timesteps` `[B]` i64.
    pub fn level(&self, timesteps: &Tensor, like: &Tensor) -> NoiseLevel<Tensor> {
        NoiseLevel {
            sqrt_alpha_bar: rows(&self.sqrt_alpha_bar, timesteps, like),
            sqrt_one_minus_alpha_bar: rows(&self.sqrt_one_minus_alpha_bar, timesteps, like),
        }
    }

    /// x_t of the clean `x_0` [B, ...] with noise `eps` of the same shape, each row at its own
    /// timestep; `timesteps` `[B]` i64 (2006.11239, equation 4).
    pub fn q_sample(&self, x_0: &Tensor, timesteps: &Tensor, eps: &Tensor) -> Tensor {
        self.level(timesteps, x_0).x_t(x_0, eps)
    }

    /// q(x_{t-1} | x_t, x_0) (2006.11239, equations 6 and 7).
    pub fn posterior(&self, x_0: &Tensor, x_t: &Tensor, timesteps: &Tensor) -> Gaussian {
        Gaussian {
            mean: rows(&self.mean_of_x_0, timesteps, x_t) * x_0
                + rows(&self.mean_of_x_t, timesteps, x_t) * x_t, // [B, ...]
            log_variance: rows(&self.log_posterior_variance, timesteps, x_t), // [B, 1...]
        }
    }

    /// p(x_{t-1} | x_t) of a network that predicts `prediction` and its variance (2102.09672,
    /// equation 15). Panics where the output has no learned variance.
    pub fn reverse(
        &self,
        prediction: Prediction,
        output: &Output,
        x_t: &Tensor,
        timesteps: &Tensor,
    ) -> Gaussian {
        let x_0 = prediction.x_0(&output.prediction, x_t, &self.level(timesteps, x_t));
        let posterior = self.posterior(&x_0, x_t, timesteps);
        let learned = output.variance.as_ref().expect("a learned variance");
        let log_beta = rows(&self.log_beta, timesteps, x_t); // [B, 1...]
        Gaussian {
            mean: posterior.mean,
            log_variance: learned_log_variance(learned, &posterior.log_variance, &log_beta), // [B, ...]
        }
    }
}

/// Each row's number, shaped to multiply `like`: [B, 1, 1, ...].
pub(crate) fn rows(table: &Tensor, timesteps: &Tensor, like: &Tensor) -> Tensor {
    let mut shape = vec![1; like.dim()];
    shape[0] = -1;
    table.index_select(0, timesteps).reshape(shape)
}
