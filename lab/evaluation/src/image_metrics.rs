//! Metrics of pixels: fidelity to another image, sharpness, distance at a small size.

use image::{RgbImage, imageops};
use tch::{Kind, Tensor};

/// The side at which images are compared.
pub const COMPARISON_SIDE: u32 = 32;

/// The peak signal-to-noise ratio in dB of each image of `[B, C, H, W]` to its reference, values from -1 to 1.
pub fn psnr(images: &Tensor, references: &Tensor) -> Vec<f64> {
    let squared = (images.clamp(-1.0, 1.0) - references).square();
    let errors = squared.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double); // [B]
    let errors = Vec::<f64>::try_from(errors).expect("one error an image");
    // The peak is 2, the width of the range.
    let decibels = |error: f64| 10.0 * (4.0 / error).log10();
    errors.into_iter().map(decibels).collect()
}

/// The sharpness of images `[B, C, H, W]` from -1 to 1: the variance over pixels of the Laplacian of their luma (Rec. 601),
/// from 0 to 255.
pub fn laplacian_variance(images: &Tensor) -> Vec<f64> {
    let weights = Tensor::from_slice(&[0.299f32, 0.587, 0.114]).view([1, 3, 1, 1]);
    let luma = (images.clamp(-1.0, 1.0) + 1.0) * 127.5;
    let luma = (luma * weights).sum_dim_intlist([1i64].as_slice(), true, Kind::Float); // [B, 1, H, W]
    let kernel = Tensor::from_slice(&[0f32, 1.0, 0.0, 1.0, -4.0, 1.0, 0.0, 1.0, 0.0]);
    let kernel = kernel.view([1, 1, 3, 3]);
    let laplacian = luma.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    let variances =
        laplacian.flatten(1, -1).to_kind(Kind::Double).var_dim([1i64].as_slice(), true, false);
    Vec::try_from(variances).expect("one variance an image")
}

/// The distances of all pairs of images: the root of the mean square difference of all values from 0 to 1, at
/// [`COMPARISON_SIDE`].
pub fn pairwise_distances(images: &[RgbImage]) -> Vec<f64> {
    let values: Vec<Vec<u8>> = images.iter().map(|image| thumbnail(image).into_raw()).collect();
    let distance = |one: &[u8], other: &[u8]| {
        let squares = one.iter().zip(other);
        let squares = squares.map(|(&a, &b)| ((f64::from(a) - f64::from(b)) / 255.0).powi(2));
        (squares.sum::<f64>() / one.len() as f64).sqrt()
    };
    let pairs = (0..values.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.map(|(i, j)| distance(&values[i], &values[j])).collect()
}

/// An image of [`COMPARISON_SIDE`] pixels.
pub(crate) fn thumbnail(image: &RgbImage) -> RgbImage {
    imageops::resize(image, COMPARISON_SIDE, COMPARISON_SIDE, imageops::FilterType::Triangle)
}
