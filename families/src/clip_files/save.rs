//! Writes the components of a CLIP in OpenAI's file as transformers lays them out.

use std::path::Path;

use clip::{ImageEncoderConfig, TextEncoder, VisionEncoder, tokenizer_files};
use tch::{Device, Kind};
use weights::{Checkpoint, Folder, SourceAdapter, save_safetensors};

use super::open::{ClipFile, TOKENIZER_FILES};
use super::{ClipLayout, openai_clip};
use crate::glide::CLIP_MERGES;
use crate::network::Network;
use crate::save::{
    TRANSFORMERS_WEIGHTS, write_image_encoder_config, write_text, write_text_encoder_config,
};
use crate::{ConfigError, Error};

/// Writes the text encoder in `folder` into the folder `to`, in `dtype` or without one as it is stored.
pub(crate) fn write_text_encoder(
    folder: &Folder,
    to: &Path,
    dtype: Option<Kind>,
) -> Result<(), Error> {
    let (config, checkpoint) = openai(folder).text(Device::Cpu, Kind::Float)?;
    write_text_encoder_config(to, &config)?;
    let (_, tensors) = network(config, checkpoint).record(TextEncoder::new)?;
    Ok(save_safetensors(to.join(TRANSFORMERS_WEIGHTS), &tensors, dtype)?)
}

/// As [`write_text_encoder`], the image encoder, a vision transformer.
pub(crate) fn write_image_encoder(
    folder: &Folder,
    to: &Path,
    dtype: Option<Kind>,
) -> Result<(), Error> {
    let (config, checkpoint) = openai(folder).image(Device::Cpu, Kind::Float)?;
    let ImageEncoderConfig::VisionTransformer(config) = config else {
        let problem = "it is a ResNet, and transformers' CLIP is a vision transformer";
        return Err(Error::Config {
            file: folder.to_string(),
            component: "the image encoder",
            problem: ConfigError::Relation(problem.to_owned()),
        });
    };
    write_image_encoder_config(to, &config)?;
    let (_, tensors) = network(config, checkpoint).record(VisionEncoder::new)?;
    Ok(save_safetensors(to.join(TRANSFORMERS_WEIGHTS), &tensors, dtype)?)
}

/// Writes the tokenizer beside the weights in `folder`: transformers' files, which are copied where they are there.
pub(crate) fn write_tokenizer(folder: &Folder, to: &Path) -> Result<(), Error> {
    let Some(table) = folder.read_packed(CLIP_MERGES)? else {
        for file in TOKENIZER_FILES.iter().filter(|file| folder.has(file)) {
            folder.copy_file(file, &to.join(file))?;
        }
        return Ok(());
    };
    let (config, _) = openai(folder).text(Device::Cpu, Kind::Float)?;
    let files = tokenizer_files(&table, config.context_length as usize);
    let files =
        files.map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem })?;
    files.iter().try_for_each(|(name, text)| write_text(&to.join(name), text))
}

/// The names of the files beside the weights that a tokenizer comes from.
pub(crate) fn tokenizer_sources() -> impl Iterator<Item = String> {
    let packed = format!("{CLIP_MERGES}.gz");
    let files = TOKENIZER_FILES.iter().map(|file| (*file).to_owned());
    files.chain([CLIP_MERGES.to_owned(), packed])
}

fn openai(folder: &Folder) -> ClipFile<'_> {
    ClipFile { folder, layout: ClipLayout::OpenAi }
}

fn network<C>(config: C, checkpoint: Checkpoint) -> Network<C> {
    Network::new(config, SourceAdapter::new(checkpoint.as_stored(), openai_clip()))
}
