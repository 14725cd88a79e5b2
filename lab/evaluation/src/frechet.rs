//! The Frechet distance between two sets of pictures (1706.08500, equation 6). Over the judge's features it is FID-J.

use tch::{Kind, Tensor};

use crate::Error;

/// The normal distribution that a set of features is taken for.
#[derive(Debug)]
pub struct Gaussian {
    /// The mean `[D]`, in f64.
    pub mean: Tensor,
    /// The covariance `[D, D]`, in f64.
    pub covariance: Tensor,
}

/// The Frechet distance between two sets of features, `[N, D]` and `[M, D]`. An error unless both sets have more pictures
/// than features: the covariance of fewer is singular, whatever the pictures show.
///
/// It grows where there are fewer pictures, so only distances of equally many compare.
pub fn frechet(one: &Tensor, other: &Tensor) -> Result<f64, Error> {
    Ok(Gaussian::of(one)?.distance(&Gaussian::of(other)?))
}

/// Refuses fewer pictures than a distance over so many features takes.
pub fn check(pictures: i64, features: i64) -> Result<(), Error> {
    match pictures > features {
        true => Ok(()),
        false => Err(Error::TooFewPictures { pictures, features }),
    }
}

impl Gaussian {
    /// The mean and the unbiased covariance of features `[N, D]`.
    pub fn of(features: &Tensor) -> Result<Self, Error> {
        let (pictures, width) = features.size2().expect("features are [N, D]");
        check(pictures, width)?;
        let features = features.to_kind(Kind::Double);
        let mean = features.mean_dim([0i64].as_slice(), false, None); // [D]
        let centred = features - &mean;
        let covariance = centred.tr().matmul(&centred) / (pictures - 1) as f64; // [D, D]
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
