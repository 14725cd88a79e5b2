//! Opens the components of a CLIP in OpenAI's and in open_clip's layout.

use clip::{
    ImageEncoder, ImageEncoderConfig, ModifiedResNet, TextConfig, TextEncoder, Tokenizer,
    VisionEncoder,
};
use images::ImageProcessor;
use images::preprocess::CropRounding;
use layers::{Init, Params, Source};
use tch::{Device, Kind};
use weights::{Checkpoint, Folder, SourceAdapter, listed};

use super::open_clip::{OPEN_CLIP_CONFIG, OpenClipConfig, open_clip_config, open_clip_weights};
use super::{ClipLayout, inference, openai_clip};
use crate::configs::LOGIT_SCALE;
use crate::glide::CLIP_MERGES;
use crate::open::{open_files_tokenizer, translate};
use crate::{ConfigError, Error};

/// Transformers' files of a tokenizer.
pub(super) const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// A part of the names of open_clip's files whose models have OpenAI's activation.
const QUICK_GELU: &str = "quickgelu";

/// The prefix of the image tower's tensors.
const IMAGE_TOWER: &str = "visual.";

/// The prefixes of the text tower's.
const TEXT_TOWER: [&str; 5] =
    ["token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection"];

/// The prefixes of the other tower's tensors, and of what belongs to neither.
pub(crate) fn ignored_prefixes(image_tower: bool) -> Vec<&'static str> {
    match image_tower {
        true => [&TEXT_TOWER[..], &[LOGIT_SCALE]].concat(),
        false => vec![IMAGE_TOWER, LOGIT_SCALE],
    }
}

/// A CLIP in one of the two layouts.
pub(super) struct ClipFile<'a> {
    pub folder: &'a Folder,
    pub layout: ClipLayout,
}

