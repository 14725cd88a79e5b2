//! Conditioning of the decoder on a CLIP image embedding and a caption.

use layers::{Init, LayerNorm, Linear, Params};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The shape of a decoder's conditioning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditioningConfig {
    /// Width E of the CLIP embeddings.
    pub embedding: i64,
    /// Width of the text encoder's token states.
    pub text_width: i64,
    /// Width of the U-Net's time embedding.
    pub time_width: i64,
    /// Width X of the tokens that the U-Net attends to.
    pub context_width: i64,
    /// Tokens that the image embedding becomes.
    pub extra_tokens: i64,
}

/// The conditions of a U-Net, beyond the timestep.
pub struct Conditions {
    /// Added to the time embedding, `[B, time width]`.
    pub added: Tensor,
    /// Attended to, `[B, S, X]`. In unCLIP `S = extra tokens + T`: first the image embedding's tokens, then the caption's.
    pub context: Tensor,
    /// The tokens that are attended to, `[B, S]` (bool): all but the caption's padding. Without a mask all are.
    pub mask: Option<Tensor>,
}

impl Conditions {
    /// This batch, and `other`'s after it. Both have masks, or neither.
    pub fn followed_by(&self, other: &Self) -> Self {
        let cat = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
        Self {
            added: cat(&self.added, &other.added),
            context: cat(&self.context, &other.context),
            mask: self.mask.as_ref().zip(other.mask.as_ref()).map(|(a, b)| cat(a, b)),
        }
    }

    /// One image's conditions for `count` images: `B = 1` becomes `B = count`.
    pub fn expand(&self, count: i64) -> Self {
        Self {
            added: self.added.expand([count, -1], false),
            context: self.context.expand([count, -1, -1], false),
            mask: self.mask.as_ref().map(|mask| mask.expand([count, -1], false)),
        }
    }
}

/// From a CLIP image embedding and a caption to [`Conditions`] (unCLIP, section 2.1; tensors named as in
/// the published Karlo).
pub struct Conditioning {
    unconditional: Tensor, // [E]
    text_to_added: Linear,
    image_to_added: Linear,
    image_to_tokens: Linear,
    text_to_tokens: Linear,
    text_norm: LayerNorm,
    config: ConditioningConfig,
}

impl Conditioning {
    /// Takes all tensors of the part.
    pub fn new(p: &Params, config: &ConditioningConfig) -> Self {
        let &ConditioningConfig { embedding, text_width, time_width, context_width, extra_tokens } =
            config;
        let to_added = "clip_image_embeddings_project_to_time_embeddings";
        let to_tokens = p / "clip_extra_context_tokens_proj";
        Self {
            unconditional: p.take(
                "learned_classifier_free_guidance_embeddings",
                &[embedding],
                Init::Zeros,
            ),
            text_to_added: Linear::new(&(p / "embedding_proj"), embedding, time_width),
            image_to_added: Linear::new(&(p / to_added), embedding, time_width),
            image_to_tokens: Linear::new(&to_tokens, embedding, extra_tokens * context_width),
            text_to_tokens: Linear::new(
                &(p / "encoder_hidden_states_proj"),
                text_width,
                context_width,
            ),
            text_norm: LayerNorm::new(
                &(p / "text_encoder_hidden_states_norm"),
                context_width,
                1e-5,
            ),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &ConditioningConfig {
        &self.config
    }

    /// The conditions of `image_embedding [B, E]` and a caption's `text_embedding [B, E]`, `text_states [B, T, text width]`
    /// and `mask [B, T]` (bool, true at real tokens).
    pub fn forward(
        &self,
        image_embedding: &Tensor,
        text_embedding: &Tensor,
        text_states: &Tensor,
        mask: &Tensor,
    ) -> Conditions {
        let added = self.text_to_added.forward(text_embedding)
            + self.image_to_added.forward(image_embedding);
        let batch = image_embedding.size()[0];
        // The published layout has the token as the fast axis.
        let image_tokens = self.image_to_tokens.forward(image_embedding).view([
            batch,
            -1,
            self.config.extra_tokens,
        ]);
        let text_tokens = self.text_norm.forward(&self.text_to_tokens.forward(text_states)); // [B, T, X]
        let context = Tensor::cat(&[image_tokens.transpose(1, 2), text_tokens], 1); // [B, extra + T, X]
        let front = mask.new_ones([batch, self.config.extra_tokens], (mask.kind(), mask.device()));
        let mask = Tensor::cat(&[&front, mask], 1); // [B, extra + T]
        Conditions { added, context, mask: Some(mask) }
    }

    /// The image embedding `[E]` of the unconditional half, learned for classifier-free guidance.
    pub fn unconditional(&self) -> &Tensor {
        &self.unconditional
    }
}
