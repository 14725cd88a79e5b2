//! The judge's network: a small residual convolutional net with one head a question.

use layers::{Activation, Conv2d, GroupNorm, Init, Linear, Params};
use tch::{Kind, Tensor};

/// The side of the pictures that the network takes.
pub const SIDE: u32 = 64;
/// Channels at 32, 16, 8 and 4 pixels a side, and residual blocks there.
const STAGES: [(i64, usize); 4] = [(16, 1), (48, 1), (96, 2), (144, 2)];
/// Channels that are left when the last map is laid out as one vector.
const LAID_OUT: i64 = 32;
/// Width of the hidden layer before the heads.
pub const HIDDEN: i64 = 256;
const GROUPS: i64 = 8;
const EPS: f64 = 1e-5;

/// A picture's logits for several questions at once. What a picture shows and where is read from one vector, so the
/// last map is laid out instead of averaged: an average forgets the place.
pub struct Network {
    stem: Conv2d,
    stages: Vec<Stage>,
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
                let stage =
                    Stage::new(&(p / format!("stages.{i}")), inputs, channels, blocks, i > 0);
                inputs = channels;
                stage
            })
            .collect();
        let laid_out = LAID_OUT * i64::from(SIDE / 16).pow(2);
        Self {
            stem: Conv2d::patches(&(p / "stem"), 3, STAGES[0].0, 2),
            stages,
            norm: GroupNorm::new(&(p / "norm"), GROUPS, inputs, EPS),
            narrow: Conv2d::new(&(p / "narrow"), inputs, LAID_OUT, 1),
            hidden: Linear::new(&(p / "hidden"), laid_out, HIDDEN),
            heads: Linear::with_init(&(p / "heads"), HIDDEN, outputs, Init::Normal(0.01)),
        }
    }

    /// Pictures `[B, 3, 64, 64]` in [-1, 1], in the kind of the weights, to logits in f32: `-> [B, outputs]`
    pub fn forward(&self, pictures: &Tensor) -> Tensor {
        self.heads.forward(&self.features(pictures)).to_kind(Kind::Float) // [B, outputs]
    }

    /// What the heads read of such pictures, the last hidden layer: `-> [B, 256]`
    pub fn features(&self, pictures: &Tensor) -> Tensor {
        let mut x = self.stem.forward(pictures); // [B, C, 32, 32]
        for stage in &self.stages {
            x = stage.forward(&x); // [B, C, H, W], down to 4 x 4
        }
        let x =
            self.narrow.forward(&Activation::Silu.forward(&self.norm.forward(&x))).flatten(1, -1); // [B, D]
        Activation::Silu.forward(&self.hidden.forward(&x)) // [B, 256]
    }
}

/// The blocks at one size, after halving the one before.
struct Stage {
    halve: Option<Conv2d>,
    blocks: Vec<Block>,
}

impl Stage {
    fn new(p: &Params, inputs: i64, channels: i64, blocks: usize, halves: bool) -> Self {
        Self {
            halve: halves.then(|| Conv2d::patches(&(p / "halve"), inputs, channels, 2)),
            blocks: (0..blocks)
                .map(|i| Block::new(&(p / format!("blocks.{i}")), channels))
                .collect(),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = self.halve.as_ref().map_or_else(|| x.shallow_clone(), |halve| halve.forward(x));
        for block in &self.blocks {
            x = block.forward(&x);
        }
        x
    }
}

/// `x + conv(silu(norm(conv(silu(norm(x))))))`, the last convolution starting at 0.
struct Block {
    norm_1: GroupNorm,
    conv_1: Conv2d,
    norm_2: GroupNorm,
    conv_2: Conv2d,
}

impl Block {
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
