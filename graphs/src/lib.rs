//! The same function of tensors again and again: on a GPU as a CUDA graph.
//!
//! A step of diffusion launches a thousand small kernels, and the GPU waits for each launch. A CUDA graph holds the
//! launches of a whole step, over the memory that they were recorded with, and is launched at once. [`Repeated`] is a
//! function that is recorded when it turns out to be run again, [`Step`] what was recorded, [`CudaGraphs`] records on a
//! GPU.

mod cuda;
mod step;

pub use cuda::{CudaGraphs, symbols};
pub use step::{Recorder, Recording, Repeated, Step};

/// What can go wrong with a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CUDA or libtorch refused, in its words.
    #[error("a CUDA graph on cuda:{device}: {reason}")]
    Cuda {
        /// The GPU's number.
        device: usize,
        /// What was said.
        reason: String,
    },
}
