//! The prior: from a caption to a CLIP image embedding, by diffusion.
//!
//! Read [`prior`] first: the sequence it builds is the whole idea; [`block`] is a plain transformer block.

pub mod block;
pub mod prior;

pub use prior::{Prior, PriorConfig};
