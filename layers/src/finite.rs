//! Checks for NaN, infinity and values that no network computes with.

use tch::{Kind, Tensor};

/// The bound of a network's values: an f32 cannot hold the square of this or of a larger one.
pub const LARGEST: f64 = 1.8e19;

/// The root of the sum of a tensor's squares in f32, where the tensor lies: `[]`. It is finite where all numbers are, and none
/// is as large as [`LARGEST`].
pub fn norm(tensor: &Tensor) -> Tensor {
    tensor.norm_scalaropt_dtype(2, Kind::Float)
}

/// Whether all numbers of a tensor are finite, and none is as large as [`LARGEST`].
pub fn is_finite(tensor: &Tensor) -> bool {
    norm(tensor).double_value(&[]).is_finite()
}
