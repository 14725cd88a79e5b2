//! The decoder, from latents to images.

use layers::{Conv2d, Params};
use tch::Tensor;

use crate::blocks::{Blocks, Middle};
use crate::config::{MovqConfig, MovqLevel};
use crate::norm::{Norm, NormKind};
use crate::resnet::Upsample;

/// The decoder, each of whose norms the latents modulate (2209.09002, section 3.2).
pub struct Decoder {
    conv_in: Conv2d,
    middle: Middle,
    /// The coarsest first.
    levels: Vec<(Blocks, Option<Upsample>)>,
    norm_out: Norm,
    conv_out: Conv2d,
}

impl Decoder {
    /// Takes `conv_in`, `mid_block`, `up_blocks`, `conv_norm_out` and `conv_out`.
    pub fn new(p: &Params, config: &MovqConfig) -> Self {
        let norm = NormKind::Spatial { latent_channels: config.latent_channels };
        let (coarsest, finest) = (config.coarsest(), config.levels[0].channels);
        let mut before = coarsest;
        let level = |(n, level): (usize, &MovqLevel)| {
            let p = p / format!("up_blocks.{n}");
            let mut inputs = vec![level.channels; config.layers_per_block as usize + 1];
            inputs[0] = std::mem::replace(&mut before, level.channels);
            let blocks = Blocks::new(&p, &inputs, level.channels, level.attends, norm);
            let is_last = n + 1 == config.levels.len();
            let sampler = || Upsample::new(&(&p / "upsamplers.0"), level.channels);
            (blocks, (!is_last).then(sampler))
        };
        let levels = config.levels.iter().rev().enumerate().map(level).collect();
        Self {
            conv_in: Conv2d::new(&(p / "conv_in"), config.latent_channels, coarsest, 3),
            middle: Middle::new(&(p / "mid_block"), coarsest, norm),
            levels,
            norm_out: Norm::new(&(p / "conv_norm_out"), finest, norm),
            conv_out: Conv2d::new(&(p / "conv_out"), finest, config.image_channels, 3),
        }
    }

    /// `x [B, L, h, w]`, and the `latents` of the same shape that modulate the norms,
    /// `-> [B, image channels, h * scale, w * scale]`
    pub fn forward(&self, x: &Tensor, latents: &Tensor) -> Tensor {
        let latents = Some(latents);
        let x = self.middle.forward(self.conv_in.forward(x), latents);
        let x = self.levels.iter().fold(x, |x, (blocks, sampler)| {
            let x = blocks.forward(x, latents);
            match sampler {
                Some(sampler) => sampler.forward(&x),
                None => x,
            }
        });
        self.conv_out.forward(&self.norm_out.forward(&x, latents).silu_())
    }
}
