//! Group norms: plain ones, and those that the latents modulate.

use layers::{Conv2d, GroupNorm, Params};
use tch::Tensor;

/// The epsilon of all norms, which the published class fixes.
const EPS: f64 = 1e-6;

/// The groups of a modulated norm, which the published class fixes.
pub const SPATIAL_GROUPS: i64 = 32;

/// The norms of one half of an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Plain group norms, the encoder's.
    Group {
        /// Their groups.
        groups: i64,
    },
    /// Spatially conditional norms, the decoder's (2209.09002, section 3.2).
    Spatial {
        /// Channels of the latents that modulate them.
        latent_channels: i64,
    },
}

/// A group norm, which latents may modulate.
pub struct Norm {
    norm: GroupNorm,
    modulation: Option<Modulation>,
}

/// The factor and the summand of each place, of the latents there.
struct Modulation {
    scale: Conv2d,
    shift: Conv2d,
}

impl Norm {
    /// Takes `weight` and `bias`, or for spatial norms `norm_layer`, `conv_y` and `conv_b`.
    pub fn new(p: &Params, channels: i64, kind: NormKind) -> Self {
        match kind {
            NormKind::Group { groups } => {
                Self { norm: GroupNorm::new(p, groups, channels, EPS), modulation: None }
            }
            NormKind::Spatial { latent_channels } => Self {
                norm: GroupNorm::new(&(p / "norm_layer"), SPATIAL_GROUPS, channels, EPS),
                modulation: Some(Modulation {
                    scale: Conv2d::new(&(p / "conv_y"), latent_channels, channels, 1),
                    shift: Conv2d::new(&(p / "conv_b"), latent_channels, channels, 1),
                }),
            },
        }
    }

    /// `x [B, C, H, W]`, whose sides are multiples of those of `latents [B, L, h, w] -> [B, C, H, W]`. Without gradients.
    pub fn forward(&self, x: &Tensor, latents: Option<&Tensor>) -> Tensor {
        let normed = self.norm.forward(x);
        let Some((modulation, latents)) = self.modulation.as_ref().zip(latents) else {
            return normed;
        };
        let (batch, channels, height, width) = x.size4().expect("images are [B, C, H, W]");
        let (_, _, rows, columns) = latents.size4().expect("latents are [B, L, h, w]");
        // Each latent's factor and summand are broadcast over its pixels, and not enlarged in memory.
        let place =
            |conv: &Conv2d| conv.forward(latents).view([batch, channels, rows, 1, columns, 1]);
        let tiles = [batch, channels, rows, height / rows, columns, width / columns];
        let mut tiled = normed.view(&tiles[..]);
        let _ = tiled.g_mul_(&place(&modulation.scale)).g_add_(&place(&modulation.shift));
        normed
    }
}
