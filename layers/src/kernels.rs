//! Which kernel computes a convolution of 3 x 3 on the CPU.
//!
//! Winograd's multiplies a fraction as often as a direct one and rounds a little more: the outputs are 3e-6 apart, relative
//! to their size. Which of the two is faster depends on the machine and on the shape, so each shape can be tried once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::winograd;

/// What computes a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// What libtorch picks, oneDNN as a rule.
    Direct,
    /// [`crate::winograd`]'s.
    Winograd,
}

/// The shape of a convolution of 3 x 3, with a stride and a padding of 1, in f32.
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
    /// Seconds of the direct kernel.
    pub direct: f64,
    /// Seconds of Winograd's.
    pub winograd: f64,
}

impl Trial {
    /// The faster kernel, Winograd's where it is so by a tenth.
    pub fn kernel(&self) -> Kernel {
        match self.winograd < 0.9 * self.direct {
            true => Kernel::Winograd,
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
    let mut table = table();
    table.tries = true;
    table.given = known.len();
    table.trials = known
        .into_iter()
        .map(|trial| (trial.shape, trial))
        .collect();
}

/// All trials, if there is one that was not given.
pub fn new_trials() -> Option<Vec<Trial>> {
    let table = table();
    let all: Vec<Trial> = table.trials.values().copied().collect();
    (all.len() > table.given).then_some(all)
}

/// A convolution of `x [B, inputs, H, W]` with `weight [outputs, inputs, 3, 3]`, a stride and a padding of 1, by the kernel
/// that is known to be faster, or by both in turn where that is to be found out. `direct` computes it without Winograd's.
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
    };
    if !can_be_winograd(shape, x, weight) {
        return direct();
    }
    let winograd = || match doubled {
        true => {
            let x = x.upsample_nearest2d([2 * height, 2 * width], None, None);
            winograd::convolve(&x, weight, bias)
        }
        false => winograd::convolve(x, weight, bias),
    };
    let (tries, known) = {
        let table = table();
        (table.tries, table.trials.get(&shape).map(Trial::kernel))
    };
    match known {
        None if tries => compare(shape, direct, winograd),
        known => match known.unwrap_or_else(|| usual(shape)) {
            Kernel::Direct => direct(),
            Kernel::Winograd => winograd(),
        },
    }
}

/// Whether Winograd's kernel is worth a trial: it computes this, is given enough to do, and it is no training, for it has
/// no gradient.
fn can_be_winograd(shape: Shape, x: &Tensor, weight: &Tensor) -> bool {
    /// Multiplications a picture, below which its transforms cost more than they save.
    const LEAST_WORK: i64 = 500_000_000;
    x.device() == Device::Cpu
        && x.kind() == Kind::Float
        && 9 * shape.inputs * shape.outputs * shape.pixels() >= LEAST_WORK
        && !x.requires_grad()
        && !weight.requires_grad()
}

/// The kernel where nothing is known of the machine.
fn usual(shape: Shape) -> Kernel {
    const PIXELS: i64 = 64 * 64;
    match shape.pixels() >= PIXELS {
        true => Kernel::Winograd,
        false => Kernel::Direct,
    }
}

/// Runs both kernels in turn, remembers which was faster and returns its output.
fn compare(shape: Shape, direct: impl Fn() -> Tensor, winograd: impl Fn() -> Tensor) -> Tensor {
    /// A slow one is run once only.
    const SLOW: f64 = 0.2;
    let mut trial = Trial {
        shape,
        direct: f64::INFINITY,
        winograd: f64::INFINITY,
    };
    let mut outputs = (Tensor::new(), Tensor::new());
    for _ in 0..3 {
        let begun = Instant::now();
        outputs.0 = direct();
        trial.direct = trial.direct.min(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        outputs.1 = winograd();
        trial.winograd = trial.winograd.min(begun.elapsed().as_secs_f64());
        if trial.direct.max(trial.winograd) > SLOW {
            break;
        }
    }
    table().trials.insert(shape, trial);
    match trial.kernel() {
        Kernel::Direct => outputs.0,
        Kernel::Winograd => outputs.1,
    }
}
