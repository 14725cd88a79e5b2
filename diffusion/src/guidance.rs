//! What a denoiser answers, and classifier-free guidance (2207.12598) around one.

use std::ops::RangeInclusive;
use tch::Tensor;

/// A denoiser's answer for x_t [B, C, ...].
#[derive(Debug)]
pub struct Output {
    /// The predicted eps or x_0, in the shape of x_t.
    pub prediction: Tensor,
    /// With learned variance, a value for each of x_t's: -1 stands for the smallest variance
    /// that makes sense, the posterior's, and 1 for the largest, beta.
    pub variance: Option<Tensor>,
}

impl Output {
    /// The answer of a network that learned no variance.
    pub fn plain(prediction: Tensor) -> Self {
        Self { prediction, variance: None }
    }

    /// The answer of a network with learned variance, which comes as one tensor
    /// [B, 2C, ...]: the prediction, then the variance.
    pub fn with_variance(joined: &Tensor) -> Self {
        let [prediction, variance] = halves(joined, 1); // [B, C, ...] each
        Self { prediction, variance: Some(variance) }
    }

    /// The answers for the first and for the second half of the batch.
    fn split_batch(&self) -> [Self; 2] {
        let [first, second] = halves(&self.prediction, 0);
        let [first_variance, second_variance] = match &self.variance {
            Some(variance) => halves(variance, 0).map(Some),
            None => [None, None],
        };
        [(first, first_variance), (second, second_variance)]
            .map(|(prediction, variance)| Self { prediction, variance })
    }
}

/// One answer of two: the prediction moves from the unconditional one through the conditional
/// one, `scale` times their distance. The learned variance is the conditional one's.
pub fn guide(conditional: Output, unconditional: &Output, scale: f64) -> Output {
    let from = &unconditional.prediction;
    Output {
        prediction: from + scale * (conditional.prediction - from),
        variance: conditional.variance,
    }
}

/// A denoiser that guides another one.
///
/// The inner denoiser sees the batch twice, [2B, ...]: its first half has to answer without
/// the condition and its second half with it, as the published pipelines order them.
pub fn guided(
    scale: f64,
    denoise: impl FnMut(&Tensor, crate::Step) -> Output,
) -> impl FnMut(&Tensor, crate::Step) -> Output {
    guided_within(scale, 0..=i64::MAX, denoise)
}

/// A denoiser that guides another one at these timesteps alone (2404.07724).
///
/// At all others the inner denoiser sees the batch once, [B, ...], and has to answer with the
/// condition.
pub fn guided_within(
    scale: f64,
    timesteps: RangeInclusive<i64>,
    mut denoise: impl FnMut(&Tensor, crate::Step) -> Output,
) -> impl FnMut(&Tensor, crate::Step) -> Output {
    move |x_t, step| {
        if !timesteps.contains(&step.timestep) {
            return denoise(x_t, step);
        }
        let twice = Tensor::cat(&[x_t, x_t], 0); // [2B, ...]
        let [unconditional, conditional] = denoise(&twice, step).split_batch();
        guide(conditional, &unconditional, scale)
    }
}

fn halves(tensor: &Tensor, dimension: i64) -> [Tensor; 2] {
    let size = tensor.size()[dimension as usize];
    assert!(size % 2 == 0, "{size} rows or channels are no two halves");
    [0, size / 2].map(|start| tensor.narrow(dimension, start, size / 2))
}
