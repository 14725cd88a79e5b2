//! A look at what the networks compute, where it leaves them: numbers that are not finite end the work, and what made them is
//! named.

use layers::finite::norm;
use tch::{Kind, Tensor};

use crate::{Error, Pipeline};

/// A result of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Captions as the text encoder reads them.
    Text,
    /// Pictures as the image encoder sees them.
    ImageEmbedding,
    /// Image embeddings by the diffusion prior.
    PriorEmbedding,
    /// Logits of the autoregressive prior.
    Codes,
    /// The noise that an inversion finds.
    Noise,
    /// The decoder's pictures.
    Base,
    /// The upsampler's pictures.
    Upsampled,
}

impl Quantity {
    /// The quantity in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "the text encoder's embedding",
            Self::ImageEmbedding => "the image encoder's embedding",
            Self::PriorEmbedding => "the prior's embedding",
            Self::Codes => "the autoregressive prior's logits",
            Self::Noise => "the inversion's noise",
            Self::Base => "the decoder's picture",
            Self::Upsampled => "the upsampler's picture",
        }
    }

    /// The parts of the model that compute it from numbers which were looked at before.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["text_encoder"],
            Self::ImageEmbedding => &["image_encoder"],
            Self::PriorEmbedding => &["prior"],
            Self::Codes => &["prior_autoregressive"],
            Self::Noise | Self::Base => &["text_proj", "decoder"],
            Self::Upsampled => &["super_res_first", "super_res_last"],
        }
    }

    /// The setting that carries it beyond what the networks answered.
    fn scale(self) -> Option<&'static str> {
        match self {
            Self::PriorEmbedding | Self::Codes => Some("prior guidance scale"),
            Self::Base => Some("decoder guidance scale"),
            _ => None,
        }
    }
}

/// Guidance scales beyond are larger than any use of theirs.
const USUAL_SCALE: f64 = 100.0;

impl Pipeline {
    /// `tensor`, which networks computed with this guidance scale, if any. One reduction, which a GPU is waited for.
    pub(crate) fn finite(
        &self,
        tensor: Tensor,
        quantity: Quantity,
        guidance: Option<f64>,
    ) -> Result<Tensor, Error> {
        self.finite_norms(&[norm(&tensor)], quantity, guidance)?;
        Ok(tensor)
    }

    /// The same for the norms of several tensors.
    pub(crate) fn finite_norms(
        &self,
        norms: &[Tensor],
        quantity: Quantity,
        guidance: Option<f64>,
    ) -> Result<(), Error> {
        let all = Tensor::stack(norms, 0).sum(Kind::Double);
        match all.double_value(&[]).is_finite() {
            true => Ok(()),
            false => Err(self.not_finite(quantity, guidance)),
        }
    }

    /// The error that names what made a quantity not finite: a weight, a setting, or the kind of numbers.
    pub(crate) fn not_finite(&self, quantity: Quantity, guidance: Option<f64>) -> Error {
        let damage = quantity.parts().iter().find_map(|&part| {
            let folder = self.parts.folder(part).ok()?;
            weights::describe_numbers(&folder).ok().flatten()
        });
        let scale = guidance.filter(|scale| scale.abs() > USUAL_SCALE);
        let scale = quantity.scale().zip(scale);
        let cause = match (damage, scale) {
            (Some(damage), _) => format!("{damage}, so the file is damaged"),
            (None, Some((name, scale))) => {
                format!("the {name} is {scale:?}, and 1 to 20 are usual")
            }
            (None, None) if self.kind == Kind::Half => {
                "f16 holds no number above 65504: --dtype bf16 or f32 does".to_owned()
            }
            (None, None) => format!(
                "the weights of {} do not fit their networks",
                quantity.parts().join(" and ")
            ),
        };
        Error::NotFinite { quantity, cause }
    }
}
