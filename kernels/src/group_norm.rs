//! Group normalisation, a modulation and SiLU in one pass over memory, in f32 on the CPU.
//!
//! libtorch goes over the numbers six times: twice for the norm, and to and fro for the modulation and for the activation. Here a
//! group's numbers are read from memory once, stay in the caches, and are written once.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::parallel::{SharedPtr, parallel_for};
use crate::simd::{Register, Simd, SimdKernel, dispatch};

/// The lanes that loops are written for, whatever the width of registers.
const LANES: usize = 16;
/// Numbers whose mean and deviation are computed at once, within the fastest cache.
const CHUNK: usize = 4096;
/// The fewest numbers that are worth a second thread.
const LEAST_NUMBERS: usize = 1 << 15;

/// SiLU of the group normalisation (1803.08494) of `x [B, C, ..]` with `weight` and `bias [C]`, which `scale_shift [B, C]` each
/// modulates first: `(1 + scale) norm(x) + shift`. `None` where it does not apply: for others than contiguous f32 on the CPU, or
/// where a gradient is wanted.
pub fn group_norm_silu(
    x: &Tensor,
    groups: i64,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    scale_shift: Option<[&Tensor; 2]>,
) -> Option<Tensor> {
    let fits = |tensor: &Tensor| {
        tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && !tensor.requires_grad()
    };
    let modulation = scale_shift.iter().flatten().copied();
    if !x.is_contiguous() || ![x, weight, bias].into_iter().chain(modulation).all(fits) {
        return None;
    }
    let size = x.size();
    let [batch, channels] = [0, 1].map(|axis| size[axis] as usize);
    // The norm's weight and bias, modulated: [B, C], or [1, C] without a modulation.
    let [scale, shift] = match scale_shift {
        Some([scale, shift]) => {
            let scale = scale + 1.0;
            [weight * &scale, bias * &scale + shift]
        }
        None => [weight.shallow_clone(), bias.shallow_clone()],
    }
    .map(|tensor| tensor.view([-1, channels as i64]).contiguous());
    let output = x.empty_like();
    let numbers = x.numel();
    if numbers == 0 {
        return Some(output);
    }
    let norm = GroupNorm {
        x: SharedPtr::of(x),
        output: SharedPtr::of(&output),
        scale: SharedPtr::of(&scale),
        shift: SharedPtr::of(&shift),
        modulated: scale.size()[0] > 1,
        channels,
        groups: groups as usize,
        pixels: numbers / (batch * channels),
        eps,
    };
    let threads = if numbers < LEAST_NUMBERS { 1 } else { tch::get_num_threads().max(1) };
    let simd = Simd::current();
    parallel_for(&mut vec![(); threads as usize], batch * norm.groups, 1, |(), part| {
        dispatch(simd, Part { norm: &norm, part });
    });
    Some(output)
}

/// The operands and sizes.
struct GroupNorm {
    x: SharedPtr<f32>,
    output: SharedPtr<f32>,
    scale: SharedPtr<f32>,
    shift: SharedPtr<f32>,
    /// Whether each image has scales and shifts of its own.
    modulated: bool,
    channels: usize,
    groups: usize,
    pixels: usize,
    eps: f64,
}

/// A thread's groups, counted through all images.
struct Part<'a> {
    norm: &'a GroupNorm,
    part: Range<usize>,
}

impl SimdKernel for Part<'_> {
    #[inline(always)]
    fn run<R: Register>(self) {
        let GroupNorm { x, output, scale, shift, modulated, channels, groups, pixels, eps } =
            *self.norm;
        let width = channels / groups;
        for group in self.part {
            let start = group * width * pixels;
            // SAFETY: nobody writes the input.
            let numbers = unsafe { x.slice(start, width * pixels) };
            let (mean, variance) = moments(numbers);
            let deviation = (variance + eps).sqrt();
            let image = if modulated { group / groups } else { 0 };
            let first = image * channels + group % groups * width;
            for channel in 0..width {
                // SAFETY: nobody writes scales and shifts.
                let [scale, shift] =
                    [scale, shift].map(|of| unsafe { of.slice(first + channel, 1)[0] });
                let factor = f64::from(scale) / deviation;
                let offset = f64::from(shift) - mean * factor;
                let plane = channel * pixels..(channel + 1) * pixels;
                // SAFETY: this thread's group.
                let to = unsafe { output.slice_mut(start + plane.start, pixels) };
                to.copy_from_slice(&numbers[plane]);
                modulated_silu(to, factor as f32, offset as f32);
            }
        }
    }
}

/// The mean and the variance of `numbers`, of which chunks are merged in f64 (Chan, Golub and LeVeque, 1979).
#[inline(always)]
fn moments(numbers: &[f32]) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for chunk in numbers.chunks(CHUNK) {
        let own = chunk.len() as f64;
        let own_mean = sum(chunk, |number| number) / own;
        let centre = own_mean as f32;
        let own_squares = sum(chunk, |number| (number - centre) * (number - centre));
        let delta = own_mean - mean;
        let all = count + own;
        mean += delta * own / all;
        squares += own_squares + delta * delta * count * own / all;
        count = all;
    }
    (mean, squares / count)
}

/// The sum of `f` of each number.
#[inline(always)]
fn sum(numbers: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let (lines, rest) = numbers.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for line in lines {
        for n in 0..LANES {
            lanes[n] += f(line[n]);
        }
    }
    let lanes: f64 = lanes.into_iter().map(f64::from).sum();
    lanes + rest.iter().map(|&number| f64::from(f(number))).sum::<f64>()
}

/// `y = factor x + offset`, and `y / (1 + exp(-y))` in place of `x`.
#[inline(always)]
fn modulated_silu(numbers: &mut [f32], factor: f32, offset: f32) {
    let silu = |x: f32| {
        let y = factor * x + offset;
        y / (1.0 + exp(-y))
    };
    let (lines, rest) = numbers.as_chunks_mut::<LANES>();
    for line in lines {
        for number in line {
            *number = silu(*number);
        }
    }
    for number in rest {
        *number = silu(*number);
    }
}

/// e to the power of x, within 2e-7 of it, relatively; x is taken to be between -87 and 88, and is NaN where it is NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added and subtracted, it rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, of which the first has no more digits than its product with a whole number can have.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let whole = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = (x - whole * LN_2[0]) - whole * LN_2[1];
    // The Taylor series of e^rest - 1 - rest over rest^2, for at most ln 2 / 2.
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let series = series.into_iter().fold(1.0 / 5040.0, |sum, term: f32| sum * rest + term);
    let exponent = (whole + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let power = f32::from_bits(exponent << 23);
    (1.0 + (rest + rest * rest * series)) * power
}
