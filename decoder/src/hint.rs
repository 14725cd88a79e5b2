//! The encoder of hints: images, of depths say, whose features a U-Net takes beside the noised latents.

use layers::{Conv2d, Params};
use tch::Tensor;

/// Channels of the features.
pub const HINT_CHANNELS: i64 = 4;

/// Pixels of a hint on the side of a feature.
pub const HINT_SCALE: i64 = 8;

/// Outputs and stride of each convolution, which the published class fixes.
const CONVOLUTIONS: [(i64, i64); 8] =
    [(16, 1), (16, 1), (32, 2), (32, 1), (96, 2), (96, 1), (256, 2), (HINT_CHANNELS, 1)];

/// The encoder of hints (tensors named as in the U-Net's file of the published Kandinsky 2.2 ControlNet).
pub struct HintEncoder {
    convolutions: Vec<Conv2d>,
}

impl HintEncoder {
    /// Takes `input_hint_block`.
    pub fn new(p: &Params) -> Self {
        let mut inputs = 3;
        let convolution = |(n, (outputs, stride)): (usize, (i64, i64))| {
            // Between two convolutions lies an activation, which has a number too.
            let p = p / format!("input_hint_block.{}", 2 * n);
            Conv2d::with_stride(&p, std::mem::replace(&mut inputs, outputs), outputs, 3, stride)
        };
        Self { convolutions: CONVOLUTIONS.into_iter().enumerate().map(convolution).collect() }
    }

    /// `[B, 3, 8 h, 8 w]` from 0 to 1 `-> [B, 4, h, w]`
    pub fn forward(&self, hints: &Tensor) -> Tensor {
        let (first, others) = self.convolutions.split_first().expect("eight convolutions");
        others.iter().fold(first.forward(hints), |x, convolution| convolution.forward(&x.silu()))
    }
}