impl ClipFile<'_> {
    /// The weights by OpenAI's names.
    fn checkpoint(
        &self,
        noun: &'static str,
        device: Device,
        kind: Kind,
    ) -> Result<Checkpoint, Error> {
        let folder = self.folder;
        let named = folder.weights_file();
        let known = open_clip_weights().into_iter().find(|name| folder.has(name));
        let Some(file) = named.or(known) else {
            return Err(Error::Weights(weights::Error::NoWeights {
                folder: folder.to_string(),
                model: noun.to_owned(),
                names: open_clip_weights().join(", "),
                files: listed(&folder.file_names()),
            }));
        };
        let checkpoint = folder.checkpoint_in(file, noun, device, kind)?;
        if self.layout == ClipLayout::OpenAi && !file.contains(QUICK_GELU) {
            self.infer(noun, &checkpoint, inference::check_publisher)?;
        }
        Ok(inference::without_prefix(checkpoint))
    }

    /// The configuration, in open_clip's layout.
    fn config(&self, noun: &'static str) -> Result<Option<OpenClipConfig>, Error> {
        match self.layout {
            ClipLayout::OpenClip => {
                translate(self.folder, OPEN_CLIP_CONFIG, noun, open_clip_config).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The shape that the tensors have.
    fn infer<C>(
        &self,
        noun: &'static str,
        checkpoint: &Checkpoint,
        infer: impl FnOnce(&Checkpoint) -> Result<C, ConfigError>,
    ) -> Result<C, Error> {
        infer(checkpoint).map_err(|problem| Error::Config {
            file: self.folder.to_string(),
            component: noun,
            problem,
        })
    }

    pub(super) fn text(
        &self,
        device: Device,
        kind: Kind,
    ) -> Result<(TextConfig, Checkpoint), Error> {
        let noun = "the text encoder";
        let config = self.config(noun)?;
        let checkpoint = self.checkpoint(noun, device, kind)?;
        let config = match config {
            Some(config) => config.text,
            None => self.infer(noun, &checkpoint, inference::text_config)?,
        };
        Ok((config, checkpoint.ignore(&ignored_prefixes(false))))
    }

    pub(super) fn image(
        &self,
        device: Device,
        kind: Kind,
    ) -> Result<(ImageEncoderConfig, Checkpoint), Error> {
        let noun = "the image encoder";
        let config = self.config(noun)?;
        let checkpoint = self.checkpoint(noun, device, kind)?;
        let config = match config {
            Some(config) => config.image,
            None => self.infer(noun, &checkpoint, inference::image_config)?,
        };
        Ok((config, checkpoint.ignore(&ignored_prefixes(true))))
    }
}

/// The weights in `folder` by OpenAI's names. No tensor is read.
pub(crate) fn clip_checkpoint(folder: &Folder, layout: ClipLayout) -> Result<Checkpoint, Error> {
    ClipFile { folder, layout }.checkpoint("CLIP", Device::Cpu, Kind::Float)
}

/// The shape of the text encoder in `folder`. No tensor is read.
pub(crate) fn clip_text_config(folder: &Folder, layout: ClipLayout) -> Result<TextConfig, Error> {
    ClipFile { folder, layout }.text(Device::Cpu, Kind::Float).map(|(config, _)| config)
}

/// The shape of the image encoder in `folder`. No tensor is read.
pub(crate) fn clip_image_config(
    folder: &Folder,
    layout: ClipLayout,
) -> Result<ImageEncoderConfig, Error> {
    ClipFile { folder, layout }.image(Device::Cpu, Kind::Float).map(|(config, _)| config)
}

/// The text encoder in `folder`.
pub(crate) fn open_clip_text_encoder(
    folder: &Folder,
    layout: ClipLayout,
    device: Device,
    kind: Kind,
) -> Result<TextEncoder, Error> {
    let (config, checkpoint) = ClipFile { folder, layout }.text(device, kind)?;
    let source = SourceAdapter::new(checkpoint, openai_clip());
    let encoder = TextEncoder::new(&Params::root(&source), &config);
    source.into_inner().finish()?;
    Ok(encoder)
}

/// The image encoder in `folder`.
pub(crate) fn open_clip_image_encoder(
    folder: &Folder,
    layout: ClipLayout,
    device: Device,
    kind: Kind,
) -> Result<ImageEncoder, Error> {
    let (config, checkpoint) = ClipFile { folder, layout }.image(device, kind)?;
    Ok(match config {
        ImageEncoderConfig::VisionTransformer(config) => {
            let source = SourceAdapter::new(checkpoint, openai_clip());
            let encoder = VisionEncoder::new(&Params::root(&source), &config);
            source.into_inner().finish()?;
            ImageEncoder::VisionTransformer(encoder)
        }
        // Its names are OpenAI's here too.
        ImageEncoderConfig::ResNet(config) => {
            let encoder = ModifiedResNet::new(&Params::root(&checkpoint), &config);
            checkpoint.finish()?;
            ImageEncoder::ResNet(encoder)
        }
    })
}

/// The preprocessing of images for the image encoder in `folder`, as torchvision does it.
pub(crate) fn open_clip_image_processor(
    folder: &Folder,
    layout: ClipLayout,
) -> Result<ImageProcessor, Error> {
    let file = ClipFile { folder, layout };
    if let Some(config) = file.config("the preprocessing of pictures")? {
        return Ok(config.processor);
    }
    let (config, _) = file.image(Device::Cpu, Kind::Float)?;
    let processor = ImageProcessor::clip(config.image_size() as u32);
    Ok(ImageProcessor { crop_rounding: CropRounding::HalfToEven, ..processor })
}

/// The logarithm of the factor of cosines, where the file has it: a scalar, or one number in a list.
pub(crate) fn open_clip_logit_scale(
    folder: &Folder,
    layout: ClipLayout,
) -> Result<Option<f64>, Error> {
    let file = ClipFile { folder, layout };
    let checkpoint = file.checkpoint("CLIP", Device::Cpu, Kind::Float)?;
    let Some(shape) = checkpoint.shape(LOGIT_SCALE).map(<[i64]>::to_vec) else {
        return Ok(None);
    };
    let checkpoint = checkpoint.ignore(&TEXT_TOWER).ignore(&[IMAGE_TOWER]);
    let shape = if shape == [1] { shape } else { Vec::new() };
    let scale = checkpoint.take(LOGIT_SCALE, &shape, Init::Zeros);
    checkpoint.finish()?;
    Ok(Some(scale.double_value(&[0][..shape.len()])))
}

/// Whether the files of a tokenizer lie in `folder`.
pub(crate) fn has_tokenizer(folder: &Folder) -> bool {
    let packed = format!("{CLIP_MERGES}.gz");
    ["tokenizer.json", "vocab.json", CLIP_MERGES, &packed].iter().any(|name| folder.has(name))
}

/// The tokenizer beside the weights, of OpenAI's table of merges or of transformers' files, which cleans captions as OpenAI's
/// code and open_clip's do. The text encoder says its context length.
pub(crate) fn open_clip_tokenizer(folder: &Folder) -> Result<Tokenizer, Error> {
    let refused = |problem| Error::Tokenizer { folder: folder.to_string(), problem };
    let tokenizer = match folder.read_packed(CLIP_MERGES)? {
        Some(merges) => Tokenizer::from_merges(&merges).map_err(refused)?,
        None if has_tokenizer(folder) => open_files_tokenizer(folder)?,
        None => return Err(no_tokenizer(folder)),
    };
    Ok(tokenizer.with_text_cleaning().without_context_length())
}

/// The error for weights in `folder` without a tokenizer beside them.
pub(crate) fn no_tokenizer(folder: &Folder) -> Error {
    Error::NoTokenizer {
        folder: folder.to_string(),
        missing: format!("{CLIP_MERGES} (or tokenizer.json) beside it"),
        repository: "openai/CLIP",
        place: "clip/, packed by gzip, as it may stay",
    }
}

/// Opens all of it and closes it again.
pub(crate) fn check_clip_file(folder: &Folder, layout: ClipLayout) -> Result<(), Error> {
    let (device, kind) = (Device::Cpu, Kind::Float);
    open_clip_text_encoder(folder, layout, device, kind)?;
    open_clip_image_encoder(folder, layout, device, kind)?;
    open_clip_logit_scale(folder, layout)?;
    open_clip_image_processor(folder, layout)?;
    if has_tokenizer(folder) {
        open_clip_tokenizer(folder)?;
    }
    Ok(())
}
