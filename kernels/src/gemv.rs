//! GEMV, and GEMM of up to twelve rows, on the CPU: linear maps at the speed at which the weights are read.
//!
//! With few rows a matrix product is as fast as its weights come from memory. libtorch's products reach half of that with
//! AVX-512 and a sixth with AVX2; here each weight is read once, in its place, and multiplied with the rows in registers.
//! Sums are f32. bf16 weights are widened in registers, so that they take half of the time of f32 ones on every processor.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::parallel::{SharedPtr, parallel_for};
use crate::simd::{Bf16, Register, Simd, SimdKernel, Weight, dispatch, prefetch};

/// The most rows.
const MOST_ROWS: i64 = 12;
/// Rows whose sums lie in registers at once, and the most outputs of them.
const ROWS: usize = 6;
const OUTPUTS: usize = 4;
/// Bytes of a cache line, which all widths of registers divide.
const LINE: usize = 64;
/// The fewest weights: smaller ones lie in caches, and threads take longer to begin.
const LEAST_WEIGHTS: i64 = 1 << 20;

/// `x [.., I]` with `weight [O, I]` and `bias [O]` `-> [.., O]`, where this is the faster way to compute it: for a few rows
/// of f32 or bf16 on the CPU. Weights may be bf16 beside an f32 `x`. It has no gradient.
pub fn gemv(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    let (outputs, inputs) = weight.size2().expect("a matrix");
    let rows = x.numel() as i64 / inputs;
    let kinds = (x.kind(), weight.kind());
    let fits = x.device() == Device::Cpu
        && matches!(
            kinds,
            (Kind::Float, Kind::Float | Kind::BFloat16) | (Kind::BFloat16, Kind::BFloat16)
        )
        && (1..=MOST_ROWS).contains(&rows)
        && outputs * inputs >= LEAST_WEIGHTS
        && inputs % (LINE / weight.kind().elt_size_in_bytes()) as i64 == 0
        && weight.is_contiguous()
        && !x.requires_grad()
        && !weight.requires_grad();
    fits.then(|| gemv_by(Simd::current(), x, weight, bias))
}

/// As [`gemv`] where that fits, in registers of one width.
pub fn gemv_by(simd: Simd, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (outputs, inputs) = weight.size2().expect("a matrix");
    let rows = x.numel() as i64 / inputs;
    let mut shape = x.size();
    *shape.last_mut().expect("an axis") = outputs;
    let floats = x.to_kind(Kind::Float).contiguous();
    let output = Tensor::empty([rows, outputs], (Kind::Float, Device::Cpu));
    let sizes = [rows, inputs, outputs].map(|size| size as usize);
    let (from, to) = (SharedPtr::of(&floats), SharedPtr::of(&output));
    match weight.kind() {
        Kind::Float => multiply::<f32>(simd, from, SharedPtr(weight.data_ptr().cast()), to, sizes),
        _ => multiply::<Bf16>(simd, from, SharedPtr(weight.data_ptr().cast()), to, sizes),
    }
    let output = match bias {
        Some(bias) => output + bias,
        None => output,
    };
    output.to_kind(x.kind()).view(shape.as_slice())
}

/// Writes the `output [rows, outputs]` of `x [rows, inputs]` with `weight [outputs, inputs]`, which threads share.
fn multiply<W: Weight>(
    simd: Simd,
    x: SharedPtr<f32>,
    weight: SharedPtr<W>,
    output: SharedPtr<f32>,
    [rows, inputs, outputs]: [usize; 3],
) {
    let mut threads = vec![(); tch::get_num_threads().max(1) as usize];
    parallel_for(&mut threads, outputs, OUTPUTS, |(), part| {
        dispatch(simd, Part { x, weight, output, rows, inputs, outputs, part });
    });
}

/// A thread's part of the outputs, and the operands.
struct Part<W> {
    x: SharedPtr<f32>,
    weight: SharedPtr<W>,
    output: SharedPtr<f32>,
    rows: usize,
    inputs: usize,
    outputs: usize,
    part: Range<usize>,
}

impl<W: Weight> SimdKernel for Part<W> {
    #[inline(always)]
    fn run<R: Register>(self) {
        for first in self.part.clone().step_by(OUTPUTS) {
            for row in (0..self.rows).step_by(ROWS) {
                // As many sums as there are registers, but for those of a weight and of inputs.
                match (self.rows - row, R::COUNT) {
                    (..=3, _) => self.sum::<R, 3, 4>(first, row),
                    (_, 32..) => self.sum::<R, ROWS, 4>(first, row),
                    _ => {
                        self.sum::<R, ROWS, 2>(first, row);
                        self.sum::<R, ROWS, 2>(first + 2, row);
                    }
                }
            }
        }
    }
}

impl<W: Weight> Part<W> {
    /// `O` outputs from `first` on, of `N` rows from `row` on; those that there are not repeat the last.
    #[inline(always)]
    fn sum<R: Register, const N: usize, const O: usize>(&self, first: usize, row: usize) {
        let Self { x, weight, output, rows, inputs, outputs, .. } = *self;
        // SAFETY: nobody writes the input and the weights.
        let xs: [&[f32]; N] =
            std::array::from_fn(|n| unsafe { x.slice((row + n).min(rows - 1) * inputs, inputs) });
        // SAFETY: as above.
        let weights: [&[W]; O] = std::array::from_fn(|n| unsafe {
            weight.slice((first + n).min(outputs - 1) * inputs, inputs)
        });
        let mut sums = [[R::splat(0.0); N]; O];
        let line = LINE / size_of::<W>();
        for start in (0..inputs).step_by(line) {
            for weights in weights {
                prefetch(&raw const weights[start], OUTPUTS * inputs);
            }
            for place in (start..start + line).step_by(R::LANES) {
                // SAFETY: all rows have `inputs` elements, whole lines of them.
                let weights = weights.map(|row| unsafe { W::load::<R>(row.as_ptr().add(place)) });
                for row in 0..N {
                    // SAFETY: as above.
                    let x = unsafe { R::load(xs[row].as_ptr().add(place)) };
                    for output in 0..O {
                        sums[output][row] = sums[output][row].fma(weights[output], x);
                    }
                }
            }
        }
        for (n, sums) in sums.iter().enumerate().take(outputs.saturating_sub(first)) {
            for (r, sum) in sums.iter().enumerate().take(rows - row) {
                // SAFETY: this thread's outputs.
                let written = unsafe { output.slice_mut((row + r) * outputs + first + n, 1) };
                written[0] = sum.sum();
            }
        }
    }
}
