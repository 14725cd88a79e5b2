//! What draws: one decoder of captions and image embeddings, told different things, and one of captions alone.

use noise::Generator;
use pipeline::{CodeSampling, Pipeline, Settings, Use};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::Error;

/// Steps of the prior and of the decoder.
const STEPS: usize = 15;

/// How a caption becomes a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// The diffusion prior's embedding and the caption.
    Stack,
    /// The autoregressive prior's embedding and the caption.
    Codes,
    /// The caption's own embedding where a picture's belongs, and the caption.
    TextEmbedding,
    /// No embedding, and the caption, in the same decoder.
    NoEmbedding,
    /// A decoder that learned from captions alone.
    Captions,
}

impl System {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Codes => "stack with the autoregressive prior",
            Self::TextEmbedding => "text embedding into the stack's decoder",
            Self::NoEmbedding => "caption alone into the stack's decoder",
            Self::Captions => "decoder of captions",
        }
    }

    /// Within a file's name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Codes => "codes",
            Self::TextEmbedding => "text-embedding",
            Self::NoEmbedding => "no-embedding",
            Self::Captions => "captions",
        }
    }
}

/// A system and how strongly it is guided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// What draws.
    pub system: System,
    /// The decoder's guidance scale.
    pub scale: f64,
    /// The prior's.
    pub prior_scale: f64,
}

impl Setting {
    /// Without guidance of the prior.
    pub fn new(system: System, scale: f64) -> Self {
        Self { system, scale, prior_scale: 1.0 }
    }

    /// Such as `stack-2` or `stack-2-prior-4`.
    pub fn slug(&self) -> String {
        let (system, scale) = (self.system.slug(), self.scale);
        match self.prior_scale {
            1.0 => format!("{system}-{scale}"),
            prior => format!("{system}-{scale}-prior-{prior}"),
        }
    }
}

/// The two models.
pub struct Systems<'a> {
    /// With both priors and a decoder of embeddings and captions.
    pub stack: &'a Pipeline,
    /// With a decoder of captions.
    pub captions: &'a Pipeline,
}

impl Systems<'_> {
    /// Opens what draws.
    pub fn prepare(&self) -> Result<(), Error> {
        let settings = self.settings(Setting::new(System::Stack, 1.0))?;
        self.stack.prepare(&[Use::Prior, Use::ImageEncoder], &settings)?;
        let settings = self.settings(Setting::new(System::Codes, 1.0))?;
        self.stack.prepare(&[Use::Prior], &settings)?;
        Ok(self.captions.prepare(&[], &settings)?)
    }

    fn settings(&self, setting: Setting) -> Result<Settings, Error> {
        let codes = setting.system == System::Codes;
        Ok(Settings {
            prior_steps: STEPS,
            decoder_steps: STEPS,
            prior_guidance_scale: setting.prior_scale,
            decoder_guidance_scale: setting.scale,
            prior_codes: codes.then(CodeSampling::plain),
            ..self.stack.defaults()?
        })
    }

    /// Small pictures `[B, C, h, w]` of captions, each with the noise of its seed.
    pub fn draw(
        &self,
        setting: Setting,
        captions: &[&str],
        seeds: &[u64],
    ) -> Result<Tensor, Error> {
        let quiet = &mut |_, _, _| {};
        let mut streams: Vec<Generator> = seeds.iter().map(|&seed| Generator::new(seed)).collect();
        let settings = self.settings(setting)?;
        let pipeline = match setting.system {
            System::Captions => self.captions,
            _ => self.stack,
        };
        let text = pipeline.encode_text(captions)?;
        let embedding = match setting.system {
            System::Stack | System::Codes => {
                pipeline.draw_embedding(&text, &settings, &mut streams, quiet)?
            }
            System::TextEmbedding => text.embedding.shallow_clone(),
            System::NoEmbedding | System::Captions => pipeline.no_embedding(captions.len())?,
        };
        Ok(pipeline.decode(&embedding, &text, &settings, &mut streams, quiet)?)
    }
}
