//! Group normalisation, a modulation and SiLU in one pass over memory, in f32 on the CPU, and in two in bf16.
//!
//! libtorch goes over the numbers six times: twice for the norm, and to and fro for the modulation and for the activation. Here a
//! group's numbers are read from memory once, stay in the caches, and are written once. In bf16 a pixel's channels lie side by
//! side, and what is between the moments and the output is not rounded.

use std::ffi::c_void;
use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::memory_format::is_channels_last;
use crate::parallel::{SharedPtr, parallel_for};
use crate::simd::{Bf16, Register, Simd, SimdKernel, Weight, dispatch};

/// The lanes that loops are written for, whatever the width of registers.
const LANES: usize = 16;
/// Numbers whose mean and deviation are computed at once, within the fastest cache.
const CHUNK: usize = 4096;
/// Pixels whose numbers are added in f32, before their sums are added in f64.
const PIXELS: usize = 64;
/// The fewest numbers that are worth a second thread.
const LEAST_NUMBERS: usize = 1 << 15;

/// SiLU of the group normalisation (1803.08494) of `x [B, C, ..]` with `weight` and `bias [C]`, which `scale_shift [B, C]` each
/// modulates first: `(1 + scale) norm(x) + shift`. `None` where it does not apply: for others than contiguous f32, and bf16 in
/// channels-last order, on the CPU, or where a gradient is wanted.
pub fn group_norm_silu(
    x: &Tensor,
    groups: i64,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    scale_shift: Option<[&Tensor; 2]>,
) -> Option<Tensor> {
    let is_bf16 = match x.kind() {
        Kind::Float if x.is_contiguous() => false,
        Kind::BFloat16 if is_channels_last(x) => true,
        _ => return None,
    };
    let fits = |tensor: &Tensor| {
        let computes = tensor.kind() == Kind::Float || is_bf16;
        tensor.device() == Device::Cpu && computes && !tensor.requires_grad()
    };
    let modulation = scale_shift.iter().flatten().copied();
    if ![x, weight, bias].into_iter().chain(modulation).all(fits) {
        return None;
    }
    let size = x.size();
    let [batch, channels] = [0, 1].map(|axis| size[axis] as usize);
    // The norm's weight and bias, modulated: [B, C], or [1, C] without a modulation.
    let [weight, bias] = [weight, bias].map(|tensor| tensor.to_kind(Kind::Float));
    let [scale, shift] = match scale_shift {
        Some(modulation) => {
            let [scale, shift] = modulation.map(|tensor| tensor.to_kind(Kind::Float));
            let scale = scale + 1.0;
            [weight * &scale, bias * &scale + shift]
        }
        None => [weight, bias],
    }
    .map(|tensor| tensor.view([-1, channels as i64]).contiguous());
    let output = x.empty_like();
    let numbers = x.numel();
    if numbers == 0 {
        return Some(output);
    }
    let norm = GroupNorm {
        x: x.data_ptr(),
        output: output.data_ptr(),
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
    parallel_for(
        &mut vec![(); threads as usize],
        batch * norm.groups,
        1,
        |(), part| match is_bf16 {
            true => dispatch(simd, ChannelsLast { norm: &norm, part }),
            false => dispatch(simd, Contiguous { norm: &norm, part }),
        },
    );
    Some(output)
}

/// The operands and sizes.
struct GroupNorm {
    x: *mut c_void,
    output: *mut c_void,
    scale: SharedPtr<f32>,
    shift: SharedPtr<f32>,
    /// Whether each image has scales and shifts of its own.
    modulated: bool,
    channels: usize,
    groups: usize,
    pixels: usize,
    eps: f64,
}

// SAFETY: the tensors outlive the threads, and no two threads write the same numbers.
unsafe impl Sync for GroupNorm {}

impl GroupNorm {
    /// The factor and the offset of a channel of an image, whose group has this mean and this deviation.
    #[inline(always)]
    fn line(&self, image: usize, channel: usize, mean: f64, deviation: f64) -> [f32; 2] {
        let row = if self.modulated { image } else { 0 };
        // SAFETY: nobody writes scales and shifts.
        let [scale, shift] = [self.scale, self.shift]
            .map(|of| unsafe { of.slice(row * self.channels + channel, 1)[0] });
        let factor = f64::from(scale) / deviation;
        [factor as f32, (f64::from(shift) - mean * factor) as f32]
    }
}

/// A thread's groups, counted through all images, of contiguous f32.
struct Contiguous<'a> {
    norm: &'a GroupNorm,
    part: Range<usize>,
}

