//! The autoregressive prior (2204.06125, section 2.2): a causal transformer that predicts the codes of an image embedding
//! one after the other, from a caption and from how close to it the picture shall be.

use layers::{Embedding, Init, LayerNorm, Linear, Params};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::Codes;
use crate::block::{Block, Kept};
use crate::transformer::{attention_bias, padding_bias};

/// Tokens between the caption's and the codes: its embedding and the closeness.
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

/// The network and the quantiser whose codes it predicts.
///
/// Its sequence is the caption's states, the caption's embedding, the closeness, and the codes; the output at the
/// closeness predicts the first code, the output at each code the next one. All codes share one table, because a code
/// says how high in its component's distribution a value lies, which is alike for all components.
pub struct AutoregressivePrior {
    text_states_in: Linear,
    text_embedding_in: Linear,
    closeness_in: Embedding, // K closenesses, and one that says nothing
    codes_in: Embedding,
    position: Tensor, // [1, T + 2 + N - 1, D]
    blocks: Vec<Block>,
    norm: LayerNorm,
    out: Linear,
    config: AutoregressiveConfig,
    /// Embeddings to codes and back.
    pub codes: Codes,
}

impl AutoregressivePrior {
    /// Takes the whole of the network's file; the quantiser is measured and lies in a file of its own.
    pub fn new(p: &Params, config: &AutoregressiveConfig, codes: Codes) -> Self {
        let (width, buckets) = (config.width(), config.buckets);
        let tokens = config.context_length + EXTRA_TOKENS + config.dimensions - 1;
        // Small outputs predict that all codes are equally likely, which without a caption they are.
        let out = Init::Normal(0.1 * (width as f64).powf(-0.5));
        let blocks = p / "blocks";
        Self {
            text_states_in: Linear::new(&(p / "text_states_in"), config.text_width, width),
            text_embedding_in: Linear::new(&(p / "text_embedding_in"), config.embedding, width),
            closeness_in: Embedding::new(&(p / "closeness_in"), buckets + 1, width),
            codes_in: Embedding::new(&(p / "codes_in"), buckets, width),
            position: p.take("position", &[1, tokens, width], Init::Normal(0.1)),
            blocks: (0..config.layers)
                .map(|n| Block::new(&(&blocks / n), width, config.head_width, config.layers))
                .collect(),
            norm: LayerNorm::new(&(p / "norm"), width, 1e-5),
            out: Linear::with_init(&(p / "out"), width, buckets, out),
            config: config.clone(),
            codes,
        }
    }

    /// The shape.
    pub fn config(&self) -> &AutoregressiveConfig {
        &self.config
    }

    /// The closeness that says nothing about it: guidance starts from it.
    pub fn unknown_closeness(&self) -> i64 {
        self.config.buckets
    }

    /// The logits of every code given those before it, `[B, N, K]`: of the pictures with `codes [B, N]`, of captions with
    /// `text_embedding [B, E]`, `text_states [B, T, text width]` and `mask [B, T]` (bool, true at real tokens), at the
    /// closeness codes `closeness [B]`.
    pub fn forward(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
        closeness: &Tensor,
        codes: &Tensor,
    ) -> Tensor {
        let dimensions = self.config.dimensions;
        let told = self.told(text_embedding, text_states, closeness);
        let before = self.codes_in.forward(&codes.narrow(1, 0, dimensions - 1)); // [B, N - 1, D]
        let mut x = Tensor::cat(&[told, before], 1) + &self.position; // [B, S, D]
        let bias = attention_bias(mask, EXTRA_TOKENS + dimensions - 1, x.kind());
        for (n, block) in self.blocks.iter().enumerate() {
            // Only the tokens from the closeness on are read, so the last block computes no others.
            let last = n + 1 == self.blocks.len();
            let rows = if last { dimensions } else { x.size()[1] };
            x = block.forward(&x, rows, &bias);
        }
        self.out.forward(&self.norm.forward(&x)) // [B, N, K]
    }

    /// Begins to predict codes one by one, as [`AutoregressivePrior::forward`] does all at once: also gives the logits of
    /// the first code, `[B, K]`.
    pub fn unfold(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
        closeness: &Tensor,
    ) -> (Unfolding<'_>, Tensor) {
        let told = self.told(text_embedding, text_states, closeness);
        let tokens = told.size()[1];
        let mut unfolding = Unfolding {
            prior: self,
            kept: self.blocks.iter().map(|_| Kept::default()).collect(),
            padding: padding_bias(mask, EXTRA_TOKENS + self.config.dimensions - 1, told.kind()),
            seen: 0,
        };
        let bias = attention_bias(mask, EXTRA_TOKENS, told.kind()); // [B, 1, T + 2, T + 2]
        let first = unfolding.read(&(told + self.position.narrow(1, 0, tokens)), &bias);
        (unfolding, first)
    }

    /// The tokens before the codes, `[B, T + 2, D]`, without their positions.
    fn told(&self, text_embedding: &Tensor, text_states: &Tensor, closeness: &Tensor) -> Tensor {
        let tokens = [
            self.text_states_in.forward(text_states),
            self.text_embedding_in.forward(text_embedding).unsqueeze(1),
            self.closeness_in.forward(closeness).unsqueeze(1),
        ];
        Tensor::cat(&tokens, 1)
    }
}

/// A batch of embeddings whose codes are predicted one by one. The keys and values of what was read stay, so that each
/// code costs one token.
pub struct Unfolding<'a> {
    prior: &'a AutoregressivePrior,
    kept: Vec<Kept>,
    padding: Tensor, // [B, 1, 1, S]
    seen: i64,
}

impl Unfolding<'_> {
    /// The logits `[B, K]` of the code after `codes [B]`, which follow those that it was given before: N - 1 times.
    pub fn next(&mut self, codes: &Tensor) -> Tensor {
        let position = self.prior.position.narrow(1, self.seen, 1);
        let x = self.prior.codes_in.forward(&codes.unsqueeze(1)) + position; // [B, 1, D]
        let bias = self.padding.narrow(3, 0, self.seen + 1);
        self.read(&x, &bias)
    }

    /// Reads the tokens `x [B, n, D]`; the logits at the last of them.
    fn read(&mut self, x: &Tensor, bias: &Tensor) -> Tensor {
        self.seen += x.size()[1];
        let mut x = x.shallow_clone();
        for (block, kept) in self.prior.blocks.iter().zip(&mut self.kept) {
            x = block.extend(&x, kept, bias);
        }
        let last = self.prior.norm.forward(&x.select(1, -1));
        self.prior.out.forward(&last) // [B, K]
    }
}

/// How many bits each code took to say, `[B, N]` in f32, where `logits [B, N, K]` predicted `codes [B, N]`.
pub fn bits(logits: &Tensor, codes: &Tensor) -> Tensor {
    let likelihoods = logits.log_softmax(-1, Kind::Float); // [B, N, K]
    let of_codes = likelihoods.gather(2, &codes.unsqueeze(-1), false);
    of_codes.squeeze_dim(-1) / -std::f64::consts::LN_2
}
