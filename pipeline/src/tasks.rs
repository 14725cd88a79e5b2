//! Which parts of a model a task works with: no other is opened.

use crate::{Settings, Stage};

/// A need of a task beyond the decoder and the upsamplers, which every task needs that draws pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Captions become image embeddings.
    Prior,
    /// Pictures become image embeddings.
    ImageEncoder,
}

/// All that a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// A prior draws embeddings from captions: by diffusion, or code by code.
    pub(crate) prior: Option<PriorKind>,
    /// Pictures are encoded.
    pub(crate) image_encoder: bool,
    /// Embeddings are decoded to small pictures.
    pub(crate) decoder: bool,
    /// Small pictures are enlarged.
    pub(crate) upsampler: bool,
}

/// The two priors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PriorKind {
    Diffusion,
    Autoregressive,
}

impl PriorKind {
    /// The prior that these settings draw with.
    pub(crate) fn of(settings: &Settings) -> Self {
        match settings.prior_codes {
            Some(_) => Self::Autoregressive,
            None => Self::Diffusion,
        }
    }

    pub(crate) fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Diffusion => &["prior", "prior_scheduler"],
            Self::Autoregressive => &["prior_autoregressive"],
        }
    }
}

impl Task {
    pub(crate) fn folders(self) -> impl Iterator<Item = &'static str> {
        let decoder: &[_] = if self.decoder { &DECODER } else { &[] };
        let upsampler: &[_] = if self.upsampler { &UPSAMPLER } else { &[] };
        let prior = self.prior.map_or(&[][..], PriorKind::folders);
        let pictures: &[_] = if self.image_encoder { &IMAGE_ENCODER } else { &[] };
        let parts = TEXT_ENCODER.iter().chain(decoder).chain(upsampler);
        parts.chain(prior).chain(pictures).copied()
    }

    pub(crate) fn stages(self) -> impl Iterator<Item = Stage> {
        let stage = move |stage: &Stage| match stage {
            Stage::Prior => self.prior == Some(PriorKind::Diffusion),
            Stage::Decoder => self.decoder,
            Stage::Upsampler => self.upsampler,
        };
        Stage::ALL.into_iter().filter(stage)
    }
}

/// The folders of what encodes captions.
pub(crate) const TEXT_ENCODER: [&str; 2] = ["tokenizer", "text_encoder"];

/// The folders of what encodes pictures.
pub(crate) const IMAGE_ENCODER: [&str; 2] = ["image_encoder", "feature_extractor"];

/// The folders of what draws small pictures from embeddings.
const DECODER: [&str; 3] = ["text_proj", "decoder", "decoder_scheduler"];

/// The folders of what enlarges them.
const UPSAMPLER: [&str; 3] = ["super_res_first", "super_res_last", "super_res_scheduler"];
