//! The variational bound that trains a learned variance (2102.09672, section 3.1).

use crate::process::{Gaussian, Process};
use crate::{Output, Prediction};
use std::f64::consts::LN_2;
use tch::Tensor;

/// The bound's term of each row's timestep, in bits a value: `[B]`.
///
/// `x_0` [B, ...] is an image of 256 levels in [-1, 1], `x_t` the same noised at `timesteps`
/// `[B]` i64, `output` a network's `prediction` and variance, all f32. It is the divergence
/// of the network's step from the posterior, and at timestep 0 the cost of the image itself.
///
/// The prediction is learned by its own loss, so the caller detaches `output.prediction`. Of a
/// uniformly drawn timestep this is 1/T of the whole bound: the hybrid loss's weight of 0.001
/// (equation 16) makes it `0.001 * T` here, which is 1 at 1,000 timesteps.
pub fn variational_bound(
    process: &Process,
    prediction: Prediction,
    x_0: &Tensor,
    x_t: &Tensor,
    timesteps: &Tensor,
    output: &Output,
) -> Tensor {
    let reverse = process.reverse(prediction, output, x_t, timesteps);
    let divergence = divergence(&process.posterior(x_0, x_t, timesteps), &reverse);
    let cost = -log_likelihood(x_0, &reverse);
    let per_row = |values: Tensor| values.flatten(1, -1).mean_dim(1, false, None) / LN_2; // [B]
    per_row(cost).where_self(&timesteps.eq(0), &per_row(divergence))
}

/// The Kullback-Leibler divergence of each value's `q` from its `p`, in nats: [B, ...].
pub fn divergence(q: &Gaussian, p: &Gaussian) -> Tensor {
    let log_ratio = &q.log_variance - &p.log_variance;
    let distance = (&q.mean - &p.mean).square() * (-&p.log_variance).exp();
    (log_ratio.exp() - 1.0 - log_ratio + distance) * 0.5
}

/// The logarithm of the probability of each value's level, of 256 in [-1, 1]: [B, ...].
///
/// A level owns the interval around it, the outer two all that lies beyond (2006.11239,
/// equation 13). No probability counts as less than 1e-12, whose logarithm is finite.
pub fn log_likelihood(x_0: &Tensor, p: &Gaussian) -> Tensor {
    const HALF_LEVEL: f64 = 1.0 / 255.0;
    const OUTER: f64 = 1.0 - HALF_LEVEL;
    let per_deviation = (p.log_variance.shallow_clone() * -0.5).exp();
    let offset = x_0 - &p.mean;
    let below = |x: Tensor| (x * &per_deviation).special_ndtr();
    // The normal distribution is symmetric: measured on its lower side, a far interval's
    // probability is a difference of small numbers and keeps its digits in f32.
    let lower = -offset.abs();
    let inside = below(&lower + HALF_LEVEL) - below(&lower - HALF_LEVEL);
    let darkest = below(&offset + HALF_LEVEL);
    let brightest = below(HALF_LEVEL - &offset);
    let probability = brightest.where_self(&x_0.gt(OUTER), &inside);
    let probability = darkest.where_self(&x_0.lt(-OUTER), &probability);
    probability.clamp_min(1e-12).log()
}
