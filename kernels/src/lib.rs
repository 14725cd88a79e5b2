//! CPU kernels where libtorch's are slower, the choice among them, and failed allocations of libtorch's as errors.
//!
//! [`convolution`] chooses the kernel of a convolution; `winograd` and [`gemv()`] are the kernels,
//! in the registers of `simd` by the fork-join threads of `parallel`; [`memory`] turns an allocation that failed into an error.

pub mod convolution;
mod gemv;
mod group_norm;
pub mod memory;
mod memory_format;
mod parallel;
mod simd;
mod winograd;

pub use convolution::{
    ConvShape, Kernel, KernelTimings, Policy, autotune, convolve, has_bf16, load_timings,
    multiplies_in_f32, new_timings, set_policy,
};
pub use gemv::{gemv, gemv_by};
pub use group_norm::group_norm_silu;
pub use memory::OutOfMemory;
pub use memory_format::{channels_last, is_channels_last};
pub use simd::{Simd, set_simd};
