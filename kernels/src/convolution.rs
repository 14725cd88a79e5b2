//! The choice of the kernel that computes a convolution of 3 x 3 on the CPU, by rule or by autotuning.
//!
//! Winograd's kernels multiply a fraction as often as a direct one and round a little more: the outputs are 3e-6 apart, relative
//! to their size. So that a seed draws the same image in every process, the choice goes by the shape and the processor;
//! [`autotune`] measures instead, and what it chooses may differ between two processes. Halves are computed in f32 by
//! Winograd's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::simd::Simd;
use crate::winograd::{self, Tiling};
use crate::{channels_last, is_channels_last};

/// A way to compute a convolution of 3 x 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// libtorch's choice, oneDNN as a rule.
    Direct,
    /// One matrix product of the weights as they lie in memory with every pixel's neighbours (im2col).
    Im2col,
    /// Winograd's F(4 x 4, 3 x 3) (1509.09308).
    WinogradFour,
    /// Winograd's F(6 x 6, 3 x 3).
    WinogradSix,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Im2col, Self::WinogradFour, Self::WinogradSix];

    /// `x [B, inputs, H, W]` with `weight [outputs, inputs, 3, 3]`, a stride and a padding of 1. Pixels lie in memory as in
    /// `x`.
    pub fn convolve(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        self.convolve_by(Simd::current(), x, weight, bias)
    }

    /// As [`Kernel::convolve`], in registers of one width where the kernel is ours.
    pub fn convolve_by(
        self,
        simd: Simd,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Tensor {
        if self == Self::Direct {
            return x.conv2d(&weight.to_kind(x.kind()), bias, [1, 1], [1, 1], [1, 1], 1);
        }
        let floats = x.to_kind(Kind::Float);
        let bias = bias.map(|bias| bias.to_kind(Kind::Float));
        let winograd = |tiling| winograd::convolve(&floats, weight, bias.as_ref(), tiling, simd);
        let output = match self {
            Self::Direct | Self::Im2col => {
                im2col(&floats, &weight.to_kind(Kind::Float), bias.as_ref())
            }
            Self::WinogradFour => winograd(Tiling::Four),
            Self::WinogradSix => winograd(Tiling::Six),
        };
        let output = output.to_kind(x.kind());
        match is_channels_last(x) {
            true => channels_last(&output),
            false => output,
        }
    }
}

/// As [`Kernel::Im2col`]. Few pixels of many channels are multiplied so while oneDNN would reorder the weights.
fn im2col(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (batch, inputs, height, width) = x.size4().expect("images are [B, C, H, W]");
    let outputs = weight.size()[0];
    let columns = x.contiguous().im2col([3, 3], [1, 1], [1, 1], [1, 1]); // [B, 9 I, H W]
    let columns = columns.transpose(0, 1).reshape([inputs * 9, batch * height * width]);
    let weight = weight.reshape([outputs, inputs * 9]);
    let mut output = weight.matmul(&columns); // [O, B H W]
    if let Some(bias) = bias {
        output += bias.unsqueeze(1);
    }
    output.view([outputs, batch, height, width]).transpose(0, 1).contiguous()
}

/// The shape of a convolution of 3 x 3, with a stride and a padding of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConvShape {
    /// Images of the batch.
    pub batch: i64,
    /// Channels that go in.
    pub inputs: i64,
    /// Channels that come out.
    pub outputs: i64,
    /// The images' height.
    pub height: i64,
    /// The images' width.
    pub width: i64,
    /// Whether each pixel is doubled in both directions first; height and width are those before.
    pub doubled: bool,
    /// Whether the numbers are bf16; else they are f32.
    pub halves: bool,
}

impl ConvShape {
    /// The height and width that come out.
    fn output_size(&self) -> [i64; 2] {
        [self.height, self.width].map(|side| if self.doubled { 2 * side } else { side })
    }

    /// Pixels of an image that come out.
    fn pixels(&self) -> i64 {
        self.output_size().iter().product()
    }

    /// The kernel that is the fastest as a rule (`bin/test --ignored kernels_by_shape` measures it). The filters'
    /// transforms cost less than they save where each of their numbers is used by many tiles; larger tiles take more pixels to
    /// pay. Where halves are emulated, they are convolved in f32.
    pub fn kernel(&self, emulated_halves: bool) -> Kernel {
        /// Channels on the narrower side.
        const CHANNELS: i64 = 48;
        let halves = self.halves && !emulated_halves;
        let tiles = self.output_size().iter().map(|side| (side + 3) / 4).product::<i64>();
        match (self.batch * tiles, self.pixels()) {
            _ if halves || self.inputs.min(self.outputs) < CHANNELS => Kernel::Direct,
            (..16, _) => Kernel::Im2col,
            (_, ..65536) => Kernel::WinogradFour,
            _ => Kernel::WinogradSix,
        }
    }
}

/// The measured times of all kernels at one shape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelTimings {
    /// The shape.
    pub shape: ConvShape,
    /// Seconds of each kernel, in the order of [`Kernel::ALL`].
    pub seconds: [f64; 4],
}

impl KernelTimings {
    /// The fastest kernel; another than the direct one where it is faster than that by a tenth.
    pub fn kernel(&self) -> Kernel {
        let [direct, ..] = self.seconds;
        let all = Kernel::ALL.into_iter().zip(self.seconds);
        let (fastest, seconds) = all.min_by(|a, b| a.1.total_cmp(&b.1)).expect("kernels");
        match seconds < 0.9 * direct {
            true => fastest,
            false => Kernel::Direct,
        }
    }
}

