//! The diffusion prior: a causal transformer that predicts the clean CLIP image embedding from a noised one and a caption.

use layers::{Init, LayerNorm, Linear, Params, TimestepEmbedding};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::transformer::{KvCache, Transformer, causal_bias};

/// Tokens after the caption's states: its embedding, then the three of a step.
const EXTRA_TOKENS: i64 = 1 + STEP_TOKENS;

/// Tokens of a step: the timestep, the noised embedding and the query for the clean one.
const STEP_TOKENS: i64 = 3;

/// The shape of a prior.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorConfig {
    /// Width E of the CLIP embeddings.
    pub embedding: i64,
    /// Width of the text encoder's token states.
    pub text_width: i64,
    /// Tokens of a caption, padding included.
    pub context_length: i64,
    /// Attention heads; with `head_width` they give the transformer's width.
    pub heads: i64,
    /// Channels of each head.
    pub head_width: i64,
    /// Transformer blocks.
    pub layers: i64,
}

impl PriorConfig {
    /// The transformer's width D.
    pub fn width(&self) -> i64 {
        self.heads * self.head_width
    }
}

/// The diffusion prior (unCLIP, section 2.2; tensors named as in diffusers' Karlo).
pub struct Prior {
    text_states_in: Linear,
    text_embedding_in: Linear,
    timestep_in: TimestepEmbedding,
    noised_in: Linear,
    query: Tensor,    // [1, 1, D]
    position: Tensor, // [1, T + 4, D]
    transformer: Transformer,
    norm: LayerNorm,
    out: Linear,
    config: PriorConfig,
    /// Mean of the training set's image embeddings, `[1, E]`: a statistic, not trained.
    pub mean: Tensor,
    /// Standard deviation of the training set's image embeddings, `[1, E]`: a statistic, not trained.
    pub std: Tensor,
}

impl Prior {
    /// Takes the whole of a prior's file.
    pub fn new(p: &Params, config: &PriorConfig) -> Self {
        let width = config.width();
        let tokens = config.context_length + EXTRA_TOKENS;
        // Small outputs predict the mean embedding, the best guess of an untrained network.
        let out = Init::Normal(0.1 * (width as f64).powf(-0.5));
        let blocks = p / "transformer_blocks";
        Self {
            text_states_in: Linear::new(
                &(p / "encoder_hidden_states_proj"),
                config.text_width,
                width,
            ),
            text_embedding_in: Linear::new(&(p / "embedding_proj"), config.embedding, width),
            timestep_in: TimestepEmbedding::new(&(p / "time_embedding"), width, width),
            noised_in: Linear::new(&(p / "proj_in"), config.embedding, width),
            query: p.take("prd_embedding", &[1, 1, width], Init::Normal(0.1)),
            position: p.take("positional_embedding", &[1, tokens, width], Init::Normal(0.1)),
            transformer: Transformer::new(&blocks, width, config.head_width, config.layers),
            norm: LayerNorm::new(&(p / "norm_out"), width, 1e-5),
            out: Linear::with_init(&(p / "proj_to_clip_embeddings"), width, config.embedding, out),
            config: config.clone(),
            mean: p.take("clip_mean", &[1, config.embedding], Init::Zeros),
            std: p.take("clip_std", &[1, config.embedding], Init::Ones),
        }
    }

    /// The shape.
    pub fn config(&self) -> &PriorConfig {
        &self.config
    }

    /// Predicts the clean whitened embedding `[B, E]` (2204.06125, section 2.2) from `noised [B, E]` at `timesteps [B]`
    /// and a caption: its `text_embedding [B, E]`, `text_states [B, T, text width]` and `mask [B, T]` (bool, true at real
    /// tokens).
    pub fn forward(
        &self,
        noised: &Tensor,
        timesteps: &Tensor,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
    ) -> Tensor {
        let caption = self.caption_tokens(text_embedding, text_states);
        let step = self.step_tokens(noised, timesteps);
        let x = Tensor::cat(&[caption, step], 1) + &self.position; // [B, T + 4, D]
        self.read_out(&x, &[], &causal_bias(mask, EXTRA_TOKENS, noised.kind()))
    }

