//! RePaint (2201.09865): networks that take no mask inpaint too. Each step arrives at what the network makes of the unknown
//! pixels, beside the known ones noised to the same level; and steps are taken several times, with noise added between, so that
//! the unknown pixels come to fit the known ones.

use std::iter;

use decoder::Interpolation;
use diffusion::{NoiseLevel, Sampler, Step};
use tch::Tensor;

use crate::inpainting::KnownPixels;

/// How many times each step is taken where no setting says it, as the paper's experiments do (section 5.1).
pub const RESAMPLE: usize = 10;

/// The most times that each step is taken.
pub const MOST_RESAMPLE: usize = 100;

/// The jumps that a whole schedule has room for.
///
/// The paper (section 4.2, appendix B) and diffusers' `RePaintScheduler` jump back over 10 of 250 steps, because over one of
/// them too little noise is added for anything to change: images stay blurry. Of a schedule of 1,000 timesteps that is 40, a
/// 25th, whatever the number of steps: of 25 steps, which are as far apart, a jump takes one, and of 100 it takes 4.
const JUMPS: usize = 25;

/// The steps of RePaint through those of a schedule: all but the last are taken `resample` times, in runs as long as a jump,
/// which are counted from the clean image on, as the paper counts them; the last one ends at the clean image, and nothing jumps
/// back from there (algorithm 1, line 9).
pub fn resample_steps(steps: &[Step], resample: usize) -> Vec<Step> {
    let Some((last, others)) = steps.split_last() else { return Vec::new() };
    let jump = (steps.len() / JUMPS).max(1);
    let (first, runs) = others.split_at(others.len() % jump);
    let runs = iter::once(first).chain(runs.chunks(jump));
    let mut taken: Vec<Step> =
        runs.flat_map(|run| iter::repeat_n(run, resample).flatten()).copied().collect();
    taken.push(*last);
    taken
}

/// How many steps [`resample_steps`] makes of so many.
pub fn resample_count(steps: usize, resample: usize) -> usize {
    steps.saturating_sub(1) * resample + steps.min(1)
}

/// The x `[B, C, S, S]` that the step after `step` starts from, of the `x` that the sampler arrived at.
///
/// The known pixels are noised to the level of `x` (algorithm 1, lines 4, 5 and 8; the deviation of line 5 is the root of
/// equation 8a's variance, as in diffusers), and exact at the clean image. Where the `next` step starts from a noisier timestep,
/// noise is added up to it (line 10), for all steps of the jump at once. `noise` draws standard noise in the shape of `x`, for
/// the known pixels first.
pub fn next_x(
    sampler: &Sampler,
    x: &Tensor,
    step: Step,
    next: Option<Step>,
    known: &KnownPixels,
    mut noise: impl FnMut() -> Tensor,
) -> Tensor {
    let Some(previous) = step.previous else { return known.impose(x) };
    let level = sampler.level(Some(previous));
    let x = known.impose_noised(x, &level, &noise());
    match next.filter(|next| next.timestep > previous) {
        Some(next) => forward(&x, &level, &sampler.level(Some(next.timestep)), &noise()),
        None => x,
    }
}

/// The forward process q(x_t | x_s) from one level of noise to a higher one (2006.11239, equation 2, for several timesteps).
fn forward(x: &Tensor, from: &NoiseLevel, to: &NoiseLevel, noise: &Tensor) -> Tensor {
    let scale = to.sqrt_alpha_bar / from.sqrt_alpha_bar;
    x * scale + noise * (1.0 - scale * scale).max(0.0).sqrt()
}

/// A predicted clean image `x_0 [B, C, S, S]` with the low frequencies of the image `base [B, C, h, w]` that it enlarges, which an
/// upsampler may shift: x_0 + A⁺ (base - A x_0), the decomposition of 2212.00490, section 3.2, for A the mean over the pixels
/// of a smaller one. So that beside known pixels no other colour shows where the painted ones begin.
pub fn consistent(x_0: &Tensor, base: &Tensor) -> Tensor {
    let [_, _, height, width] = base.size()[..] else { return x_0.shallow_clone() };
    let difference = base.clamp(-1.0, 1.0) - x_0.adaptive_avg_pool2d([height, width]);
    x_0 + Interpolation::Bicubic.enlarge(&difference, x_0.size()[3])
}
