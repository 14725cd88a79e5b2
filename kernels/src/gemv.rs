//! GEMV, and GEMM of up to twelve rows, on the CPU: linear maps at the speed at which the weights are read.
//!
//! With few rows a matrix product is as fast as its weights come from memory. libtorch's products reach half of that; here
//! each weight is read once, in its place, and multiplied with the rows in registers. Sums are f32, of bf16 weights too.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::simd::{
    F32x16, LANES, SharedPtr, SimdKernel, ZERO, dispatch_simd, has_avx512, parallel_for,
};

/// The most rows.
const MOST_ROWS: i64 = 12;
/// Rows, and outputs, whose sums lie in registers.
const ROWS: usize = 6;
const OUTPUTS: usize = 4;
/// The fewest weights: smaller ones lie in caches, and threads take longer to begin.
const LEAST_WEIGHTS: i64 = 1 << 20;

/// `x [.., I]` with `weight [O, I]` and `bias [O]` `-> [.., O]`, where this is the faster way to compute it: for a few rows
/// of f32 or bf16 on the CPU. It has no gradient.
pub fn gemv(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    let (outputs, inputs) = weight.size2().expect("a matrix");
    let rows = x.numel() as i64 / inputs;
    let fits = x.device() == Device::Cpu
        && x.kind() == weight.kind()
        && matches!(x.kind(), Kind::Float | Kind::BFloat16)
        && (1..=MOST_ROWS).contains(&rows)
        && outputs * inputs >= LEAST_WEIGHTS
        && inputs % LANES as i64 == 0
        && weight.is_contiguous()
        && has_avx512() // of narrower ones there are too few for the sums
        && !x.requires_grad()
        && !weight.requires_grad();
    if !fits {
        return None;
    }
    let mut shape = x.size();
    *shape.last_mut().expect("an axis") = outputs;
    let floats = x.to_kind(Kind::Float).contiguous();
    let output = Tensor::empty([rows, outputs], (Kind::Float, Device::Cpu));
    let sizes = [rows, inputs, outputs].map(|size| size as usize);
    let (from, to) = (SharedPtr::of(&floats), SharedPtr::of(&output));
    match weight.kind() {
        Kind::Float => multiply::<f32>(from, SharedPtr(weight.data_ptr().cast()), to, sizes),
        _ => multiply::<u16>(from, SharedPtr(weight.data_ptr().cast()), to, sizes),
    }
    let output = match bias {
        Some(bias) => output + bias,
        None => output,
    };
    Some(output.to_kind(x.kind()).view(shape.as_slice()))
}

/// A weight as it lies in memory.
trait Weight: Copy {
    /// The weights as f32, exactly.
    fn to_f32x16(weights: &[Self; LANES]) -> F32x16;
}

impl Weight for f32 {
    #[inline(always)]
    fn to_f32x16(weights: &[Self; LANES]) -> F32x16 {
        F32x16(*weights)
    }
}

/// The bits of a bf16.
impl Weight for u16 {
    #[inline(always)]
    fn to_f32x16(weights: &[Self; LANES]) -> F32x16 {
        F32x16(weights.map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }
}

/// Writes the `output [rows, outputs]` of `x [rows, inputs]` with `weight [outputs, inputs]`, which threads share.
fn multiply<W: Weight>(
    x: SharedPtr<f32>,
    weight: SharedPtr<W>,
    output: SharedPtr<f32>,
    [rows, inputs, outputs]: [usize; 3],
) {
    let mut threads = vec![(); tch::get_num_threads().max(1) as usize];
    parallel_for(&mut threads, outputs, OUTPUTS, |(), part| {
        dispatch_simd(Part { x, weight, output, rows, inputs, outputs, part });
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
    fn run<const WIDTH: usize>(self) {
        for first in self.part.clone().step_by(OUTPUTS) {
            for row in (0..self.rows).step_by(ROWS) {
                match self.rows - row {
                    ..=3 => self.sum::<3, WIDTH>(first, row),
                    _ => self.sum::<ROWS, WIDTH>(first, row),
                }
            }
        }
    }
}

impl<W: Weight> Part<W> {
    /// Outputs from `first` on, of `N` rows from `row` on; those that there are not repeat the last.
    #[inline(always)]
    fn sum<const N: usize, const WIDTH: usize>(&self, first: usize, row: usize) {
        let Self { x, weight, output, rows, inputs, outputs, .. } = *self;
        let count = inputs / LANES;
        // SAFETY: nobody writes the input and the weights.
        let xs: [&[[f32; LANES]]; N] = std::array::from_fn(|n| unsafe {
            &x.slice((row + n).min(rows - 1) * inputs, inputs).as_chunks().0[..count]
        });
        // SAFETY: as above.
        let weights: [&[[W; LANES]]; OUTPUTS] = std::array::from_fn(|n| unsafe {
            let row = (first + n).min(outputs - 1);
            &weight.slice(row * inputs, inputs).as_chunks().0[..count]
        });
        let mut sums = [[ZERO; N]; OUTPUTS];
        for place in 0..count {
            let xs: [F32x16; N] = std::array::from_fn(|n| F32x16(xs[n][place]));
            for output in 0..OUTPUTS {
                prefetch(&raw const weights[output][place], OUTPUTS * count);
                let weight = W::to_f32x16(&weights[output][place]);
                for row in 0..N {
                    sums[output][row] = sums[output][row].fma::<WIDTH>(&weight, &xs[row]);
                }
            }
        }
        let sums = sums.map(|rows| rows.map(|lanes| lanes.sum()));
        for (n, sums) in sums.iter().enumerate().take(outputs - first) {
            for (r, sum) in sums.iter().enumerate().take(rows - row) {
                // SAFETY: this thread's outputs.
                let written = unsafe { output.slice_mut((row + r) * outputs + first + n, 1) };
                written[0] = *sum;
            }
        }
    }
}

/// Prefetches the cache line `ahead` elements behind `at`; where nothing lies there, nothing happens.
#[inline(always)]
fn prefetch<W>(at: *const W, ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(ahead).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, ahead);
}