/// The way to choose where a shape was never measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The shape and what the processor can do.
    Processor,
    /// The shape alone: the same kernels on every machine.
    Shape,
    /// A measurement, made when a shape first occurs.
    Autotune,
}

/// The policy and the measurements of this process.
struct Choices {
    policy: Policy,
    timings: BTreeMap<ConvShape, KernelTimings>,
    /// How many of them were read from a cache.
    loaded: usize,
}

static CHOICES: Mutex<Choices> =
    Mutex::new(Choices { policy: Policy::Processor, timings: BTreeMap::new(), loaded: 0 });

fn choices() -> MutexGuard<'static, Choices> {
    CHOICES.lock().expect("nobody panics with it")
}

/// Sets what the choice goes by from now on; [`Policy::Processor`] until then.
pub fn set_policy(policy: Policy) {
    choices().policy = policy;
}

/// Measures each shape when it first occurs, except those in `loaded`, which an earlier process measured.
pub fn autotune(loaded: Vec<KernelTimings>) {
    load_timings(loaded);
    let mut choices = choices();
    choices.policy = Policy::Autotune;
    choices.loaded = choices.timings.len();
}

/// Adds measurements of an earlier process: shapes among them are computed by their fastest kernel from now on.
pub fn load_timings(timings: Vec<KernelTimings>) {
    let timings = timings.into_iter().map(|timings| (timings.shape, timings));
    choices().timings.extend(timings);
}

/// All timings, where there are any that were not loaded.
pub fn new_timings() -> Option<Vec<KernelTimings>> {
    let choices = choices();
    let all: Vec<KernelTimings> = choices.timings.values().copied().collect();
    (all.len() > choices.loaded).then_some(all)
}

/// A convolution of `x [B, inputs, H, W]` with `weight [outputs, inputs, 3, 3]`, a stride and a padding of 1, of `x` with
/// each pixel first `doubled` in both directions if so; `direct` computes what [`Kernel::Direct`] does.
pub fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    doubled: bool,
    direct: impl Fn() -> Tensor,
) -> Tensor {
    let (batch, inputs, height, width) = x.size4().expect("images are [B, C, H, W]");
    let shape = ConvShape {
        batch,
        inputs,
        outputs: weight.size()[0],
        height,
        width,
        doubled,
        halves: x.kind() == Kind::BFloat16,
    };
    if !has_choice(shape, x, weight) {
        return direct();
    }
    let by = |kernel| match (kernel, doubled) {
        (Kernel::Direct, _) => direct(),
        (kernel, false) => kernel.convolve(x, weight, bias),
        (kernel, true) => {
            let x = x.upsample_nearest2d([2 * height, 2 * width], None, None);
            kernel.convolve(&x, weight, bias)
        }
    };
    let (policy, known) = {
        let choices = choices();
        (choices.policy, choices.timings.get(&shape).map(KernelTimings::kernel))
    };
    match (known, policy) {
        (Some(kernel), _) => by(kernel),
        (None, Policy::Autotune) => measure(shape, by),
        (None, policy) => by(shape.kernel(policy == Policy::Processor && !has_bf16())),
    }
}

/// Whether our kernels come into question: for f32 and bf16 on the CPU, work that pays for what they prepare, and no gradient,
/// which they do not have.
fn has_choice(shape: ConvShape, x: &Tensor, weight: &Tensor) -> bool {
    /// Multiplications an image, below which that costs more than they save.
    const LEAST_WORK: i64 = 300_000_000;
    x.device() == Device::Cpu
        && (x.kind() == Kind::Float || shape.halves)
        && 9 * shape.inputs * shape.outputs * shape.pixels() >= LEAST_WORK
        && !x.requires_grad()
        && !weight.requires_grad()
}

/// Whether the processor multiplies bf16 itself. One that does not converts each number to f32 and back; so does one whose
/// registers of 512 bits are not used ([`crate::set_simd`]).
#[cfg(target_arch = "x86_64")]
pub fn has_bf16() -> bool {
    Simd::current() == Simd::Bits512 && std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
pub fn has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn has_bf16() -> bool {
    false
}

/// Whether `tensors` are multiplied in f32 and their product rounded: bf16 on a CPU that does not multiply it itself, where a
/// product takes ten times one of f32 or more. With gradients, and where kernels are the same on every machine, none are.
pub fn multiplies_in_f32(tensors: &[&Tensor]) -> bool {
    let is_bf16 =
        |x: &&Tensor| x.kind() == Kind::BFloat16 && x.device() == Device::Cpu && !x.requires_grad();
    tensors.iter().all(is_bf16) && !has_bf16() && choices().policy != Policy::Shape
}

/// Measures each kernel in turn, records the times and returns the output of the fastest.
fn measure(shape: ConvShape, by: impl Fn(Kernel) -> Tensor) -> Tensor {
    /// A slow one is run once only.
    const SLOW: f64 = 0.2;
    let mut timings = KernelTimings { shape, seconds: [f64::INFINITY; 4] };
    for _ in 0..3 {
        for (kernel, seconds) in Kernel::ALL.into_iter().zip(&mut timings.seconds) {
            let begun = Instant::now();
            let _output = by(kernel);
            *seconds = seconds.min(begun.elapsed().as_secs_f64());
        }
        if timings.seconds.iter().any(|&seconds| seconds > SLOW) {
            break;
        }
    }
    choices().timings.insert(shape, timings);
    by(timings.kernel())
}
