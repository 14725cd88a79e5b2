//! Linear maps, convolutions, norms and activations.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use kernels::{convolve, gemv, group_norm_silu, is_channels_last, multiplies_in_f32};

use crate::{Init, Params};

/// `y = x W^T + b`.
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Takes `weight [outputs, inputs]` and `bias [outputs]`.
    pub fn new(p: &Params, inputs: i64, outputs: i64) -> Self {
        let bound = (inputs as f64).powf(-0.5);
        Self::with_init(p, inputs, outputs, Init::Uniform(bound))
    }

    /// As [`Linear::new`], with another initialisation of the weight; the bias starts at 0.
    pub fn with_init(p: &Params, inputs: i64, outputs: i64, init: Init) -> Self {
        Self {
            weight: p.take_weight(&[outputs, inputs], init),
            bias: Some(p.take("bias", &[outputs], Init::Zeros)),
        }
    }

    /// Takes `weight [outputs, inputs]` only.
    pub fn without_bias(p: &Params, inputs: i64, outputs: i64, init: Init) -> Self {
        Self { weight: p.take_weight(&[outputs, inputs], init), bias: None }
    }

    /// `[.., inputs] -> [.., outputs]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        gemv(x, &self.weight, self.bias.as_ref()).unwrap_or_else(|| {
            product(x, &self.weight, self.bias.as_ref(), |x, weight, bias| x.linear(weight, bias))
        })
    }
}

/// The `multiply` of `x` with a weight and a bias: where the processor has no kernels of their kind in f32, rounded; a weight of
/// another kind than `x` becomes of that first.
fn product(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    multiply: impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Tensor,
) -> Tensor {
    if !multiplies_in_f32(&[x, weight]) {
        return multiply(x, &weight.to_kind(x.kind()), bias);
    }
    let [x_f32, weight] = [x, weight].map(|tensor| tensor.to_kind(Kind::Float));
    let bias = bias.map(|bias| bias.to_kind(Kind::Float));
    multiply(&x_f32, &weight, bias.as_ref()).to_kind(x.kind())
}

/// A 2-D convolution with zero padding that keeps the size at stride 1.
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
}

impl Conv2d {
    /// Takes `weight [outputs, inputs, size, size]` and `bias [outputs]`; stride 1, `size / 2` of padding.
    pub fn new(p: &Params, inputs: i64, outputs: i64, size: i64) -> Self {
        let bound = ((inputs * size * size) as f64).powf(-0.5);
        Self::with_init(p, inputs, outputs, size, Init::Uniform(bound))
    }

    /// As [`Conv2d::new`], with another initialisation of the weight; the bias starts at 0.
    pub fn with_init(p: &Params, inputs: i64, outputs: i64, size: i64, init: Init) -> Self {
        Self {
            weight: p.take_weight(&[outputs, inputs, size, size], init),
            bias: Some(p.take("bias", &[outputs], Init::Zeros)),
            stride: 1,
            padding: size / 2,
        }
    }

    /// As [`Conv2d::new`] without a bias, at a stride.
    pub fn without_bias(p: &Params, inputs: i64, outputs: i64, size: i64, stride: i64) -> Self {
        let bound = Init::Uniform(((inputs * size * size) as f64).powf(-0.5));
        let weight = p.take_weight(&[outputs, inputs, size, size], bound);
        Self { weight, bias: None, stride, padding: size / 2 }
    }

    /// Cuts an image into patches: `weight [outputs, inputs, size, size]`, stride `size`, no bias, no padding.
    pub fn patches(p: &Params, inputs: i64, outputs: i64, size: i64) -> Self {
        let deviation = ((inputs * size * size) as f64).powf(-0.5);
        let weight = p.take_weight(&[outputs, inputs, size, size], Init::Normal(deviation));
        Self { weight, bias: None, stride: size, padding: 0 }
    }

    /// As [`Conv2d::new`], at a stride.
    pub fn with_stride(p: &Params, inputs: i64, outputs: i64, size: i64, stride: i64) -> Self {
        Self { stride, ..Self::new(p, inputs, outputs, size) }
    }

    /// Takes `weight [outputs, inputs, size, size]` and `bias [outputs]`; `stride` pixels apart, no padding.
    pub fn strided(p: &Params, inputs: i64, outputs: i64, size: i64, stride: i64) -> Self {
        Self { stride, padding: 0, ..Self::new(p, inputs, outputs, size) }
    }

