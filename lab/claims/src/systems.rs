//! Systems that are compared: one decoder of captions and image embeddings, conditioned in different ways, and one of captions
//! alone; and GLIDE, guided in two ways.

use evaluation::Error;
use evaluation::evaluator::streams;
use pipeline::{CodeSampling, Pipeline, Settings, Silent, Task, TimestepRespacing};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::samples::Sampler;

/// Guidance scales of the curves; 1 is no guidance.
pub const SCALES: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
/// Guidance scales of the curve of CLIP guidance.
pub const CLIP_SCALES: [f64; 6] = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
/// Guidance scales of the prior that are compared with none.
pub const PRIOR_SCALES: [f64; 2] = [2.0, 4.0];

/// Steps of the prior and of the decoder.
const STEPS: usize = 15;

/// A way from a caption to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// The diffusion prior's embedding and the caption.
    Stack,
    /// The autoregressive prior's embedding and the caption.
    Codes,
    /// The caption's own embedding where an image's belongs, and the caption.
    TextEmbedding,
    /// No embedding, and the caption, in the same decoder.
    NoEmbedding,
    /// A decoder that learned from captions alone.
    Captions,
    /// GLIDE with classifier-free guidance.
    GlideClassifierFree,
    /// GLIDE with the gradient of its CLIP of noised images instead (2112.10741, section 2.4).
    GlideClip,
}

impl System {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Codes => "stack with the autoregressive prior",
            Self::TextEmbedding => "text embedding into the stack's decoder",
            Self::NoEmbedding => "caption alone into the stack's decoder",
            Self::Captions => "decoder of captions",
            Self::GlideClassifierFree => "GLIDE, classifier-free guidance",
            Self::GlideClip => "GLIDE, CLIP guidance",
        }
    }

    /// The name within a file's name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Codes => "codes",
            Self::TextEmbedding => "text-embedding",
            Self::NoEmbedding => "no-embedding",
            Self::Captions => "captions",
            Self::GlideClassifierFree => "classifier-free",
            Self::GlideClip => "clip",
        }
    }
}

/// A system and its guidance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The system.
    pub system: System,
    /// The decoder's guidance scale, or that of CLIP where its gradient guides.
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
    /// Opens the models.
    pub fn prepare(&self) -> Result<(), Error> {
        let settings = self.settings(Setting::new(System::Stack, 1.0))?;
        self.stack.prepare(Task::MIXED, &settings)?;
        let settings = self.settings(Setting::new(System::Codes, 1.0))?;
        self.stack.prepare(Task::GENERATE, &settings)?;
        Ok(self.captions.prepare(Task::DECODE, &settings)?)
    }

    fn settings(&self, setting: Setting) -> Result<Settings, Error> {
        let codes = setting.system == System::Codes;
        let mut settings = self.stack.defaults()?.with_codes(codes.then(CodeSampling::plain));
        if let Some(prior) = &mut settings.prior {
            (prior.steps, prior.guidance_scale) = (STEPS, setting.prior_scale);
        }
        settings.stages[0].steps = TimestepRespacing::Count(STEPS);
        settings.stages[0].guidance_scale = Some(setting.scale);
        Ok(settings)
    }
}

impl Sampler for Systems<'_> {
    fn base_side(&self) -> Result<u32, Error> {
        Ok(self.stack.base_side()?)
    }

    fn sample(&self, setting: Setting, captions: &[&str], seeds: &[u64]) -> Result<Tensor, Error> {
        let silent = &mut Silent;
        let streams = &mut streams(seeds);
        let settings = self.settings(setting)?;
        let pipeline = match setting.system {
            System::Captions => self.captions,
            _ => self.stack,
        };
        let text = pipeline.encode_text(captions)?;
        let embedding = match setting.system {
            System::Stack | System::Codes => {
                pipeline.sample_embedding(&text, &settings, streams, silent)?
            }
            System::TextEmbedding => text.embedding.shallow_clone(),
            _ => pipeline.unconditional_embedding(captions.len())?,
        };
        Ok(pipeline.decode(&embedding, &text, &settings, streams, silent)?)
    }
}
