//! Checkpoints: reads what publishers wrote, strictly, and writes our own in the same layout.
//!
//! Only this crate knows what a publisher called things. [`Checkpoint`] gives a model its tensors and reports
//! everything that does not fit in one error.

pub mod checkpoint;
pub mod error;
pub mod files;
pub mod pickle;
pub mod safetensors;
mod stored;

pub use checkpoint::Checkpoint;
pub use error::{Error, Problems};
pub use files::write_atomically;
pub use safetensors::{load_safetensors, save_safetensors};