impl SimdKernel for Contiguous<'_> {
    #[inline(always)]
    fn run<R: Register>(self) {
        let GroupNorm { channels, groups, pixels, eps, .. } = *self.norm;
        let [x, output] = [self.norm.x, self.norm.output].map(|of| SharedPtr::<f32>(of.cast()));
        let width = channels / groups;
        for group in self.part {
            let start = group * width * pixels;
            // SAFETY: nobody writes the input.
            let numbers = unsafe { x.slice(start, width * pixels) };
            let (mean, variance) = moments(numbers);
            let deviation = (variance + eps).sqrt();
            for channel in 0..width {
                let [factor, offset] = self.norm.line(
                    group / groups,
                    group % groups * width + channel,
                    mean,
                    deviation,
                );
                let plane = channel * pixels..(channel + 1) * pixels;
                // SAFETY: this thread's group.
                let to = unsafe { output.slice_mut(start + plane.start, pixels) };
                to.copy_from_slice(&numbers[plane]);
                modulated_silu(to, factor, offset);
            }
        }
    }
}

/// A thread's groups, counted through all images, of bf16 in channels-last order.
struct ChannelsLast<'a> {
    norm: &'a GroupNorm,
    part: Range<usize>,
}

impl SimdKernel for ChannelsLast<'_> {
    #[inline(always)]
    fn run<R: Register>(self) {
        let GroupNorm { groups, .. } = *self.norm;
        let mut first = self.part.start;
        while first < self.part.end {
            let (image, own) = (first / groups, first % groups);
            let last = self.part.end.min((image + 1) * groups) - image * groups;
            self.image(image, own..last);
            first = image * groups + last;
        }
    }
}

impl ChannelsLast<'_> {
    /// Some groups of an image, whose channels lie side by side.
    #[inline(always)]
    fn image(&self, image: usize, groups: Range<usize>) {
        let norm = self.norm;
        let width = norm.channels / norm.groups;
        let (first, count) = (groups.start * width, groups.len() * width);
        let [x, output] = [norm.x, norm.output].map(|of| SharedPtr::<Bf16>(of.cast()));
        let place = |pixel: usize| (image * norm.pixels + pixel) * norm.channels + first;
        // The sum and the sum of squares of each channel. Squares of bf16 are exact in f32.
        let mut sums = vec![[0.0f64; 2]; count];
        let (mut own, mut squares) = (vec![0.0f32; count], vec![0.0f32; count]);
        for start in (0..norm.pixels).step_by(PIXELS) {
            own.fill(0.0);
            squares.fill(0.0);
            for pixel in start..(start + PIXELS).min(norm.pixels) {
                // SAFETY: nobody writes the input.
                let numbers = unsafe { x.slice(place(pixel), count) };
                for ((number, own), square) in numbers.iter().zip(&mut own).zip(&mut squares) {
                    let number = number.widen();
                    *own += number;
                    *square += number * number;
                }
            }
            for ((sums, own), square) in sums.iter_mut().zip(&own).zip(&squares) {
                sums[0] += f64::from(*own);
                sums[1] += f64::from(*square);
            }
        }
        let (mut factors, mut offsets) = (own, squares);
        for (group, sums) in sums.chunks(width).enumerate() {
            let numbers = (width * norm.pixels) as f64;
            let [mean, square] =
                [0, 1].map(|n| sums.iter().map(|sums| sums[n]).sum::<f64>() / numbers);
            let deviation = ((square - mean * mean).max(0.0) + norm.eps).sqrt();
            for channel in group * width..(group + 1) * width {
                [factors[channel], offsets[channel]] =
                    norm.line(image, first + channel, mean, deviation);
            }
        }
        for pixel in 0..norm.pixels {
            // SAFETY: nobody writes the input, and these channels are this thread's.
            let (from, to) =
                unsafe { (x.slice(place(pixel), count), output.slice_mut(place(pixel), count)) };
            for (((from, to), factor), offset) in from.iter().zip(to).zip(&factors).zip(&offsets) {
                *to = Bf16::round(silu(factor * from.widen() + offset));
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
    let (lines, rest) = numbers.as_chunks_mut::<LANES>();
    for line in lines {
        for number in line {
            *number = silu(factor * *number + offset);
        }
    }
    for number in rest {
        *number = silu(factor * *number + offset);
    }
}

/// `y / (1 + exp(-y))`
#[inline(always)]
fn silu(y: f32) -> f32 {
    y / (1.0 + exp(-y))
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
