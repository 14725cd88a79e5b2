//! Neural network layers (linear, convolution, embedding, norm, attention, transformer), and the [`Source`] of their tensors.
//!
//! Shapes here and in the models: `B` batch, `T` tokens, `D` width, `E` CLIP embedding, `C H W` image, `N` heads,
//! `K` head width. Read [`params`] first: a layer is made by taking its tensors, by name, from a [`Source`].

#![forbid(unsafe_code)]

pub mod attention;
pub mod embedding;
pub mod finite;
pub mod params;
pub mod primitives;
pub mod transformer;

pub use attention::attend;
pub use embedding::{TimestepEmbedding, sinusoidal};
pub use finite::is_finite;
pub use params::{Init, Initialiser, Params, Source};
pub use primitives::{Activation, BatchNorm, Conv2d, Embedding, GroupNorm, LayerNorm, Linear};
pub use transformer::{Transformer, TransformerConfig};
