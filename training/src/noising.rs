//! A noised batch, and the loss of a network's prediction of it, for the diffusion models.

use diffusion::{BetaSchedule, Prediction, Process, Schedule};
use noise::Generator;
use tch::{Device, Kind, Tensor};

/// Diffusion steps of every model here.
const TIMESTEPS: usize = 1000;

/// The cosine schedule's noising, on a device.
pub struct Noising {
    /// The forward process and its posterior.
    pub process: Process,
    alpha_bar: Tensor,
    device: Device,
}

/// A noised batch, each row at its own timestep.
pub struct NoisedBatch {
    /// `[B]`, i64.
    pub timesteps: Tensor,
    /// The noise, shaped as the clean batch.
    pub eps: Tensor,
    /// The noised batch, f32.
    pub values: Tensor,
}

impl Noising {
    /// On `device`.
    pub fn new(device: Device) -> Self {
        let schedule = Schedule::new(BetaSchedule::Cosine, TIMESTEPS);
        let alpha_bar =
            Tensor::from_slice(&schedule.alphas_cumprod).to_kind(Kind::Float).to_device(device);
        Self { process: Process::new(&schedule, device), alpha_bar, device }
    }

    /// Noises `clean [B, ..]` with the normal noise `eps`, shaped like it, at timesteps that `generator` draws.
    pub fn noise(&self, clean: &Tensor, eps: &Tensor, generator: &mut Generator) -> NoisedBatch {
        let timesteps: Vec<i64> =
            (0..clean.size()[0]).map(|_| generator.below(TIMESTEPS as u64) as i64).collect();
        let timesteps = Tensor::from_slice(&timesteps).to_device(self.device);
        let eps = eps.to_device(self.device);
        let values = self.process.q_sample(clean, &timesteps, &eps);
        NoisedBatch { timesteps, eps, values }
    }

    /// The squared error of a network's `prediction`, `output [B, C, H, W]`: weighted, and plain.
    ///
    /// The weights are those of the plain loss of a predicted v (2202.00512, section 4), but limited to `weight_limit`:
    /// min(1 / alpha_bar, limit) for eps, whose squared error is that of x_0 times alpha_bar / (1 - alpha_bar), and min(1 /
    /// (1 - alpha_bar), limit) for x_0.
    pub fn loss(
        &self,
        prediction: Prediction,
        output: &Tensor,
        clean: &Tensor,
        noised: &NoisedBatch,
        weight_limit: f64,
    ) -> (Tensor, Tensor) {
        let level = self.process.level(&noised.timesteps, clean);
        let target = prediction.target(clean, &noised.eps, &level);
        let squared = (output - target).square();
        let error = squared.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float); // [B]
        let alpha_bar = self.alpha_bar.index_select(0, &noised.timesteps); // [B]
        let weight: Tensor = match prediction {
            Prediction::Epsilon => alpha_bar.reciprocal(),
            Prediction::Sample => (1.0f64 - alpha_bar).reciprocal(),
            Prediction::V => alpha_bar.ones_like(),
        };
        let weight = weight.clamp_max(weight_limit);
        ((&error * weight).mean(Kind::Float), error.mean(Kind::Float))
    }
}