    /// `[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (outputs, inputs, size, _) = self.weight.size4().expect("kernels are [O, I, K, K]");
        match &self.bias {
            // A matrix product an image: on the CPU half of the time of a convolution, and a third of its gradient's.
            Some(bias) if size == 1 && self.stride == 1 && !is_channels_last(x) => {
                let (batch, _, height, width) = x.size4().expect("images are [B, C, H, W]");
                product(x, &self.weight, Some(bias), |x, weight, bias| {
                    let weight = weight.view([1, outputs, inputs]);
                    bias.expect("this convolution has a bias")
                        .view([1, outputs, 1])
                        .baddbmm(
                            &weight.expand([batch, outputs, inputs], false),
                            &x.reshape([batch, inputs, height * width]),
                            1,
                            1,
                        )
                        .view([batch, outputs, height, width])
                })
            }
            bias => {
                let bias = bias.as_ref();
                let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
                let direct = || {
                    product(x, &self.weight, bias, |x, weight, bias| {
                        x.conv2d(weight, bias, stride, padding, [1, 1], 1)
                    })
                };
                match (size, self.stride) {
                    (3, 1) => convolve(x, &self.weight, bias, false, direct),
                    _ => direct(),
                }
            }
        }
    }

    /// The output of [`Conv2d::forward`] for `x` upsampled to the nearest pixel by 2, for kernels of 3 x 3:
    /// `[B, inputs, H, W] -> [B, outputs, 2 H, 2 W]`.
    ///
    /// Of a kernel's nine weights those that meet the same pixel are added up first. An output pixel then sees 2 x 2
    /// pixels, which is a transposed convolution with a kernel of 4 x 4: four products instead of nine.
    pub fn forward_doubled(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref();
        let direct = || {
            if is_channels_last(x) {
                // Multiplied faster than kernels are added up.
                let (_, _, height, width) = x.size4().expect("images are [B, C, H, W]");
                let x = x.upsample_nearest2d([2 * height, 2 * width], None, None);
                return product(&x, &self.weight, bias, |x, weight, bias| {
                    x.conv2d(weight, bias, [1, 1], [1, 1], [1, 1], 1)
                });
            }
            // [0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]: made where it is used, for a captured graph reads no host's memory.
            let weight = self.weight.to_kind(x.kind());
            let options = (weight.kind(), weight.device());
            let sums = Tensor::ones([4, 3], options).tril(0).triu(-1).flip([1]);
            let along = |kernel: &Tensor| kernel.matmul(&sums.tr()).transpose(2, 3);
            let kernel = along(&along(&weight)).transpose(0, 1); // [inputs, outputs, 4, 4]
            x.conv_transpose2d(&kernel, bias, [2, 2], [1, 1], [0, 0], 1, [1, 1])
        };
        convolve(x, &self.weight, bias, true, direct)
    }
}

/// A table of vectors.
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// Takes `weight [count, width]`.
    pub fn new(p: &Params, count: i64, width: i64) -> Self {
        Self { weight: p.take("weight", &[count, width], Init::Normal(0.02)) }
    }

    /// `[..] (i64) -> [.., D]`
    pub fn forward(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.weight, ids, -1, false, false)
    }

    /// The whole table, `[count, D]`.
    pub fn table(&self) -> &Tensor {
        &self.weight
    }
}

/// Layer normalisation over the last axis, computed in f32 whatever the input's kind.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Takes `weight [width]` and `bias [width]`.
    pub fn new(p: &Params, width: i64, eps: f64) -> Self {
        Self {
            weight: p.take("weight", &[width], Init::Ones),
            bias: p.take("bias", &[width], Init::Zeros),
            eps,
        }
    }

    /// `[.., D] -> [.., D]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = affine(&self.weight, &self.bias, x);
        x.layer_norm(self.weight.size(), Some(weight), Some(bias), self.eps, false)
    }
}

/// Group normalisation over channels, computed in f32 whatever the input's kind.
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    eps: f64,
}

impl GroupNorm {
    /// Takes `weight [channels]` and `bias [channels]`.
    pub fn new(p: &Params, groups: i64, channels: i64, eps: f64) -> Self {
        Self {
            weight: p.take("weight", &[channels], Init::Ones),
            bias: p.take("bias", &[channels], Init::Zeros),
            groups,
            eps,
        }
    }

    /// `[B, C, ..] -> [B, C, ..]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = affine(&self.weight, &self.bias, x);
        x.group_norm(self.groups, Some(weight), Some(bias), self.eps, false)
    }

    /// SiLU of the norm, which `scale` and `shift [B, C]` modulate first, where there are any: `(1 + scale) norm(x) + shift`.
    pub fn forward_silu(&self, x: &Tensor, scale_shift: Option<[&Tensor; 2]>) -> Tensor {
        let affine = [&self.weight, &self.bias];
        if let Some(output) = group_norm_silu(x, self.groups, affine, self.eps, scale_shift) {
            return output;
        }
        let mut output = self.forward(x);
        if let Some(modulation) = scale_shift {
            let [scale, shift] = modulation.map(|of| of.unsqueeze(-1).unsqueeze(-1)); // [B, C, 1, 1]
            output = shift.addcmul(&output, &(scale + 1.0));
        }
        match output.requires_grad() {
            true => output.silu(),
            false => output.silu_(),
        }
    }
}

/// Batch normalisation over channels with the statistics of the training, which no batch changes.
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl BatchNorm {
    /// Takes `weight`, `bias`, `running_mean` and `running_var`, each `[channels]`.
    pub fn new(p: &Params, channels: i64) -> Self {
        let take = |leaf, init| p.take(leaf, &[channels], init);
        Self {
            weight: take("weight", Init::Ones),
            bias: take("bias", Init::Zeros),
            mean: take("running_mean", Init::Zeros),
            variance: take("running_var", Init::Ones),
        }
    }

    /// `[B, C, H, W] -> [B, C, H, W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        // libtorch's kernels take these in f32 beside an input of any kind.
        let [weight, bias, mean, variance] = [&self.weight, &self.bias, &self.mean, &self.variance]
            .map(|tensor| Some(tensor.to_kind(Kind::Float)));
        x.batch_norm(weight, bias, mean, variance, false, 0.1, 1e-5, false)
    }
}

/// A norm's weight and bias for `x`: libtorch's kernels sum half-precision rows in f32; those of the CPU take an f32 affine
/// with them, those of a GPU one of the rows' kind.
fn affine(weight: &Tensor, bias: &Tensor, x: &Tensor) -> [Tensor; 2] {
    let kind = match x.device() {
        Device::Cpu => Kind::Float,
        _ => x.kind(),
    };
    [weight.to_kind(kind), bias.to_kind(kind)]
}

/// The activations that published checkpoints name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The exact Gaussian error linear unit.
    Gelu,
    /// CLIP's approximation, `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `x * sigmoid(x)`.
    #[serde(alias = "swish")]
    Silu,
}

impl Activation {
    /// Element by element.
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::QuickGelu => x * (x * 1.702).sigmoid(),
            Self::Silu => x.silu(),
        }
    }
}
