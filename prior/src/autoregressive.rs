//! The autoregressive prior (2204.06125, section 2.2): a causal transformer that predicts the codes of an image embedding
//! one after the other, from a caption and from the quantised similarity of image and caption.

use layers::{Embedding, Init, LayerNorm, Linear, Params};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::EmbeddingQuantizer;
use crate::transformer::{KvCache, Transformer, causal_bias, padding_bias};

/// Tokens between the caption's and the codes: its embedding and the similarity.
const EXTRA_TOKENS: i64 = 2;

/// The shape of an autoregressive prior.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoregressiveConfig {
    /// Width E of the CLIP embeddings.
    pub embedding: i64,
    /// Width of the text encoder's token states.
    pub text_width: i64,
    /// Tokens T of a caption, padding included.
    pub context_length: i64,
    /// Attention heads; with `head_width` they give the transformer's width.
    pub heads: i64,
    /// Channels of each head.
    pub head_width: i64,
    /// Transformer blocks.
    pub layers: i64,
    /// N, how many principal components of an embedding become codes.
    pub dimensions: i64,
    /// K, how many values a code has.
    pub buckets: i64,
}

impl AutoregressiveConfig {
    /// The transformer's width D.
    pub fn width(&self) -> i64 {
        self.heads * self.head_width
    }
}

/// The network and the quantizer whose codes it predicts.
///
/// Its sequence is the caption's states, the caption's embedding, the similarity, and the codes; the output at the
/// similarity predicts the first code, the output at each code the next one. All codes share one embedding table, because
/// a code says how high in its component's distribution a value lies, which is alike for all components.
pub struct AutoregressivePrior {
    text_states_in: Linear,
    text_embedding_in: Linear,
    similarity_in: Embedding, // K similarities, and one for an unknown similarity
    codes_in: Embedding,
    position: Tensor, // [1, T + 2 + N - 1, D]
    transformer: Transformer,
    norm: LayerNorm,
    out: Linear,
    config: AutoregressiveConfig,
    /// Embeddings to codes and back.
    pub quantizer: EmbeddingQuantizer,
}

impl AutoregressivePrior {
    /// Takes the whole of the network's file; the quantizer is measured and lies in a file of its own.
    pub fn new(p: &Params, config: &AutoregressiveConfig, quantizer: EmbeddingQuantizer) -> Self {
        let (width, buckets) = (config.width(), config.buckets);
        let tokens = config.context_length + EXTRA_TOKENS + config.dimensions - 1;
        // Small outputs predict that all codes are equally likely, which without a caption they are.
        let out = Init::Normal(0.1 * (width as f64).powf(-0.5));
        let blocks = p / "blocks";
        Self {
            text_states_in: Linear::new(&(p / "text_states_in"), config.text_width, width),
            text_embedding_in: Linear::new(&(p / "text_embedding_in"), config.embedding, width),
            similarity_in: Embedding::new(&(p / "closeness_in"), buckets + 1, width),
            codes_in: Embedding::new(&(p / "codes_in"), buckets, width),
            position: p.take("position", &[1, tokens, width], Init::Normal(0.1)),
            transformer: Transformer::new(&blocks, width, config.head_width, config.layers),
            norm: LayerNorm::new(&(p / "norm"), width, 1e-5),
            out: Linear::with_init(&(p / "out"), width, buckets, out),
            config: config.clone(),
            quantizer,
        }
    }

    /// The shape.
    pub fn config(&self) -> &AutoregressiveConfig {
        &self.config
    }

    /// The code of an unknown similarity, for classifier-free guidance.
    pub fn unknown_similarity(&self) -> i64 {
        self.config.buckets
    }

    /// The logits of every code given those before it, `[B, N, K]`: of images with `codes [B, N]`, captions with
    /// `text_embedding [B, E]`, `text_states [B, T, text width]` and `mask [B, T]` (bool, true at real tokens), and the
    /// quantised similarities `similarity [B]` of both.
    pub fn forward(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
        similarity: &Tensor,
        codes: &Tensor,
    ) -> Tensor {
        let dimensions = self.config.dimensions;
        let prefix = self.prefix_tokens(text_embedding, text_states, similarity);
        let before = self.codes_in.forward(&codes.narrow(1, 0, dimensions - 1)); // [B, N - 1, D]
        let x = Tensor::cat(&[prefix, before], 1) + &self.position; // [B, S, D]
        let bias = causal_bias(mask, EXTRA_TOKENS + dimensions - 1, x.kind());
        // The tokens from the similarity on predict codes.
        self.read_out(&self.transformer.forward(&x, dimensions, &[], &bias)) // [B, N, K]
    }

    /// Starts to predict codes one by one, as [`AutoregressivePrior::forward`] does all at once: the state of the
    /// decoding, and the logits of the first code, `[B, K]`.
    pub fn start_decoding(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
        similarity: &Tensor,
    ) -> (DecodingState, Tensor) {
        let prefix = self.prefix_tokens(text_embedding, text_states, similarity);
        let (tokens, kind) = (prefix.size()[1], prefix.kind());
        let x = prefix + self.position.narrow(1, 0, tokens);
        let bias = causal_bias(mask, EXTRA_TOKENS, kind); // [B, 1, T + 2, T + 2]
        let (x, layers) = self.transformer.forward_cached(&x, &[], &bias);
        let padding = padding_bias(mask, EXTRA_TOKENS + self.config.dimensions - 1, kind);
        (DecodingState { layers, padding, tokens }, self.read_out(&x.select(1, -1)))
    }

    /// The logits `[B, K]` of the code after `codes [B]`, which follow those decoded before: N - 1 times at most.
    pub fn decode_next(&self, state: &mut DecodingState, codes: &Tensor) -> Tensor {
        let position = self.position.narrow(1, state.tokens, 1);
        state.tokens += 1;
        let x = self.codes_in.forward(&codes.unsqueeze(1)) + position; // [B, 1, D]
        let bias = state.padding.narrow(3, 0, state.tokens);
        let (x, layers) = self.transformer.forward_cached(&x, &state.layers, &bias);
        state.layers = layers;
        self.read_out(&x.select(1, -1))
    }

    /// The tokens before the codes, `[B, T + 2, D]`, without their positions.
    fn prefix_tokens(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        similarity: &Tensor,
    ) -> Tensor {
        let tokens = [
            self.text_states_in.forward(text_states),
            self.text_embedding_in.forward(text_embedding).unsqueeze(1),
            self.similarity_in.forward(similarity).unsqueeze(1),
        ];
        Tensor::cat(&tokens, 1)
    }

    /// The logits at tokens, `x [.., D] -> [.., K]`.
    fn read_out(&self, x: &Tensor) -> Tensor {
        self.out.forward(&self.norm.forward(x))
    }
}

/// The state of an autoregressive decoding: the KV cache of all tokens so far, so that each code costs one token.
pub struct DecodingState {
    layers: Vec<KvCache>,
    padding: Tensor, // [B, 1, 1, S]
    tokens: i64,
}

/// The information of each code in bits, `[B, N]` in f32, where `logits [B, N, K]` predicted `codes [B, N]`.
pub fn bits(logits: &Tensor, codes: &Tensor) -> Tensor {
    let likelihoods = logits.log_softmax(-1, Kind::Float); // [B, N, K]
    let of_codes = likelihoods.gather(2, &codes.unsqueeze(-1), false);
    of_codes.squeeze_dim(-1) / -std::f64::consts::LN_2
}
