//! Attention of a picture to itself and to its conditions at once.

use layers::{GroupNorm, Init, Linear, Params, attend};
use tch::Tensor;

use crate::unet::{AttentionConfig, UNetConfig};

/// Queries are the picture's pixels, keys and values the conditions' tokens followed by the pixels
/// (guided-diffusion's attention with the text keys of GLIDE, section 4.2).
pub struct Attention {
    norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    k_context: Linear,
    v_context: Linear,
    out: Linear,
    head_width: i64,
}

impl Attention {
    /// Takes `group_norm`, `to_q`, `to_k`, `to_v`, `add_k_proj`, `add_v_proj` and `to_out.0`.
    pub fn new(p: &Params, channels: i64, unet: &UNetConfig, config: &AttentionConfig) -> Self {
        Self {
            // The published class fixes this epsilon, whatever the U-Net's.
            norm: GroupNorm::new(&(p / "group_norm"), unet.norm_groups, channels, 1e-5),
            q: Linear::new(&(p / "to_q"), channels, channels),
            k: Linear::new(&(p / "to_k"), channels, channels),
            v: Linear::new(&(p / "to_v"), channels, channels),
            k_context: Linear::new(&(p / "add_k_proj"), config.context_width, channels),
            v_context: Linear::new(&(p / "add_v_proj"), config.context_width, channels),
            // A new block starts as the identity.
            out: Linear::with_init(&(p / "to_out.0"), channels, channels, Init::Zeros),
            head_width: config.head_width,
        }
    }

    /// The keys and values of the conditions' `tokens [B, S, X]`, `[B, S, C]` each: all that it takes of them.
    pub fn tell(&self, tokens: &Tensor) -> [Tensor; 2] {
        [self.k_context.forward(tokens), self.v_context.forward(tokens)]
    }

    /// `x [B, C, H, W]`, the conditions' `keys` and `values [B, S, C]` and a `bias [B, 1, 1, S + H W]` that is added to the
    /// scores `-> [B, C, H, W]`
    pub fn forward(&self, x: &Tensor, keys: &Tensor, values: &Tensor, bias: &Tensor) -> Tensor {
        // One copy into rows serves the three projections.
        let pixels = self.norm.forward(x).flatten(2, 3).transpose(1, 2).contiguous(); // [B, H W, C]
        let k = Tensor::cat(&[keys, &self.k.forward(&pixels)], 1); // [B, S + H W, C]
        let v = Tensor::cat(&[values, &self.v.forward(&pixels)], 1);
        let attended = attend(&self.q.forward(&pixels), &k, &v, self.head_width, Some(bias));
        x + self.out.forward(&attended).transpose(1, 2).view_as(x) // [B, C, H, W]
    }
}
