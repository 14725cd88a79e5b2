//! Which kernel computes a convolution of 3 x 3 on the CPU.
//!
//! Winograd's multiply a fraction as often as a direct one and round a little more: the outputs are 3e-6 apart, relative
//! to their size. Which is the fastest depends on the machine and on the shape, so each shape can be tried once. Halves
//! are computed in f32 by Winograd's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::primitives::{channels_last, is_channels_last};
use crate::winograd::{self, Tiling};

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

/// What is known of this process's machine.
struct Table {
    tries: bool,
    trials: BTreeMap<Shape, Trial>,
    /// How many of them were given.
    given: usize,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    tries: false,
    trials: BTreeMap::new(),
    given: 0,
});

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().expect("nobody panics with it")
}

/// From now on each shape is tried where it is met first, but for those of `known`. Before this is called, the shape alone
/// says which kernel runs.
pub fn try_each_shape(known: Vec<Trial>) {
    know(known);
    let mut table = table();
    table.tries = true;
    table.given = table.trials.len();
}

/// From now on shapes that were tried before are computed by the kernel that was the fastest.
pub fn know(trials: Vec<Trial>) {
    let trials = trials.into_iter().map(|trial| (trial.shape, trial));
    table().trials.extend(trials);
}

/// All trials, if there is one that was not given.
pub fn new_trials() -> Option<Vec<Trial>> {
    let table = table();
    let all: Vec<Trial> = table.trials.values().copied().collect();
    (all.len() > table.given).then_some(all)
}

/// A convolution of `x [B, inputs, H, W]` with `weight [outputs, inputs, 3, 3]`, a stride and a padding of 1, of `x` with
/// each pixel `doubled` in both directions where that is said. The kernel that is known to be the fastest computes it, or
/// each in turn where that is to be found out. `direct` does what [`Kernel::Direct`] does.
pub(crate) fn convolve(
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
    let (tries, known) = {
        let table = table();
        (table.tries, table.trials.get(&shape).map(Trial::kernel))
    };
    match known {
        None if tries => compare(shape, by),
        known => by(known.unwrap_or_else(|| usual(shape))),
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

/// The kernel where nothing is known of the machine.
fn usual(shape: Shape) -> Kernel {
    const PIXELS: i64 = 32 * 32;
    match shape.pixels() >= PIXELS && !shape.halves {
        true => Kernel::WinogradFour,
        false => Kernel::Direct,
    }
}

/// Runs each kernel in turn, remembers which was the fastest and returns its output.
fn compare(shape: Shape, by: impl Fn(Kernel) -> Tensor) -> Tensor {
    /// A slow one is run once only.
    const SLOW: f64 = 0.2;
    let mut trial = Trial {
        shape,
        seconds: [f64::INFINITY; 3],
    };
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
