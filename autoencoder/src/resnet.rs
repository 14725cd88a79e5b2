//! The residual block of both halves, and the changes of resolution between levels.

use layers::{Conv2d, Params};
use tch::Tensor;

use crate::norm::{Norm, NormKind};

/// A residual block.
pub struct ResnetBlock {
    norm_in: Norm,
    conv_in: Conv2d,
    norm_out: Norm,
    conv_out: Conv2d,
    skip: Option<Conv2d>,
}

impl ResnetBlock {
    /// Takes `norm1`, `conv1`, `norm2`, `conv2` and, where the channels change, `conv_shortcut`.
    pub fn new(p: &Params, inputs: i64, outputs: i64, norm: NormKind) -> Self {
        Self {
            norm_in: Norm::new(&(p / "norm1"), inputs, norm),
            conv_in: Conv2d::new(&(p / "conv1"), inputs, outputs, 3),
            norm_out: Norm::new(&(p / "norm2"), outputs, norm),
            conv_out: Conv2d::new(&(p / "conv2"), outputs, outputs, 3),
            skip: (inputs != outputs)
                .then(|| Conv2d::new(&(p / "conv_shortcut"), inputs, outputs, 1)),
        }
    }

    /// `x [B, inputs, H, W]`, of whose latents the norms may take account, `-> [B, outputs, H, W]`
    pub fn forward(&self, x: &Tensor, latents: Option<&Tensor>) -> Tensor {
        let h = self.conv_in.forward(&self.norm_in.forward(x, latents).silu_());
        // What a convolution read is freed before the next one writes.
        let h = self.norm_out.forward(&h, latents).silu_();
        let mut h = self.conv_out.forward(&h);
        match &self.skip {
            Some(skip) => h += skip.forward(x),
            None => h += x,
        }
        h
    }
}

/// Half the resolution: a convolution at every other pixel.
pub struct Downsample(Conv2d);

impl Downsample {
    /// Takes `conv`.
    pub fn new(p: &Params, channels: i64) -> Self {
        Self(Conv2d::strided(&(p / "conv"), channels, channels, 3, 2))
    }

    /// `[B, C, H, W] -> [B, C, H / 2, W / 2]`, for even sides.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        // As published, a row and a column of zeros at the end alone.
        self.0.forward(&x.constant_pad_nd([0, 1, 0, 1]))
    }
}

/// Double the resolution: each pixel four times, and a convolution.
pub struct Upsample(Conv2d);

impl Upsample {
    /// Takes `conv`.
    pub fn new(p: &Params, channels: i64) -> Self {
        Self(Conv2d::new(&(p / "conv"), channels, channels, 3))
    }

    /// `[B, C, H, W] -> [B, C, 2 H, 2 W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward_doubled(x)
    }
}
