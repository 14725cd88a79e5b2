//! The prior: from a caption to a CLIP image embedding, by diffusion.
//!
//! Read [`transformer`] first: the sequence it builds is the whole idea; [`block`] is a plain transformer block.

pub mod transformer;

pub mod block;

pub use transformer::{Prior, PriorConfig};
