//! CUDA graphs: a function of tensors that is captured once and replayed at each later call of the same shapes.
//!
//! A step of diffusion launches a thousand small kernels, and the GPU waits for each launch. A CUDA graph holds the
//! launches of a whole step, over the memory that they were captured with, and is launched at once. [`GraphCache`]
//! captures a function when it runs a second time at the same shapes, [`CapturedGraph`] is what it replays then, and
//! [`CudaGraphs`] captures on a GPU.

mod capture;
mod cuda;

pub use capture::{CapturedGraph, Graph, GraphCache, GraphCapture};
pub use cuda::{CudaGraphs, symbols};

/// Failures of a capture or a replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CUDA or libtorch refused, in its words.
    #[error("a CUDA graph on cuda:{device}: {reason}")]
    Cuda {
        /// The GPU's number.
        device: usize,
        /// The message of CUDA or libtorch.
        reason: String,
    },
}
