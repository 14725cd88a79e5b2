//! The prior: from a caption to a CLIP image embedding, by diffusion.
//!
//! Read [`transformer`] first: the sequence it builds is the whole idea; [`block`] is a plain transformer block. [`pca`]
//! is what few numbers say of the embeddings that it draws.

pub mod transformer;

pub mod block;

pub mod pca;

pub use pca::Pca;
pub use transformer::{Prior, PriorConfig};
