//! The causal transformer that predicts a clean CLIP image embedding from a noised one and a caption.

use layers::{Init, LayerNorm, Linear, Params, TimestepEmbedding};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::block::{Block, Kept};

/// Tokens after the caption's: its embedding, the timestep, the noised embedding and the query for the clean one.
const EXTRA_TOKENS: i64 = 4;

/// What a score gains where the query must not see the key. A finite number, as published: a caption of padding alone
/// must give the same as there.
const MASKED: f64 = -10000.0;

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

/// The diffusion prior (unCLIP, section 2.2; tensors named as in the published Karlo).
pub struct Prior {
    text_states_in: Linear,
    text_embedding_in: Linear,
    timestep_in: TimestepEmbedding,
    noised_in: Linear,
    query: Tensor,    // [1, 1, D]
    position: Tensor, // [1, T + 4, D]
    blocks: Vec<Block>,
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
        // Small outputs predict the mean embedding, the best guess of a network that knows nothing.
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
            blocks: (0..config.layers)
                .map(|n| Block::new(&(&blocks / n), width, config.head_width, config.layers))
                .collect(),
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

    /// The clean whitened embedding `[B, E]`, guessed from `noised [B, E]` at `timesteps [B]` and a caption: its
    /// `text_embedding [B, E]`, `text_states [B, T, text width]` and `mask [B, T]` (bool, true at real tokens).
    pub fn forward(
        &self,
        noised: &Tensor,
        timesteps: &Tensor,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
    ) -> Tensor {
        let kind = noised.kind();
        let batch = noised.size()[0];
        let tokens = [
            self.text_states_in.forward(text_states),
            self.text_embedding_in.forward(text_embedding).unsqueeze(1),
            self.timestep_in.forward(timesteps, kind).unsqueeze(1),
            self.noised_in.forward(noised).unsqueeze(1),
            self.query.expand([batch, 1, self.config.width()], false),
        ];
        let mut x = Tensor::cat(&tokens, 1) + &self.position; // [B, T + 4, D]
        let bias = attention_bias(mask, EXTRA_TOKENS, kind);
        for (n, block) in self.blocks.iter().enumerate() {
            // Only the last token is read, so the last block computes no other.
            let rows = if n + 1 == self.blocks.len() { 1 } else { x.size()[1] };
            x = block.forward(&x, rows, &bias);
        }
        self.out.forward(&self.norm.forward(&x.select(1, -1))) // [B, E]
    }

    /// Reads captions, as [`Prior::forward`] takes them, for many steps of diffusion: as the prior is causal, their tokens
    /// know nothing of a step, and what a step needs of them are their keys and values. Padding that all have in common,
    /// which nothing sees, may be left out of `text_states` and `mask`.
    pub fn read(
        &self,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
    ) -> Captions<'_> {
        let kind = text_states.kind();
        let words = mask.size()[1];
        let states = self.text_states_in.forward(text_states);
        let embedding = self.text_embedding_in.forward(text_embedding).unsqueeze(1);
        let place = self.config.context_length;
        let mut x = Tensor::cat(
            &[
                states + self.position.narrow(1, 0, words),
                embedding + self.position.narrow(1, place, 1),
            ],
            1,
        ); // [B, words + 1, D]
        let bias = attention_bias(mask, EXTRA_TOKENS, kind); // [B, 1, words + 4, words + 4]
        let own = bias.narrow(2, 0, words + 1).narrow(3, 0, words + 1);
        let (last, blocks) = self.blocks.split_last().expect("a prior has blocks");
        let mut kept: Vec<Kept> = Vec::with_capacity(self.blocks.len());
        for block in blocks {
            let (output, seen) = block.follow(&x, words + 1, &Kept::default(), &own);
            kept.push(seen);
            x = output;
        }
        kept.push(last.keep(&x));
        Captions {
            prior: self,
            kept,
            bias: bias.narrow(2, words + 1, EXTRA_TOKENS - 1).contiguous(),
        }
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

/// A batch of captions that a prior has read.
pub struct Captions<'a> {
    prior: &'a Prior,
    /// A block's keys and values of the captions' tokens.
    kept: Vec<Kept>,
    bias: Tensor, // [B, 1, 3, words + 4]
}

impl<'a> Captions<'a> {
    /// All that was read: each block's keys and values, and what keeps padding from being seen.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut tensors: Vec<Tensor> = self.kept.iter().flat_map(Kept::tensors).collect();
        tensors.push(self.bias.shallow_clone());
        tensors
    }

    /// Other captions of the same shapes, of which [`Captions::tensors`] gave these.
    pub fn over(&self, tensors: &[Tensor]) -> Captions<'a> {
        let (bias, kept) = tensors.split_last().expect("a bias comes last");
        let kept = kept.chunks_exact(2);
        Captions {
            prior: self.prior,
            kept: kept.map(|pair| Kept::of(&pair[0], &pair[1])).collect(),
            bias: bias.shallow_clone(),
        }
    }

    /// What [`Prior::forward`] computes for these captions, of `noised [B, E]` at `timesteps [B]`: `[B, E]`.
    pub fn predict(&self, noised: &Tensor, timesteps: &Tensor) -> Tensor {
        let prior = self.prior;
        let tokens = [
            prior.timestep_in.forward(timesteps, noised.kind()).unsqueeze(1),
            prior.noised_in.forward(noised).unsqueeze(1),
            prior.query.expand([noised.size()[0], 1, prior.config.width()], false),
        ];
        let place = prior.config.context_length + 1;
        let mut x = Tensor::cat(&tokens, 1) + prior.position.narrow(1, place, 3); // [B, 3, D]
        for (n, (block, kept)) in prior.blocks.iter().zip(&self.kept).enumerate() {
            let rows = if n + 1 == prior.blocks.len() { 1 } else { 3 };
            (x, _) = block.follow(&x, rows, kept, &self.bias);
        }
        prior.out.forward(&prior.norm.forward(&x.select(1, -1))) // [B, E]
    }
}

/// What to add to the scores so that no token sees a later one or the caption's padding: `[B, T] -> [B, 1, S, S]` with
/// `S = T + extra`.
pub(crate) fn attention_bias(mask: &Tensor, extra: i64, kind: Kind) -> Tensor {
    let tokens = mask.size()[1] + extra;
    let later = Tensor::ones([tokens, tokens], (kind, mask.device())).triu(1); // [S, S]
    later * MASKED + padding_bias(mask, extra, kind)
}

/// What to add to the scores so that the caption's padding is not seen: `[B, T] -> [B, 1, 1, S]` with `S = T + extra`.
pub(crate) fn padding_bias(mask: &Tensor, extra: i64, kind: Kind) -> Tensor {
    let (batch, caption) = mask.size2().expect("a caption's mask is [B, T]");
    let padding = mask.logical_not().to_kind(kind).constant_pad_nd([0, extra]); // [B, S]
    padding.view([batch, 1, 1, caption + extra]) * MASKED
}
