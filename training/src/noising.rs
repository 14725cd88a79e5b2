//! The diffusion objectives of the prior, the decoder and the upsampler: a noised batch, and the loss of a predicted noise.

use diffusion::{Process, Schedule};
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
        let schedule = Schedule::cosine(TIMESTEPS);
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

    /// The squared error of a predicted noise `[B, C, H, W]`: weighted by min(1 / alpha_bar, `weight_limit`), and plain.
    pub fn loss(
        &self,
        predicted: &Tensor,
        noised: &NoisedBatch,
        weight_limit: f64,
    ) -> (Tensor, Tensor) {
        let weight = self.alpha_bar_at(noised).reciprocal();
        weighted_error(predicted, &noised.eps, weight.clamp_max(weight_limit))
    }

    /// The squared error of a predicted clean batch: weighted by min(1 / (1 - alpha_bar), `weight_limit`), and plain. A
    /// squared error of the noise is one of the clean batch times alpha_bar / (1 - alpha_bar), so that but for the limits this is
    /// [`Noising::loss`], and either is the plain loss of a predicted velocity (2202.00512, section 4).
    pub fn loss_of_sample(
        &self,
        predicted: &Tensor,
        (clean, noised): (&Tensor, &NoisedBatch),
        weight_limit: f64,
    ) -> (Tensor, Tensor) {
        let one_minus: Tensor = 1.0 - self.alpha_bar_at(noised); // [B]
        let weight = one_minus.reciprocal();
        weighted_error(predicted, clean, weight.clamp_max(weight_limit))
    }

    /// `[B]`
    fn alpha_bar_at(&self, noised: &NoisedBatch) -> Tensor {
        self.alpha_bar.index_select(0, &noised.timesteps)
    }
}

/// The mean squared error, each image's times its `weight [B]`, and plain.
fn weighted_error(predicted: &Tensor, target: &Tensor, weight: Tensor) -> (Tensor, Tensor) {
    let squared = (predicted - target).square();
    let error = squared.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float); // [B]
    ((&error * weight).mean(Kind::Float), error.mean(Kind::Float))
}
