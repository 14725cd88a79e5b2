//! Conditioning of the decoder on a CLIP image embedding alone.

use layers::{LayerNorm, Linear, Params};
use tch::Tensor;

use crate::{Conditions, HINT_CHANNELS, HintEncoder};

/// The epsilon of the norms, which the published classes fix.
const EPS: f64 = 1e-5;

/// The shape of a conditioning on an image embedding alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConditioningConfig {
    /// Width E of the CLIP embeddings.
    pub embedding: i64,
    /// Width of the U-Net's time embedding.
    pub time_width: i64,
    /// Width X of the tokens that the U-Net attends to.
    pub context_width: i64,
    /// Tokens that the image embedding becomes.
    pub tokens: i64,
    /// Whether the U-Net takes the features of a hint beside the noised latents.
    pub hint: bool,
}

impl ImageConditioningConfig {
    /// The channels of the U-Net's input that a hint's features take.
    pub fn hint_channels(&self) -> i64 {
        if self.hint { HINT_CHANNELS } else { 0 }
    }
}

/// From a CLIP image embedding to [`Conditions`] (tensors named as in the U-Net's file of the published Kandinsky 2.2).
pub struct ImageConditioning {
    to_added: Linear,
    added_norm: LayerNorm,
    to_tokens: Linear,
    tokens_norm: LayerNorm,
    hint_encoder: Option<HintEncoder>,
    config: ImageConditioningConfig,
}

impl ImageConditioning {
    /// Takes `add_embedding` and `encoder_hid_proj`.
    pub fn new(p: &Params, config: &ImageConditioningConfig) -> Self {
        let &ImageConditioningConfig { embedding, time_width, context_width, tokens, hint } =
            config;
        let (added, context) = (p / "add_embedding", p / "encoder_hid_proj");
        Self {
            to_added: Linear::new(&(&added / "image_proj"), embedding, time_width),
            added_norm: LayerNorm::new(&(&added / "image_norm"), time_width, EPS),
            to_tokens: Linear::new(&(&context / "image_embeds"), embedding, tokens * context_width),
            tokens_norm: LayerNorm::new(&(&context / "norm"), context_width, EPS),
            hint_encoder: hint.then(|| HintEncoder::new(&added)),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &ImageConditioningConfig {
        &self.config
    }

    /// The encoder of hints, where the U-Net takes their features.
    pub fn hint_encoder(&self) -> Option<&HintEncoder> {
        self.hint_encoder.as_ref()
    }

    /// The conditions of `image_embedding [B, E]`, all of whose tokens are attended to.
    pub fn forward(&self, image_embedding: &Tensor) -> Conditions {
        let batch = image_embedding.size()[0];
        let tokens = self.to_tokens.forward(image_embedding);
        // The published layout has the token as the slow axis.
        let tokens = tokens.view([batch, self.config.tokens, self.config.context_width]); // [B, tokens, X]
        Conditions {
            added: self.added_norm.forward(&self.to_added.forward(image_embedding)),
            context: self.tokens_norm.forward(&tokens),
            mask: None,
        }
    }
}
