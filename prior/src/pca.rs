//! Principal component analysis of image embeddings (2204.06125, sections 2.2 and 4): the few directions in which CLIP's
//! embeddings differ most.

use layers::{Init, Params};
use tch::{Device, Kind, Tensor};

/// A mean and the directions of the largest variances around it, in f32 on the CPU.
#[derive(Debug)]
pub struct Pca {
    /// `[E]`
    pub mean: Tensor,
    /// `[E, E]`: unit vectors in rows, at right angles to each other, by falling variance.
    pub components: Tensor,
    /// The variance along each component, `[E]`.
    pub variances: Tensor,
}

impl Pca {
    /// Takes `mean`, `components` and `variances` of embeddings of width `embedding`.
    pub fn new(p: &Params, embedding: i64) -> Self {
        Self {
            mean: p.take("mean", &[embedding], Init::Zeros),
            components: p.take("components", &[embedding, embedding], Init::Zeros),
            variances: p.take("variances", &[embedding], Init::Zeros),
        }
    }

    /// The components of `embeddings [N, E]`, of which there are at least two: the eigenvectors of their covariance.
    pub fn fit(embeddings: &Tensor) -> Self {
        let embeddings = embeddings.to_kind(Kind::Double).to_device(Device::Cpu);
        let count = embeddings.size()[0];
        assert!(count > 1, "{count} embeddings have no variance");
        let mean = embeddings.mean_dim([0i64].as_slice(), false, Kind::Double); // [E]
        let centred = embeddings - &mean;
        let covariance = centred.tr().matmul(&centred) / (count - 1) as f64; // [E, E]
        let (rising, vectors) = covariance.linalg_eigh("L"); // [E], [E, E] in columns
        let components = vectors.tr().flip([0]).contiguous(); // [E, E] in rows
        // Either direction of a component is as good: the one whose largest number is positive is the same everywhere.
        let largest = components.abs().argmax(1, true); // [E, 1]
        let components = &components * components.gather(1, &largest, false).sign();
        Self {
            mean: mean.to_kind(Kind::Float),
            components: components.to_kind(Kind::Float),
            variances: rising.flip([0]).clamp_min(0.0).to_kind(Kind::Float),
        }
    }

    /// The projection of embeddings `[B, E]` onto the mean and their first `dimensions` components (figure 7): `[B, E]`.
    pub fn truncate(&self, embeddings: &Tensor, dimensions: i64) -> Tensor {
        let first = self.components.narrow(0, 0, dimensions); // [K, E]
        let centred = embeddings.to_kind(Kind::Float).to_device(Device::Cpu) - &self.mean;
        &self.mean + centred.matmul(&first.tr()).matmul(&first) // [B, E]
    }

    /// The number of components in which the embeddings differ at all, to the precision of f32: fewer than their
    /// width where there were few embeddings.
    pub fn rank(&self) -> i64 {
        let largest = self.variances.double_value(&[0]);
        let positive = self.variances.gt(largest * 1e-9);
        match largest.is_finite() {
            true => positive.sum(Kind::Int64).int64_value(&[]),
            false => 0,
        }
    }

    /// The share of all variance that the first `dimensions` components hold.
    pub fn explained(&self, dimensions: i64) -> f64 {
        let sum = |x: &Tensor| x.sum(Kind::Double).double_value(&[]);
        sum(&self.variances.narrow(0, 0, dimensions)) / sum(&self.variances)
    }
}
