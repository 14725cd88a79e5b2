//! Whether numbers are ones that networks compute with.

use tch::{Kind, Tensor};

/// Numbers of this size and beyond are no network's: an f32 holds their squares no longer.
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
