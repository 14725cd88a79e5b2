//! Attention of pixels to each other and to the context at once.

use layers::{GroupNorm, Init, Linear, Params, attend};
use tch::Tensor;

use crate::config::{AttentionConfig, UNetConfig};

/// Self-attention whose keys and values begin with the context's tokens: guided-diffusion's attention with the text keys
/// of GLIDE (2112.10741).
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

    /// The keys and values of `context [B, S, X]`, `[B, S, C]` each.
    pub fn project_context(&self, context: &Tensor) -> [Tensor; 2] {
        [self.k_context.forward(context), self.v_context.forward(context)]
    }

    /// `x [B, C, H, W]`, the context's `keys` and `values [B, S, C]` and perhaps a `bias [B, 1, 1, S]` that is added to
    /// their scores `-> [B, C, H, W]`
    pub fn forward(
        &self,
        x: &Tensor,
        [keys, values]: &[Tensor; 2],
        bias: Option<&Tensor>,
    ) -> Tensor {
        // One copy into rows serves the three projections.
        let pixels = self.norm.forward(x).flatten(2, 3).transpose(1, 2).contiguous(); // [B, H W, C]
        let k = Tensor::cat(&[keys, &self.k.forward(&pixels)], 1); // [B, S + H W, C]
        let v = Tensor::cat(&[values, &self.v.forward(&pixels)], 1);
        let bias = bias.map(|bias| bias.constant_pad_nd([0, pixels.size()[1]])); // [B, 1, 1, S + H W]
        let attended = attend(&self.q.forward(&pixels), &k, &v, self.head_width, bias.as_ref());
        x + self.out.forward(&attended).transpose(1, 2).view_as(x) // [B, C, H, W]
    }
}
