//! The judge's network: a small residual convolutional network with one classification head a question.

use layers::{Activation, Conv2d, GroupNorm, Init, Linear, Params};
use tch::{Kind, Tensor};

/// The side of the images that the network takes, in pixels.
pub const SIDE: u32 = 64;
/// Channels at 32, 16, 8 and 4 pixels a side, and residual blocks there.
const STAGES: [(i64, usize); 4] = [(16, 1), (48, 1), (96, 2), (144, 2)];
/// Channels of the last feature map, which is flattened.
const FLATTENED: i64 = 32;
/// Width of the hidden layer before the heads, whose values are the features.
pub const HIDDEN: i64 = 256;
const GROUPS: i64 = 8;
const EPS: f64 = 1e-5;

/// A residual network with a linear head over all questions. The last feature map is flattened instead of averaged,
/// because an average forgets where in the image a thing is.
pub struct Network {
    stem: Conv2d,
    stages: Vec<ResidualStage>,
    norm: GroupNorm,
    narrow: Conv2d,
    hidden: Linear,
    heads: Linear,
}

impl Network {
    /// A network with `outputs` logits in all.
    pub fn new(p: &Params, outputs: i64) -> Self {
        let mut inputs = STAGES[0].0;
        let stages = STAGES
            .iter()
            .enumerate()
            .map(|(i, &(channels, blocks))| {
                let stage = ResidualStage::new(
                    &(p / format!("stages.{i}")),
                    inputs,
                    channels,
                    blocks,
                    i > 0,
                );
                inputs = channels;
                stage
            })
            .collect();
        let flattened = FLATTENED * i64::from(SIDE / 16).pow(2);
        Self {
            stem: Conv2d::patches(&(p / "stem"), 3, STAGES[0].0, 2),
            stages,
            norm: GroupNorm::new(&(p / "norm"), GROUPS, inputs, EPS),
            narrow: Conv2d::new(&(p / "narrow"), inputs, FLATTENED, 1),
            hidden: Linear::new(&(p / "hidden"), flattened, HIDDEN),
            heads: Linear::with_init(&(p / "heads"), HIDDEN, outputs, Init::Normal(0.01)),
        }
    }

    /// Logits in f32 of images in [-1, 1], in the dtype of the weights: `[B, 3, 64, 64] -> [B, outputs]`.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        self.heads.forward(&self.features(images)).to_kind(Kind::Float) // [B, outputs]
    }

    /// Features, the last hidden layer before the heads: `[B, 3, 64, 64] -> [B, 256]`.
    pub fn features(&self, images: &Tensor) -> Tensor {
        let mut x = self.stem.forward(images); // [B, C, 32, 32]
        for stage in &self.stages {
            x = stage.forward(&x); // [B, C, H, W], down to 4 x 4
        }
        let x =
            self.narrow.forward(&Activation::Silu.forward(&self.norm.forward(&x))).flatten(1, -1); // [B, D]
        Activation::Silu.forward(&self.hidden.forward(&x)) // [B, 256]
    }
}

/// Residual blocks at one resolution, after a strided convolution from the one before.
struct ResidualStage {
    downsample: Option<Conv2d>,
    blocks: Vec<ResidualBlock>,
}

impl ResidualStage {
    fn new(p: &Params, inputs: i64, channels: i64, blocks: usize, downsamples: bool) -> Self {
        Self {
            downsample: downsamples.then(|| Conv2d::patches(&(p / "halve"), inputs, channels, 2)),
            blocks: (0..blocks)
                .map(|i| ResidualBlock::new(&(p / format!("blocks.{i}")), channels))
                .collect(),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x.shallow_clone(),
        };
        for block in &self.blocks {
            x = block.forward(&x);
        }
        x
    }
}

/// `x + conv(silu(norm(conv(silu(norm(x))))))`, the last convolution starting at 0.
struct ResidualBlock {
    norm_1: GroupNorm,
    conv_1: Conv2d,
    norm_2: GroupNorm,
    conv_2: Conv2d,
}

impl ResidualBlock {
    fn new(p: &Params, channels: i64) -> Self {
        Self {
            norm_1: GroupNorm::new(&(p / "norm_1"), GROUPS, channels, EPS),
            conv_1: Conv2d::new(&(p / "conv_1"), channels, channels, 3),
            norm_2: GroupNorm::new(&(p / "norm_2"), GROUPS, channels, EPS),
            conv_2: Conv2d::with_init(&(p / "conv_2"), channels, channels, 3, Init::Zeros),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.conv_1.forward(&Activation::Silu.forward(&self.norm_1.forward(x)));
        x + self.conv_2.forward(&Activation::Silu.forward(&self.norm_2.forward(&h)))
    }
}

/// Images of [`SIDE`] pixels, bytes `[H, W, 3]` each, as one tensor `[B, 3, 64, 64]`, u8.
pub(crate) fn images_to_tensor(images: impl Iterator<Item = Vec<u8>>) -> Tensor {
    let (bytes, side) = (images.collect::<Vec<_>>().concat(), i64::from(SIDE));
    Tensor::from_slice(&bytes).view([-1, side, side, 3]).permute([0, 3, 1, 2])
}

/// Bytes to [-1, 1], in f32.
pub(crate) fn to_signed(images: &Tensor) -> Tensor {
    images.to_kind(Kind::Float) / 127.5 - 1.0
}
