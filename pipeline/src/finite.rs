//! A look at what the networks compute, where it leaves them: numbers that are not finite end the work, and their cause is
//! named.

use families::Clip;
use layers::finite::norm;
use tch::{Kind, Tensor};

use crate::stages::BASE;
use crate::{Error, Pipeline};

/// A result of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Captions after the text encoder.
    Text,
    /// Images after the image encoder.
    ImageEmbedding,
    /// Image embeddings of the diffusion prior.
    PriorEmbedding,
    /// Logits of the autoregressive prior.
    Codes,
    /// The noise that an inversion finds.
    Noise,
    /// The images of the first stage.
    Base,
    /// The images of a stage that upsamples, by its place in the order of stages.
    Upsampled(usize),
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
            Self::Upsampled(_) => "the upsampler's picture",
        }
    }

    /// The setting that carries it beyond the networks' outputs.
    fn scale(self) -> Option<&'static str> {
        match self {
            Self::PriorEmbedding | Self::Codes => Some("prior guidance scale"),
            Self::Base => Some("decoder guidance scale"),
            _ => None,
        }
    }
}

/// Why numbers are not finite.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// A damaged file of weights, as a sentence.
    Damage(String),
    /// A setting far beyond its usual values.
    Scale {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: f64,
    },
    /// The range of f16.
    HalfPrecision,
    /// Weights that do not belong to their networks, by their components.
    Weights(Vec<&'static str>),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Damage(damage) => write!(f, "{damage}, so the file is damaged"),
            Self::Scale { setting, value } => {
                write!(f, "the {setting} is {value:?}, and 1 to 20 are usual")
            }
            Self::HalfPrecision => f.write_str("f16 holds no number above 65504: bf16 or f32 does"),
            Self::Weights(components) => {
                write!(f, "the weights of {} do not fit their networks", components.join(" and "))
            }
        }
    }
}

/// Guidance scales beyond are larger than any use of theirs.
const USUAL_SCALE: f64 = 100.0;

impl Pipeline {
    /// `tensor`, which networks computed with these guidance scales, if any. One reduction, which a GPU is waited for.
    pub(crate) fn finite(
        &self,
        tensor: Tensor,
        quantity: Quantity,
        scales: Option<&[f64]>,
    ) -> Result<Tensor, Error> {
        self.finite_norms(&[norm(&tensor)], quantity, scales)?;
        Ok(tensor)
    }

    /// The same for the norms of several tensors.
    pub(crate) fn finite_norms(
        &self,
        norms: &[Tensor],
        quantity: Quantity,
        scales: Option<&[f64]>,
    ) -> Result<(), Error> {
        let all = Tensor::stack(norms, 0).sum(Kind::Double);
        match all.double_value(&[]).is_finite() {
            true => Ok(()),
            false => Err(self.not_finite(quantity, scales)),
        }
    }

    /// The error that names what made a quantity not finite: a weight, a setting, or the dtype.
    pub(crate) fn not_finite(&self, quantity: Quantity, scales: Option<&[f64]>) -> Error {
        let components = self.components_of(quantity);
        let damage = components.iter().find_map(|&component| {
            let folder = self.components.folder(component).ok()?;
            weights::describe_numbers(&folder).ok().flatten()
        });
        let scales = scales.unwrap_or_default().iter().copied();
        let largest = scales.max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let scale = quantity.scale().zip(largest.filter(|scale| scale.abs() > USUAL_SCALE));
        let cause = match (damage, scale) {
            (Some(damage), _) => Cause::Damage(damage),
            (None, Some((setting, value))) => Cause::Scale { setting, value },
            (None, None) if self.kind == Kind::Half => Cause::HalfPrecision,
            (None, None) => Cause::Weights(components),
        };
        Error::NotFinite { quantity, cause }
    }

    /// The components that compute a quantity from numbers which were looked at before.
    fn components_of(&self, quantity: Quantity) -> Vec<&'static str> {
        let family = self.components.family();
        let networks = |index: usize| self.components.stage(index).networks();
        let of_clip = |component: fn(Clip) -> &'static str| family.clip.into_iter().map(component);
        match quantity {
            Quantity::Text => of_clip(|clip| clip.text_encoder).collect(),
            Quantity::ImageEmbedding => of_clip(|clip| clip.image_encoder).collect(),
            Quantity::PriorEmbedding => family.prior.iter().map(|prior| prior.network).collect(),
            Quantity::Codes => family.autoregressive_prior.into_iter().collect(),
            Quantity::Noise | Quantity::Base => networks(BASE),
            Quantity::Upsampled(index) => networks(index),
        }
    }
}
