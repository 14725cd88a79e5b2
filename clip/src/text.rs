//! CLIP's text encoder: a causal transformer with its projection.

use layers::{
    Activation, Embedding, Init, LayerNorm, Linear, Params, Transformer, TransformerConfig,
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The text encoder's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// How many tokens there are.
    pub vocab_size: i64,
    /// The longest caption in tokens, start and end included.
    pub context_length: i64,
    /// D, the width of the states.
    pub width: i64,
    /// How many transformer layers there are.
    pub layers: i64,
    /// N, attention heads a layer.
    pub heads: i64,
    /// The width between a layer's two feed-forward maps.
    pub intermediate: i64,
    /// E, the width of the embedding.
    pub embedding: i64,
    /// The activation of the feed-forward maps.
    pub activation: Activation,
    /// The epsilon of the layer norms, added to the variance.
    pub layer_norm_eps: f64,
    /// The token whose state is pooled. [`LEGACY_EOS`] means the highest token of the caption.
    pub eos_token_id: i64,
}

/// Older config files name token 2 as the end, which it never was: the end is then the token with the highest number.
pub const LEGACY_EOS: i64 = 2;

/// The text encoder's output.
pub struct TextEncoding {
    /// The states of all tokens after the final norm, `[B, T, D]`.
    pub states: Tensor,
    /// The projected state of the end token, `[B, E]`, not normalised.
    pub embedding: Tensor,
}

/// The text tower of CLIP (CLIP, section 2.4; names as in transformers).
pub struct TextEncoder {
    token_embedding: Embedding,
    position_embedding: Tensor,
    encoder: Transformer,
    final_layer_norm: LayerNorm,
    text_projection: Linear,
    config: TextConfig,
}

impl TextEncoder {
    /// Takes `text_model.*` and `text_projection`.
    pub fn new(p: &Params, config: &TextConfig) -> Self {
        let transformer = TransformerConfig {
            width: config.width,
            layers: config.layers,
            heads: config.heads,
            intermediate: config.intermediate,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps,
            key_bias: true,
        };
        let (model, width) = (p / "text_model", config.width);
        let embeddings = &model / "embeddings";
        let projection = Init::Normal((width as f64).powf(-0.5));
        Self {
            token_embedding: Embedding::new(
                &(&embeddings / "token_embedding"),
                config.vocab_size,
                width,
            ),
            position_embedding: (&embeddings / "position_embedding").take(
                "weight",
                &[config.context_length, width],
                Init::Normal(0.01),
            ),
            encoder: Transformer::new(&(&model / "encoder"), &transformer),
            final_layer_norm: LayerNorm::new(
                &(&model / "final_layer_norm"),
                width,
                config.layer_norm_eps,
            ),
            text_projection: Linear::without_bias(
                &(p / "text_projection"),
                width,
                config.embedding,
                projection,
            ),
            config: config.clone(),
        }
    }

    /// Tokens `[B, T]` (i64, `T` at most the context length) `->` states `[B, T, D]` and embedding `[B, E]`.
    ///
    /// Every token sees itself and those before it, padding or not: so do the published pipelines, which give the
    /// encoder no padding mask. Panics on more tokens than the context length and on token numbers beyond the
    /// vocabulary.
    pub fn forward(&self, ids: &Tensor) -> TextEncoding {
        let (_, length) = ids.size2().expect("tokens are [B, T]");
        let x = self.token_embedding.forward(ids) + self.position_embedding.narrow(0, 0, length); // [B, T, D]
        let states = self
            .final_layer_norm
            .forward(&self.encoder.forward(&x, Some(&causal_mask(length, &x))));
        let ends = end_positions(ids, self.config.eos_token_id)
            .view([-1, 1, 1])
            .expand([-1, 1, x.size()[2]], false);
        let pooled = states.gather(1, &ends, false).squeeze_dim(1); // [B, D]
        TextEncoding { embedding: self.text_projection.forward(&pooled), states }
    }

    /// The shape that this encoder was made with.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }
}

/// Where each caption's state is pooled: the first place of its highest token for [`LEGACY_EOS`], else the first place
/// of `eos_token_id`, or 0 where there is none. `[B, T] (i64) -> [B] (i64)`
pub fn end_positions(ids: &Tensor, eos_token_id: i64) -> Tensor {
    let length = ids.size()[1];
    let ends = if eos_token_id == LEGACY_EOS {
        ids.shallow_clone()
    } else {
        ids.eq(eos_token_id).to_kind(Kind::Int64)
    };
    // argmax promises nothing about equal values, so earlier places are made to count for more.
    let earliness = Tensor::arange_start_step(length - 1, -1, -1, (Kind::Int64, ids.device()));
    (ends * length + earliness).argmax(1, false)
}

/// The causal mask: minus infinity above the diagonal, in the dtype and on the device of `x`, `[1, 1, T, T]`.
pub(crate) fn causal_mask(length: i64, x: &Tensor) -> Tensor {
    Tensor::full([length, length], f64::NEG_INFINITY, (x.kind(), x.device()))
        .triu(1)
        .view([1, 1, length, length])
}
