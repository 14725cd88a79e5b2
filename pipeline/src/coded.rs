//! What the autoregressive prior's codes say of embeddings, and what they take to say.

use prior::autoregressive::bits;
use prior::codes::closeness;
use tch::{Kind, Tensor};

use crate::memory::within_memory;
use crate::{Error, Pipeline, Settings, Text};

/// Image embeddings as codes.
pub struct Coded {
    /// The bits that each code takes, given the caption, the closeness and the codes before it: `[B, N]`.
    pub bits: Tensor,
    /// K, how many values a code has.
    pub buckets: i64,
    /// The embeddings with nothing left but the components that become codes, `[B, E]` in f32.
    pub kept: Tensor,
    /// The embeddings that the codes stand for, `[B, E]` in f32.
    pub decoded: Tensor,
}

impl Pipeline {
    /// Codes image embeddings `[B, E]` of pictures with these captions. An error where the model has no autoregressive
    /// prior.
    pub fn code(&self, embeddings: &Tensor, text: &Text) -> Result<Coded, Error> {
        let prior = self.parts.autoregressive_prior()?;
        within_memory(|| {
            let codes = prior.codes.encode(embeddings); // [B, N]
            let told = closeness(embeddings, &text.embedding);
            let told = prior.codes.encode_closeness(&told); // [B]
            let logits = prior.forward(&text.embedding, &text.states, &text.mask, &told, &codes);
            Ok(Coded {
                bits: bits(&logits.to_kind(Kind::Float), &codes),
                buckets: prior.codes.buckets(),
                kept: prior.codes.truncate(embeddings),
                decoded: prior.codes.decode(&codes),
            })
        })
    }

    /// Whether the model, completed, has the prior that `settings` draw with.
    pub fn has_prior(&self, settings: &Settings) -> bool {
        let mut components = self.parts.prior_components(settings.prior_kind()).into_iter();
        components.all(|component| self.parts.folder(component).is_ok())
    }
}
