//! Guidance by CLIP: the gradient of the similarity of a noised image and its caption moves each step (2112.10741, section 2.4).

use clip::NoisedImageEncoder;
use diffusion::{GradientGuidance, gradient};
use layers::embedding::timesteps;
use tch::{Kind, Tensor, no_grad};

use crate::lease::Lease;
use crate::{Error, Pipeline};

/// The factor of cosines that the published CLIP of noised images was trained with.
const LOGIT_SCALE: f64 = 100.0;

/// A batch's captions in CLIP's space, and the encoder of noised images.
pub(crate) struct ClipGuidance<'a> {
    encoder: Lease<'a, NoisedImageEncoder>,
    /// The normalised embeddings of the captions, `[B, E]`.
    captions: Tensor,
    scale: f64,
}

impl Pipeline {
    /// Guidance towards `captions`, `B` of them, at this scale. The encoders compute in f32, whatever the pipeline's dtype.
    pub(crate) fn clip_guidance(
        &self,
        captions: &[&str],
        scale: f64,
    ) -> Result<ClipGuidance<'_>, Error> {
        let tokens = self.components.noised_tokenizer()?.encode(captions)?;
        let lengths = tokens.mask.sum_dim_intlist(1, false, Kind::Int64);
        let lengths = Vec::<i64>::try_from(lengths).expect("a length a caption");
        let encoder = self.components.noised_text_encoder()?;
        let captions = no_grad(|| encoder.forward(&tokens.ids.to_device(self.device), &lengths));
        Ok(ClipGuidance { encoder: self.components.noised_image_encoder()?, captions, scale })
    }
}

impl ClipGuidance<'_> {
    /// The mean or eps `[B, ..]` of a step, moved along the gradient of the cosines.
    pub(crate) fn guide(&self, value: Tensor, guidance: &GradientGuidance) -> Tensor {
        let x_t = guidance.x_t;
        let t = timesteps(guidance.step.timestep, x_t.size()[0], x_t.device());
        let similarity = |x: &Tensor| LOGIT_SCALE * (self.encoder.forward(x, &t) * &self.captions);
        guidance.along(value, &(gradient(x_t, similarity) * self.scale))
    }
}
