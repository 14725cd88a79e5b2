//! The priors: from a caption to a CLIP image embedding, by diffusion or code by code.
//!
//! Read [`transformer`] first, the diffusion prior: the sequence it builds is the whole idea; [`block`] is a plain
//! transformer block. [`pca`] is what few numbers say of the embeddings, [`codes`] makes whole numbers of these, and
//! [`autoregressive`] is the prior that predicts them one after the other.

pub mod transformer;

pub mod block;

pub mod pca;

pub mod codes;

pub mod autoregressive;

pub use autoregressive::{AutoregressiveConfig, AutoregressivePrior, Unfolding};
pub use codes::Codes;
pub use pca::Pca;
pub use transformer::{Prior, PriorConfig};
