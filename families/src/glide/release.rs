//! The published files, each with the components that it holds.

use diffusion::{BetaSchedule, Prediction, SchedulerConfig, TimestepSpacing, Variance};
use weights::Folder;

use super::*;
use crate::Error;

/// The files of the noised CLIP.
const CLIP_TEXT_FILE: &str = "clip_text_enc.pt";
const CLIP_IMAGE_FILE: &str = "clip_image_enc.pt";

/// A published file with a U-Net and its text transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UNetFile {
    /// From a caption to a small image.
    Base,
    /// From a caption and a small image to a large one.
    Upsample,
    /// As the base, with a masked image and its mask beside the input.
    BaseInpaint,
    /// As the upsampler, with a masked image and its mask beside the input.
    UpsampleInpaint,
}

impl UNetFile {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Base, Self::Upsample, Self::BaseInpaint, Self::UpsampleInpaint];

    /// The file that a component comes from, and whether it is the file's U-Net, not its text transformer.
    pub(crate) fn of(component: &str) -> Option<(Self, bool)> {
        Self::ALL.into_iter().find_map(|file| {
            let place = file.components().iter().position(|name| *name == component)?;
            Some((file, place == 0))
        })
    }

    /// The components in it: the U-Net, and its text transformer.
    fn components(self) -> [&'static str; 2] {
        match self {
            Self::Base => [DECODER, DECODER_TEXT_ENCODER],
            Self::Upsample => [UPSAMPLER, UPSAMPLER_TEXT_ENCODER],
            Self::BaseInpaint => [INPAINT_DECODER, INPAINT_DECODER_TEXT_ENCODER],
            Self::UpsampleInpaint => [INPAINT_UPSAMPLER, INPAINT_UPSAMPLER_TEXT_ENCODER],
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Base => "base.pt",
            Self::Upsample => "upsample.pt",
            Self::BaseInpaint => "base_inpaint.pt",
            Self::UpsampleInpaint => "upsample_inpaint.pt",
        }
    }

    /// The U-Net and the text transformer, for messages.
    pub(crate) fn nouns(self) -> [&'static str; 2] {
        match self {
            Self::Base => ["the base network", "the base network's text transformer"],
            Self::Upsample => ["the upsampler", "the upsampler's text transformer"],
            Self::BaseInpaint => {
                ["the inpainting base network", "the inpainting base network's text transformer"]
            }
            Self::UpsampleInpaint => {
                ["the inpainting upsampler", "the inpainting upsampler's text transformer"]
            }
        }
    }

    /// Channels of the U-Net's input: of the noised image 3, of an image beside it 3, of a mask 1.
    pub(crate) fn in_channels(self) -> i64 {
        match self {
            Self::Base => 3,
            Self::Upsample => 6,
            Self::BaseInpaint => 7,
            Self::UpsampleInpaint => 10,
        }
    }

    /// Pixels on a side of its images, unless the options say otherwise.
    pub(crate) fn image_size(self) -> i64 {
        match self {
            Self::Base | Self::BaseInpaint => 64,
            Self::Upsample | Self::UpsampleInpaint => 256,
        }
    }
}

/// The published file that a component comes from; `None` for schedulers, which are in no file, and for tokenizers.
pub fn published_file(component: &str) -> Option<&'static str> {
    match component {
        CLIP_TEXT_ENCODER => Some(CLIP_TEXT_FILE),
        CLIP_IMAGE_ENCODER => Some(CLIP_IMAGE_FILE),
        _ => UNetFile::of(component).map(|(file, _)| file.name()),
    }
}

/// The file, or the files, that a component would come from.
pub(crate) fn missing_file(component: &str) -> String {
    let tokenizer = match component {
        CLIP_TOKENIZER => "bpe_simple_vocab_16e6.txt",
        _ => "encoder.json with vocab.bpe",
    };
    published_file(component).unwrap_or(tokenizer).to_owned()
}

/// A network with its article, for messages.
fn noun(component: &str) -> &'static str {
    match (component, UNetFile::of(component)) {
        (CLIP_TEXT_ENCODER, _) => "the noised CLIP's text encoder",
        (CLIP_IMAGE_ENCODER, _) => "the noised CLIP's image encoder",
        (_, Some((file, _))) => file.nouns()[0],
        (_, None) => "a component",
    }
}

/// Whether any of the published files of weights lies in `folder`.
pub fn is_published(folder: &Folder) -> bool {
    let files = UNetFile::ALL.map(UNetFile::name).into_iter();
    let mut files = files.chain([CLIP_TEXT_FILE, CLIP_IMAGE_FILE]);
    folder.weights_file().is_none() && files.any(|file| folder.has(file))
}

/// The folder that a component opens in where it has none of its own: that of the published files, where the component's is
/// one of them. Schedulers are in no file, and tokenizers in several.
pub fn published_component(folder: &Folder, component: &'static str) -> Result<Folder, Error> {
    let file = published_file(component);
    match file {
        Some(file) if !folder.has(file) => {
            Err(Error::NoPublishedFile { file: folder.name_of(file), noun: noun(component) })
        }
        None if !super::family::glide().all_components().contains(&component) => {
            Err(super::open::missing(folder, component))
        }
        _ => Ok(folder.clone()),
    }
}

/// The scheduler that the networks of a stage were trained with; `None` for another component's name.
pub(crate) fn scheduler(component: &str) -> Option<SchedulerConfig> {
    let beta_schedule = match component {
        DECODER_SCHEDULER => BetaSchedule::Cosine,
        UPSAMPLER_SCHEDULER => BetaSchedule::Linear { start: 1e-4, end: 0.02 },
        _ => return None,
    };
    Some(SchedulerConfig {
        train_timesteps: 1000,
        beta_schedule,
        timestep_spacing: TimestepSpacing::Linspace,
        prediction: Prediction::Epsilon,
        variance: Variance::LearnedRange,
        clip_range: Some(1.0),
    })
}
