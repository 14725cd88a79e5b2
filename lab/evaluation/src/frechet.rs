//! The Frechet distance between two sets of images (1706.08500, equation 6). Over the judge's features it is FID-J.

use tch::{Kind, Tensor};

use crate::error::Error;

/// The normal distribution with the moments of a set of features.
#[derive(Debug)]
pub struct Gaussian {
    /// The mean `[D]`, in f64.
    pub mean: Tensor,
    /// The covariance `[D, D]`, in f64.
    pub covariance: Tensor,
}

/// The Frechet distance between two sets of features, `[N, D]` and `[M, D]`. An error unless both sets have more images
/// than features: the covariance of fewer is singular, whatever the images show.
///
/// Its bias grows where there are fewer images, so only distances of equally many compare.
pub fn frechet(one: &Tensor, other: &Tensor) -> Result<f64, Error> {
    Ok(Gaussian::of(one)?.distance(&Gaussian::of(other)?))
}

/// Refuses fewer images than a distance over so many features takes.
pub fn check(images: i64, features: i64) -> Result<(), Error> {
    match images > features {
        true => Ok(()),
        false => Err(Error::TooFewImages { images, features }),
    }
}

impl Gaussian {
    /// The mean and the unbiased covariance of features `[N, D]`.
    pub fn of(features: &Tensor) -> Result<Self, Error> {
        let (images, width) = features.size2().expect("features are [N, D]");
        check(images, width)?;
        let features = features.to_kind(Kind::Double);
        let mean = features.mean_dim([0i64].as_slice(), false, None); // [D]
        let centred = features - &mean;
        let covariance = centred.tr().matmul(&centred) / (images - 1) as f64; // [D, D]
        Ok(Self { mean, covariance })
    }

    /// The squared 2-Wasserstein distance of two Gaussians, which Frechet distances are named for:
    /// `|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`.
    ///
    /// The root's trace is that of `(R C' R)^(1/2)` with `R = C^(1/2)`, whose matrices are all symmetric. What rounding
    /// makes negative of their eigenvalues is 0.
    pub fn distance(&self, other: &Self) -> f64 {
        let (values, vectors) = self.covariance.linalg_eigh("L");
        let root = (&vectors * values.clamp_min(0.0).sqrt()).matmul(&vectors.tr()); // [D, D]
        let product = root.matmul(&other.covariance).matmul(&root);
        let roots = product.linalg_eigvalsh("L").clamp_min(0.0).sqrt(); // [D]
        let between = (&self.mean - &other.mean).square().sum(Kind::Double); // []
        let traces = self.covariance.trace() + other.covariance.trace();
        let distance: Tensor = between + traces - roots.sum(Kind::Double) * 2.0;
        distance.double_value(&[])
    }
}
