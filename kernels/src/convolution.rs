//! Which kernel computes a convolution of 3 x 3 on the CPU.
//!
//! Winograd's multiply a fraction as often as a direct one and round a little more: the outputs are 3e-6 apart, relative
//! to their size. So that a seed draws the same picture in every process, the choice goes by the shape and the processor;
//! [`tune`] measures instead, and what it chooses may differ between two processes. Halves are computed in f32 by
//! Winograd's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::winograd::{self, Tiling};
use crate::{channels_last, is_channels_last};

/// What computes a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// What libtorch picks, oneDNN as a rule.
    Direct,
    /// [`crate::winograd`]'s with tiles of 4 x 4 pixels.
    WinogradFour,
    /// [`crate::winograd`]'s with tiles of 6 x 6 pixels.
    WinogradSix,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::WinogradFour, Self::WinogradSix];

    /// `x [B, inputs, H, W]` with `weight [outputs, inputs, 3, 3]`, a stride and a padding of 1. Pixels lie in memory as in
    /// `x`.
    pub fn convolve(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let tiling = match self {
            Self::Direct => return x.conv2d(weight, bias, [1, 1], [1, 1], [1, 1], 1),
            Self::WinogradFour => Tiling::Four,
            Self::WinogradSix => Tiling::Six,
        };
        let [floats, weight] = [x, weight].map(|tensor| tensor.to_kind(Kind::Float));
        let bias = bias.map(|bias| bias.to_kind(Kind::Float));
        let output = winograd::convolve(&floats, &weight, bias.as_ref(), tiling).to_kind(x.kind());
        match is_channels_last(x) {
            true => channels_last(&output),
            false => output,
        }
    }
}

/// The shape of a convolution of 3 x 3, with a stride and a padding of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Pictures.
    pub batch: i64,
    /// Channels that go in.
    pub inputs: i64,
    /// Channels that come out.
    pub outputs: i64,
    /// The pictures' height.
    pub height: i64,
    /// The pictures' width.
    pub width: i64,
    /// Whether each pixel is doubled in both directions first; height and width are those before.
    pub doubled: bool,
    /// Whether the numbers are bf16; else they are f32.
    pub halves: bool,
}

impl Shape {
    /// Pixels that come out.
    fn pixels(&self) -> i64 {
        self.height * self.width * if self.doubled { 4 } else { 1 }
    }

    /// The kernel that is the fastest as a rule (`bin/test --ignored kernels_by_shape` measures it). Transforms cost less than they save where
    /// each of their numbers is used by many channels; larger tiles take more pixels to pay. Where halves are
    /// emulated, a direct convolution of them takes ten times one of f32.
    pub fn kernel(&self, emulated_halves: bool) -> Kernel {
        /// Channels on the narrower side.
        const CHANNELS: i64 = 48;
        let direct = match self.halves {
            true => !emulated_halves,
            false => self.inputs.min(self.outputs) < CHANNELS,
        };
        match self.pixels() {
            _ if direct => Kernel::Direct,
            ..1024 if !self.halves => Kernel::Direct,
            ..4096 => Kernel::WinogradFour,
            _ => Kernel::WinogradSix,
        }
    }
}

/// What trying a shape showed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The shape.
    pub shape: Shape,
    /// Seconds of each kernel, in the order of [`Kernel::ALL`].
    pub seconds: [f64; 3],
}

impl Trial {
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

/// The way to choose where a shape has no trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The shape and what the processor can do.
    Processor,
    /// The shape alone: the same kernels on every machine.
    Shape,
    /// A measurement, made where a shape is met first.
    Tune,
}

/// The choices of this process.
struct Table {
    policy: Policy,
    trials: BTreeMap<Shape, Trial>,
    /// How many of them were read from a cache.
    cached: usize,
}

static TABLE: Mutex<Table> =
    Mutex::new(Table { policy: Policy::Processor, trials: BTreeMap::new(), cached: 0 });

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().expect("nobody panics with it")
}

/// Sets what the choice goes by from now on; [`Policy::Processor`] until then.
pub fn set_policy(policy: Policy) {
    table().policy = policy;
}

/// Measures each shape where it is met first, but for those that an earlier process measured.
pub fn tune(cached: Vec<Trial>) {
    know(cached);
    let mut table = table();
    table.policy = Policy::Tune;
    table.cached = table.trials.len();
}

/// From now on shapes that were tried before are computed by the kernel that was the fastest.
pub fn know(trials: Vec<Trial>) {
    let trials = trials.into_iter().map(|trial| (trial.shape, trial));
    table().trials.extend(trials);
}

/// All trials, if there is one that was not cached.
pub fn new_trials() -> Option<Vec<Trial>> {
    let table = table();
    let all: Vec<Trial> = table.trials.values().copied().collect();
    (all.len() > table.cached).then_some(all)
}

/// A convolution of `x [B, inputs, H, W]` with `weight [outputs, inputs, 3, 3]`, a stride and a padding of 1, of `x` with
/// each pixel `doubled` in both directions where that is said. `direct` does what [`Kernel::Direct`] does.
pub fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    doubled: bool,
    direct: impl Fn() -> Tensor,
) -> Tensor {
    let (batch, inputs, height, width) = x.size4().expect("pictures are [B, C, H, W]");
    let shape = Shape {
        batch,
        inputs,
        outputs: weight.size()[0],
        height,
        width,
        doubled,
        halves: x.kind() == Kind::BFloat16,
    };
    if !can_be_winograd(shape, x, weight) {
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
        let table = table();
        (table.policy, table.trials.get(&shape).map(Trial::kernel))
    };
    match (known, policy) {
        (Some(kernel), _) => by(kernel),
        (None, Policy::Tune) => compare(shape, by),
        (None, policy) => by(shape.kernel(policy == Policy::Processor && !has_bf16())),
    }
}

/// Whether Winograd's kernels are worth a trial: they compute this, are given enough to do, and it is no training, for
/// they have no gradient.
fn can_be_winograd(shape: Shape, x: &Tensor, weight: &Tensor) -> bool {
    /// Multiplications a picture, below which its transforms cost more than they save.
    const LEAST_WORK: i64 = 300_000_000;
    x.device() == Device::Cpu
        && (x.kind() == Kind::Float || shape.halves)
        && 9 * shape.inputs * shape.outputs * shape.pixels() >= LEAST_WORK
        && !x.requires_grad()
        && !weight.requires_grad()
}

/// Whether the processor multiplies bf16 itself. One that does not converts each number to f32 and back.
#[cfg(target_arch = "x86_64")]
pub fn has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
pub fn has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn has_bf16() -> bool {
    false
}

/// Runs each kernel in turn, remembers which was the fastest and returns its output.
fn compare(shape: Shape, by: impl Fn(Kernel) -> Tensor) -> Tensor {
    /// A slow one is run once only.
    const SLOW: f64 = 0.2;
    let mut trial = Trial { shape, seconds: [f64::INFINITY; 3] };
    for _ in 0..3 {
        for (kernel, seconds) in Kernel::ALL.into_iter().zip(&mut trial.seconds) {
            let begun = Instant::now();
            let _output = by(kernel);
            *seconds = seconds.min(begun.elapsed().as_secs_f64());
        }
        if trial.seconds.iter().any(|&seconds| seconds > SLOW) {
            break;
        }
    }
    table().trials.insert(shape, trial);
    by(trial.kernel())
}
