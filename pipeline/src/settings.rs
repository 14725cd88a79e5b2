//! What a user wishes of a picture, apart from its caption and its seed.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::codes::CodeSampling;

/// The three diffusions of a picture, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Draws the image embedding.
    Prior,
    /// Draws the small picture.
    Decoder,
    /// Draws the large picture.
    Upsampler,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Prior, Self::Decoder, Self::Upsampler];

    /// The stage's name, as in the settings' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prior => "prior",
            Self::Decoder => "decoder",
            Self::Upsampler => "upsampler",
        }
    }
}

/// The most embeddings that the prior draws for one picture.
pub const MOST_CANDIDATES: usize = 1000;

/// How many steps each stage takes and how strongly the caption pulls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Steps of the prior.
    pub prior_steps: usize,
    /// Embeddings that the prior draws, of which the one closest to the caption's is kept (section 2.2).
    #[serde(default = "one")]
    pub prior_candidates: usize,
    /// Steps of the decoder.
    pub decoder_steps: usize,
    /// Steps of the upsampler, of which the last runs a network of its own.
    pub upsampler_steps: usize,
    /// How far the prior's prediction is carried from the unconditional one to the caption's and beyond.
    pub prior_guidance_scale: f64,
    /// The same for the decoder.
    pub decoder_guidance_scale: f64,
    /// How the autoregressive prior draws, where it does; else the diffusion prior draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_codes: Option<CodeSampling>,
}

impl Settings {
    /// What Karlo's authors draw with.
    pub fn karlo() -> Self {
        Self {
            prior_steps: 25,
            prior_candidates: 1,
            decoder_steps: 25,
            upsampler_steps: 7,
            prior_guidance_scale: 4.0,
            decoder_guidance_scale: 8.0,
            prior_codes: None,
        }
    }

    /// The same for a task in which the prior takes no part, and the decoder alone says whether it is guided.
    pub fn without_prior(&self) -> Self {
        Self {
            prior_guidance_scale: 1.0,
            prior_codes: None,
            ..*self
        }
    }

    /// The steps of one stage.
    pub fn steps(&self, stage: Stage) -> usize {
        match stage {
            Stage::Prior => self.prior_steps,
            Stage::Decoder => self.decoder_steps,
            Stage::Upsampler => self.upsampler_steps,
        }
    }

    /// The guidance scale of a stage, or `None` where the stage runs on the caption alone: with a scale of 1, of which the
    /// caption's answer alone is left.
    ///
    /// As in the reference, both stages are guided as soon as either scale is greater than 1.
    pub fn guidance(&self, stage: Stage) -> Option<f64> {
        let guided = self.prior_guidance_scale > 1.0 || self.decoder_guidance_scale > 1.0;
        let scale = match stage {
            Stage::Prior => self.prior_guidance_scale,
            Stage::Decoder => self.decoder_guidance_scale,
            Stage::Upsampler => return None,
        };
        (guided && scale != 1.0).then_some(scale)
    }

    /// Refuses scales that are no finite numbers, and a choice among no candidates.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=MOST_CANDIDATES).contains(&self.prior_candidates) {
            return Err(Error::Candidates(self.prior_candidates));
        }
        if let Some(sampling) = self.prior_codes {
            sampling.check()?;
        }
        let scales = [
            ("prior-guidance-scale", self.prior_guidance_scale),
            ("decoder-guidance-scale", self.decoder_guidance_scale),
        ];
        match scales.into_iter().find(|(_, value)| !value.is_finite()) {
            Some((setting, value)) => Err(Error::Guidance { setting, value }),
            None => Ok(()),
        }
    }
}

fn one() -> usize {
    1
}

/// Refuses captions that say nothing or hold a NUL character, which no caption means to.
pub fn check_caption(caption: &str) -> Result<(), Error> {
    if caption.trim().is_empty() {
        return Err(Error::EmptyCaption);
    }
    match caption.find('\0') {
        Some(position) => Err(Error::NulInCaption { position }),
        None => Ok(()),
    }
}
