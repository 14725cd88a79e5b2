//! Self-attention of pixels with one head.

use layers::{Linear, Params, attend};
use tch::Tensor;

use crate::norm::{Norm, NormKind};

/// Self-attention with a residual connection.
pub struct Attention {
    norm: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    channels: i64,
}

impl Attention {
    /// Takes `group_norm` or `spatial_norm`, `to_q`, `to_k`, `to_v` and `to_out.0`.
    pub fn new(p: &Params, channels: i64, norm: NormKind) -> Self {
        let name = match norm {
            NormKind::Group { .. } => "group_norm",
            NormKind::Spatial { .. } => "spatial_norm",
        };
        let linear = |name: &str| Linear::new(&(p / name), channels, channels);
        Self {
            norm: Norm::new(&(p / name), channels, norm),
            q: linear("to_q"),
            k: linear("to_k"),
            v: linear("to_v"),
            out: linear("to_out.0"),
            channels,
        }
    }

    /// `x [B, C, H, W]`, of whose latents the norm may take account, `-> [B, C, H, W]`. The kernel does not hold all scores.
    pub fn forward(&self, x: &Tensor, latents: Option<&Tensor>) -> Tensor {
        let pixels = self.norm.forward(x, latents);
        let pixels = pixels.flatten(2, 3).transpose(1, 2).contiguous(); // [B, H W, C]
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|linear| linear.forward(&pixels));
        let attended = attend(&q, &k, &v, self.channels, None);
        x + self.out.forward(&attended).transpose(1, 2).view_as(x) // [B, C, H, W]
    }
}
