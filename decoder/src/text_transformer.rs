//! The transformer of a caption that GLIDE trains together with its U-Net.

use layers::{Activation, Embedding, LayerNorm, Linear, Params, Transformer, TransformerConfig};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::conditioning::Conditions;

/// The shape of a text transformer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextTransformerConfig {
    /// How many tokens there are.
    pub vocab_size: i64,
    /// T, the tokens of every caption, padding included.
    pub context_length: i64,
    /// D, the width of the states, which is also that of the U-Net's context.
    pub width: i64,
    /// How many transformer layers there are.
    pub layers: i64,
    /// N, attention heads a layer.
    pub heads: i64,
    /// Width of the U-Net's time embedding.
    pub time_width: i64,
}

/// From a caption to [`Conditions`] without CLIP (GLIDE, section 4.1).
///
/// No token is hidden from another, neither here nor in the U-Net: an embedding of its place stands for each token of
/// padding.
pub struct TextTransformer {
    token_embedding: Embedding,
    position_embedding: Embedding,
    padding_embedding: Embedding,
    encoder: Transformer,
    final_layer_norm: LayerNorm,
    time_projection: Linear,
    config: TextTransformerConfig,
}

impl TextTransformer {
    /// Takes `token_embedding`, `position_embedding`, `padding_embedding`, `encoder`, `final_layer_norm` and
    /// `time_projection`.
    pub fn new(p: &Params, config: &TextTransformerConfig) -> Self {
        let &TextTransformerConfig { vocab_size, context_length, width, time_width, .. } = config;
        let transformer = TransformerConfig {
            width,
            layers: config.layers,
            heads: config.heads,
            intermediate: 4 * width,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-5,
            key_bias: true,
        };
        let embedding = |name: &str, count| Embedding::new(&(p / name), count, width);
        Self {
            token_embedding: embedding("token_embedding", vocab_size),
            position_embedding: embedding("position_embedding", context_length),
            padding_embedding: embedding("padding_embedding", context_length),
            encoder: Transformer::new(&(p / "encoder"), &transformer),
            final_layer_norm: LayerNorm::new(&(p / "final_layer_norm"), width, 1e-5),
            time_projection: Linear::new(&(p / "time_projection"), width, time_width),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &TextTransformerConfig {
        &self.config
    }

    /// The conditions of tokens `ids [B, T]` (i64) with `mask [B, T]` (bool, true at real tokens): a context `[B, T, D]` to
    /// attend to as a whole, and the last token's state, projected, to add to the time embedding, be it padding or not.
    ///
    /// Panics on another `T` than the context length and on token numbers beyond the vocabulary.
    pub fn forward(&self, ids: &Tensor, mask: &Tensor) -> Conditions {
        let tokens = self.token_embedding.forward(ids) + self.position_embedding.table(); // [B, T, D]
        let x = tokens.where_self(&mask.unsqueeze(-1), self.padding_embedding.table());
        let context = self.final_layer_norm.forward(&self.encoder.forward(&x, None));
        let added = self.time_projection.forward(&context.select(1, -1)); // [B, time width]
        Conditions { added, context, mask: None }
    }
}
