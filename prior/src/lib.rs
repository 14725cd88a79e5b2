//! The priors (2204.06125, section 2.2): models of the CLIP image embedding given a caption, by diffusion or autoregressive.
//!
//! Read [`diffusion`] first, the diffusion prior: the sequence that it builds is the whole idea; [`transformer`] are the
//! causal blocks of both, with their KV caches. [`pca`] finds the principal components of embeddings, [`quantizer`] turns
//! them into discrete codes, and [`autoregressive`] is the prior that predicts these one after the other.

#![forbid(unsafe_code)]

pub mod diffusion;
pub mod transformer;

pub mod pca;
pub mod quantizer;

pub mod autoregressive;

pub use autoregressive::{AutoregressiveConfig, AutoregressivePrior, DecodingState};
pub use diffusion::{PrefixCache, Prior, PriorConfig};
pub use pca::Pca;
pub use quantizer::{EmbeddingQuantizer, image_text_similarity};
