//! Sinusoidal timestep embeddings.

use tch::{Device, Kind, Tensor};

use crate::{Linear, Params};

/// `[cos(t f_i), sin(t f_i)]` with `f_i = 10000^(-i / half)`, in f32: `[B] -> [B, width]`.
pub fn sinusoidal(timesteps: &Tensor, width: i64) -> Tensor {
    let half = width / 2;
    let exponents =
        Tensor::arange(half, (Kind::Float, timesteps.device())) * (-(10000f64.ln())) / half as f64;
    let angles = timesteps.to_kind(Kind::Float).unsqueeze(1) * exponents.exp().unsqueeze(0); // [B, half]
    Tensor::cat(&[angles.cos(), angles.sin()], 1) // [B, width]
}

/// The two-layer network over [`sinusoidal`] that every model here begins with.
pub struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    frequencies: i64,
}

impl TimestepEmbedding {
    /// Takes `linear_1` (`frequencies -> width`) and `linear_2` (`width -> width`).
    pub fn new(p: &Params, frequencies: i64, width: i64) -> Self {
        Self {
            linear_1: Linear::new(&(p / "linear_1"), frequencies, width),
            linear_2: Linear::new(&(p / "linear_2"), width, width),
            frequencies,
        }
    }

    /// `[B] -> [B, D]` in `kind`
    pub fn forward(&self, timesteps: &Tensor, kind: Kind) -> Tensor {
        let waves = sinusoidal(timesteps, self.frequencies).to_kind(kind);
        self.linear_2.forward(&self.linear_1.forward(&waves).silu()) // [B, D]
    }
}

/// One timestep for a whole batch, `[batch]`.
pub fn timesteps(t: i64, batch: i64, device: Device) -> Tensor {
    Tensor::full([batch], t, (Kind::Int64, device))
}
