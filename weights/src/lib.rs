//! Formats of weights: safetensors, PyTorch's state dicts and numpy's arrays, read strictly and written whole.
//!
//! No model and no publisher is known here. Modules in reading order: [`checkpoint`] gives a model its tensors and reports
//! everything that does not fit in one error, and `adapter` those of another layout by our names, or records them;
//! [`safetensors`] and [`pickle`] are the two formats that it reads; [`folder`] is a folder of files, of which `weight_files`
//! says which are weights. `embeddings` reads files of embeddings, [`npy`](mod@npy) numpy's arrays. `numbers` describes those
//! that are not finite.

#![forbid(unsafe_code)]

mod adapter;
mod blob;
mod budget;
pub mod checkpoint;
mod embeddings;
pub mod error;
pub mod files;
mod fingerprint;
pub mod folder;
pub mod npy;
mod numbers;
pub mod pickle;
pub mod safetensors;
mod summary;
mod weight_files;

pub use adapter::{Operation, Packing, Recorder, Rule, SourceAdapter};
pub use checkpoint::{Checkpoint, tensor_names};
pub use embeddings::load_embeddings;
pub use error::{Error, Problems, listed};
pub use files::write_atomically;
pub use folder::Folder;
pub use npy::{NpyError, npy, read_npy};
pub use numbers::{damaged_row, describe_numbers};
pub use safetensors::{load_safetensors, save_safetensors};
pub use summary::WeightSummary;
pub use weight_files::{variants, weights_among};