    /// Computes the keys and values of a caption, as [`Prior::forward`] takes it, once for all steps of diffusion: as the
    /// prior is causal, the caption's tokens do not depend on the step's. Padding that all captions of a batch have in
    /// common may be left out of `text_states` and `mask`.
    pub fn prefill(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
    ) -> PrefixCache {
        let words = mask.size()[1];
        let position = Tensor::cat(
            &[
                self.position.narrow(1, 0, words),
                self.position.narrow(1, self.config.context_length, 1),
            ],
            1,
        );
        let x = self.caption_tokens(text_embedding, text_states) + position; // [B, words + 1, D]
        let bias = causal_bias(mask, EXTRA_TOKENS, text_states.kind()); // [B, 1, words + 4, words + 4]
        let of_caption = bias.narrow(2, 0, words + 1).narrow(3, 0, words + 1);
        PrefixCache {
            layers: self.transformer.prefill(&x, &of_caption),
            bias: bias.narrow(2, words + 1, STEP_TOKENS).contiguous(),
        }
    }

    /// As [`Prior::forward`], with the caption of `cache`: `noised [B, E]` at `timesteps [B]` `-> [B, E]`.
    pub fn predict(&self, cache: &PrefixCache, noised: &Tensor, timesteps: &Tensor) -> Tensor {
        let position = self.position.narrow(1, self.config.context_length + 1, STEP_TOKENS);
        let x = self.step_tokens(noised, timesteps) + position; // [B, 3, D]
        self.read_out(&x, &cache.layers, &cache.bias)
    }

    /// The caption's tokens without their positions, `[B, T + 1, D]`.
    fn caption_tokens(&self, text_embedding: &Tensor, text_states: &Tensor) -> Tensor {
        let states = self.text_states_in.forward(text_states);
        let embedding = self.text_embedding_in.forward(text_embedding).unsqueeze(1);
        Tensor::cat(&[states, embedding], 1)
    }

    /// A step's tokens without their positions, `[B, 3, D]`.
    fn step_tokens(&self, noised: &Tensor, timesteps: &Tensor) -> Tensor {
        let time = self.timestep_in.forward(timesteps, noised.kind()).unsqueeze(1);
        let query = self.query.expand([noised.size()[0], 1, self.config.width()], false);
        Tensor::cat(&[time, self.noised_in.forward(noised).unsqueeze(1), query], 1)
    }

    /// The prediction `[B, E]` at the last of the tokens `x [B, n, D]`.
    fn read_out(&self, x: &Tensor, cache: &[KvCache], bias: &Tensor) -> Tensor {
        let last = self.transformer.forward(x, 1, cache, bias); // [B, 1, D]
        self.out.forward(&self.norm.forward(&last.select(1, -1))) // [B, E]
    }

    /// From CLIP's space to the one that is diffused, in which every channel has mean 0 and deviation 1: `[B, E]`.
    pub fn whiten(&self, embedding: &Tensor) -> Tensor {
        (embedding - &self.mean) / &self.std
    }

    /// The inverse of [`Prior::whiten`]: `[B, E]`.
    pub fn restore(&self, whitened: &Tensor) -> Tensor {
        whitened * &self.std + &self.mean
    }
}

/// The keys and values of a batch of captions, computed by [`Prior::prefill`].
pub struct PrefixCache {
    layers: Vec<KvCache>,
    bias: Tensor, // [B, 1, 3, words + 4]
}

impl PrefixCache {
    /// All of its tensors: each block's keys and values, and last the bias that hides padding. All have the batch as their
    /// first axis.
    pub fn tensors(&self) -> Vec<Tensor> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]);
        layers.chain([&self.bias]).map(Tensor::shallow_clone).collect()
    }

    /// The cache that [`PrefixCache::tensors`] took apart.
    pub fn from_tensors(tensors: &[Tensor]) -> Self {
        let (bias, layers) = tensors.split_last().expect("the bias comes last");
        let layer = |pair: &[Tensor]| KvCache {
            keys: pair[0].shallow_clone(),
            values: pair[1].shallow_clone(),
        };
        Self { layers: layers.chunks_exact(2).map(layer).collect(), bias: bias.shallow_clone() }
    }

    /// The captions at `rows [n]` (i64) of the batch, in this order: one caption may stand for many images.
    pub fn index_select(&self, rows: &Tensor) -> Self {
        let tensors = self.tensors();
        let rows = tensors.iter().map(|tensor| tensor.index_select(0, rows));
        Self::from_tensors(&rows.collect::<Vec<_>>())
    }
}
