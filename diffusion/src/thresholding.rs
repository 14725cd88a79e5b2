//! Dynamic thresholding of a predicted x_0: a first hook.

use tch::{Kind, Tensor};

/// `x_0` [B, ...] clamped, image by image, to the `p`-quantile s of its absolute values, or 1 where that is less, and divided by s
/// (Imagen, 2205.11487, section 2.3; DALLE2-pytorch's `dynamic_thresholding`). `p` lies between 0 and 1.
pub fn dynamic_threshold(x_0: &Tensor, p: f64) -> Tensor {
    // Image by image, as libtorch takes quantiles of 16 million values at most.
    let rows = x_0.split(1, 0).into_iter().map(|image| {
        let absolute = image.abs().flatten(0, -1).to_kind(Kind::Float);
        let s = absolute.quantile_scalar(p, None, false, "linear").clamp_min(1.0); // []
        image.clamp_tensor(Some(-&s), Some(s.shallow_clone())) / s
    });
    Tensor::cat(&rows.collect::<Vec<_>>(), 0)
}
