//! A noised batch, and the loss of a network's prediction of it, for the diffusion models.

use decoder::{Conditions, UNet};
use diffusion::loss::variational_bound;
use diffusion::{BetaSchedule, Output, Prediction, Process, Schedule};
use tch::{Device, Kind, Tensor};

use crate::run::{Loss, Metrics};
use crate::sample_generators::SampleGenerators;

/// Diffusion steps of every model here.
pub(crate) const TIMESTEPS: usize = 1000;

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

    /// Noises `clean [B, ..]` with the normal noise `eps`, shaped like it, at timesteps that `generators` draw.
    pub fn noise(
        &self,
        clean: &Tensor,
        eps: &Tensor,
        generators: &mut SampleGenerators,
    ) -> NoisedBatch {
        let timesteps = generators.below(TIMESTEPS as u64);
        let timesteps = Tensor::from_slice(&timesteps).to_device(self.device);
        let eps = eps.to_device(self.device);
        let values = self.process.q_sample(clean, &timesteps, &eps);
        NoisedBatch { timesteps, eps, values }
    }

    /// The hybrid objective of 2102.09672 over a network's `output [B, 2C, H, W]`: the noise by its squared error, weighted as
    /// in [`Noising::loss`], the variance by the variational bound. The loss, and metrics to log beside it.
    pub fn hybrid_loss(
        &self,
        output: &Tensor,
        clean: &Tensor,
        noised: &NoisedBatch,
        weight_limit: f64,
    ) -> (Tensor, Metrics) {
        let predicts = Prediction::Epsilon;
        let Output { prediction, variance } = Output::with_variance(output);
        let (simple, error) = self.loss(predicts, &prediction, clean, noised, weight_limit);
        // The weight that 2102.09672 gives the bound beside the noise's error is 1 at 1,000 timesteps.
        let detached = Output { prediction: prediction.detach(), variance };
        let NoisedBatch { timesteps, values, .. } = noised;
        let bound = variational_bound(&self.process, predicts, clean, values, timesteps, &detached);
        let bound = bound.mean(Kind::Float);
        let metrics =
            vec![("noise_error", error.double_value(&[])), ("bound", bound.double_value(&[]))];
        (simple + bound, metrics)
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

/// The hybrid objective of 2102.09672 over a U-Net with conditions.
pub(crate) struct HybridObjective<'a> {
    /// The forward process.
    pub noising: &'a Noising,
    /// The network.
    pub unet: &'a UNet,
    /// As in [`Noising::loss`].
    pub weight_limit: f64,
    /// Whether the network's blocks are recomputed in the backward pass.
    pub checkpointing: bool,
}

impl HybridObjective<'_> {
    /// Adds the gradients of a batch's loss, times `weight`, for the network's `input [B, in, H, W]` of `noised` images.
    pub(crate) fn backward(
        &self,
        input: &Tensor,
        conditions: &Conditions,
        clean: &Tensor,
        noised: &NoisedBatch,
        weight: f64,
    ) -> Loss {
        let (output, checkpoints) = self.unet.forward_training(
            input,
            &noised.timesteps,
            Some(conditions),
            self.checkpointing,
        );
        let output = output.to_kind(Kind::Float);
        let (loss, metrics) = self.noising.hybrid_loss(&output, clean, noised, self.weight_limit);
        (&loss * weight).backward();
        checkpoints.backward();
        Loss { value: loss.double_value(&[]), metrics }
    }
}
