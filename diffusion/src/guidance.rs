//! A denoiser's output, and classifier-free guidance (2207.12598) around a denoiser.

use std::ops::RangeInclusive;
use tch::Tensor;

/// A network's output for x_t [B, C, ...].
#[derive(Debug)]
pub struct Output {
    /// The predicted eps, x_0 or v, in the shape of x_t.
    pub prediction: Tensor,
    /// With learned variance, a value for each of x_t's: -1 stands for the smallest variance
    /// that makes sense, the posterior's, and 1 for the largest, beta.
    pub variance: Option<Tensor>,
}

impl Output {
    /// The output of a network that learned no variance.
    pub fn plain(prediction: Tensor) -> Self {
        Self { prediction, variance: None }
    }

    /// The output of a network with learned variance, which comes as one tensor
    /// [B, 2C, ...]: the prediction, then the variance.
    pub fn with_variance(joined: &Tensor) -> Self {
        let [prediction, variance] = halves(joined, 1); // [B, C, ...] each
        Self { prediction, variance: Some(variance) }
    }

    /// The outputs for the first and for the second half of the batch.
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

/// The guided prediction of `conditional` and `unconditional` outputs for [B, ...]: from the unconditional one through the
/// conditional one, the row's scale times their distance. The learned variance is the conditional one's.
///
/// `scales` are one a row, or all the same.
pub fn guide(conditional: Output, unconditional: &Output, scales: &[f64]) -> Output {
    let from = &unconditional.prediction;
    let direction = scaled(conditional.prediction - from, scales);
    Output { prediction: from + direction, variance: conditional.variance }
}

/// The rows of `direction [B, ...]` times their `scales`, which are one a row, or all the same.
pub fn scaled(direction: Tensor, scales: &[f64]) -> Tensor {
    if scales.iter().all(|scale| *scale == scales[0]) {
        return scales[0] * direction;
    }
    let mut shape = vec![1; direction.dim()];
    shape[0] = -1;
    let scales = Tensor::from_slice(scales).to_kind(direction.kind()).reshape(shape);
    scales.to_device(direction.device()) * direction
}

/// A denoiser [B, ...] that guides another one at these `timesteps` alone (2404.07724), by `scales` that are one a row, or
/// all the same.
///
/// There the inner denoiser gets the batch twice, [2B, ...]: its first half without
/// the condition and its second half with it, as the published pipelines order them. At all other timesteps it gets
/// the batch once, [B, ...], with the condition.
pub fn guided(
    scales: Vec<f64>,
    timesteps: RangeInclusive<i64>,
    mut denoise: impl FnMut(&Tensor, crate::Step) -> Output,
) -> impl FnMut(&Tensor, crate::Step) -> Output {
    move |x_t, step| {
        if !timesteps.contains(&step.timestep) {
            return denoise(x_t, step);
        }
        let twice = Tensor::cat(&[x_t, x_t], 0); // [2B, ...]
        let [unconditional, conditional] = denoise(&twice, step).split_batch();
        guide(conditional, &unconditional, &scales)
    }
}

fn halves(tensor: &Tensor, dimension: i64) -> [Tensor; 2] {
    let size = tensor.size()[dimension as usize];
    assert!(size % 2 == 0, "{size} rows or channels are no two halves");
    [0, size / 2].map(|start| tensor.narrow(dimension, start, size / 2))
}
