//! The encoder, from images to features that become latents.

use layers::{Conv2d, Params};
use tch::Tensor;

use crate::blocks::{Blocks, Middle};
use crate::config::{MovqConfig, MovqLevel};
use crate::norm::{Norm, NormKind};
use crate::resnet::Downsample;

/// The encoder.
pub struct Encoder {
    conv_in: Conv2d,
    levels: Vec<(Blocks, Option<Downsample>)>,
    middle: Middle,
    norm_out: Norm,
    conv_out: Conv2d,
}

impl Encoder {
    /// Takes `conv_in`, `down_blocks`, `mid_block`, `conv_norm_out` and `conv_out`.
    pub fn new(p: &Params, config: &MovqConfig) -> Self {
        let norm = NormKind::Group { groups: config.norm_groups };
        let finest = config.levels[0].channels;
        let mut before = finest;
        let level = |(n, level): (usize, &MovqLevel)| {
            let p = p / format!("down_blocks.{n}");
            let mut inputs = vec![level.channels; config.layers_per_block as usize];
            inputs[0] = std::mem::replace(&mut before, level.channels);
            let blocks = Blocks::new(&p, &inputs, level.channels, level.attends, norm);
            let is_last = n + 1 == config.levels.len();
            let sampler = || Downsample::new(&(&p / "downsamplers.0"), level.channels);
            (blocks, (!is_last).then(sampler))
        };
        let levels = config.levels.iter().enumerate().map(level).collect();
        let coarsest = config.coarsest();
        Self {
            conv_in: Conv2d::new(&(p / "conv_in"), config.image_channels, finest, 3),
            levels,
            middle: Middle::new(&(p / "mid_block"), coarsest, norm),
            norm_out: Norm::new(&(p / "conv_norm_out"), coarsest, norm),
            conv_out: Conv2d::new(&(p / "conv_out"), coarsest, config.latent_channels, 3),
        }
    }

    /// `[B, image channels, H, W] -> [B, L, H / scale, W / scale]`
    pub fn forward(&self, images: &Tensor) -> Tensor {
        let x = self.levels.iter().fold(self.conv_in.forward(images), |x, (blocks, sampler)| {
            let x = blocks.forward(x, None);
            match sampler {
                Some(sampler) => sampler.forward(&x),
                None => x,
            }
        });
        let x = self.middle.forward(x, None);
        self.conv_out.forward(&self.norm_out.forward(&x, None).silu_())
    }
}
