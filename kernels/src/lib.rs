//! CPU kernels where libtorch's are slower, the choice among them, and what a failed allocation inside libtorch becomes.
//!
//! [`convolution`] chooses the kernel of a convolution, `winograd` and [`gemv`] are the kernels, over the vectors and
//! threads of `simd`; [`memory`] turns an allocation that failed into an error.

pub mod convolution;
pub mod gemv;
pub mod memory;
mod memory_format;
mod simd;
mod winograd;

pub use convolution::{
    Kernel, Policy, Shape, Trial, convolve, has_bf16, know, new_trials, set_policy, tune,
};
pub use memory::OutOfMemory;
pub use memory_format::{channels_last, is_channels_last};
