//! Opens the components in the published files, each in the folder that [`super::component_in`] gives.

use decoder::{ConditioningConfig, UNetConfig};
use diffusion::{Prediction, SchedulerConfig};
use images::ImageProcessor;
use prior::PriorConfig;
use tch::{Device, Kind};
use weights::{Checkpoint, Folder};

use super::inference::{self, FIRST_STEPS, LAST_STEP, PRIOR_QUERY};
use super::names;
use super::options::Options;
use super::release::ReleaseFile;
use crate::Error;
use crate::clip_files::{ClipLayout, clip_image_config};
use crate::guided_diffusion::{FIRST_CONVOLUTION, UNET, unet_config, unet_rules, without_prefix};
use crate::karlo::*;
use crate::network::{Network, Placement};

/// Kakao Brain's code keeps the prior's embeddings within this range, where diffusers' configuration says 5.
const PRIOR_CLIP_RANGE: f64 = 10.0;

/// The prior, with the statistics of its embeddings out of a file of their own.
pub(crate) fn prior(folder: &Folder, placement: Placement) -> Result<Network<PriorConfig>, Error> {
    let noun = "the prior";
    let heads = Options::read(folder)?.heads();
    let file = ReleaseFile::Statistics.in_folder(folder);
    let file = file.ok_or_else(|| missing(folder))?;
    let statistics = placement.checkpoint(folder, &file, noun)?;
    placement.infer((folder, weights_file(folder)?), noun, |checkpoint| {
        let checkpoint = without_prefix(checkpoint, PRIOR_QUERY)?;
        let config = inference::prior(&checkpoint, heads)?;
        inference::check_statistics(&statistics, &file, config.embedding)?;
        let rules = names::prior(config.head_width);
        Ok((config, checkpoint.merge(statistics), rules))
    })
}

/// The decoder's conditioning.
pub(crate) fn conditioning(
    folder: &Folder,
    placement: Placement,
) -> Result<Network<ConditioningConfig>, Error> {
    let of = ("the decoder's conditioning", FIRST_CONVOLUTION, UNET);
    placement.published((folder, weights_file(folder)?), of, |checkpoint| {
        Ok((inference::conditioning(checkpoint)?, names::conditioning()))
    })
}

/// The decoder's U-Net.
pub(crate) fn decoder(folder: &Folder, placement: Placement) -> Result<Network<UNetConfig>, Error> {
    let options = Options::read(folder)?;
    let of = ("the decoder", FIRST_CONVOLUTION, names::CONDITIONING);
    placement.published((folder, weights_file(folder)?), of, |checkpoint| {
        let config = unet_config(checkpoint, options.decoded_size(), options.head_width())?;
        let rules = unet_rules(&config);
        Ok((config, rules))
    })
}

/// One of the upsampler's two U-Nets, which are in one file.
pub(crate) fn upsampler(
    folder: &Folder,
    placement: Placement,
) -> Result<Network<UNetConfig>, Error> {
    let options = Options::read(folder)?;
    let (own, other) = match folder.file_component() {
        Some(LAST_UPSAMPLER) => (LAST_STEP, FIRST_STEPS),
        _ => (FIRST_STEPS, LAST_STEP),
    };
    placement.infer((folder, weights_file(folder)?), "the upsampler", |checkpoint| {
        let checkpoint = checkpoint.ignore(&[other]).strip_prefix(own);
        let config = unet_config(&checkpoint, options.upsampled_size(), options.head_width())?;
        let rules = unet_rules(&config);
        Ok((config, checkpoint, rules))
    })
}

/// The preprocessing of images for CLIP's image encoder, as transformers does it: the folders of diffusers vary images so.
pub(crate) fn image_processor(folder: &Folder) -> Result<ImageProcessor, Error> {
    let encoder = clip_image_config(folder, ClipLayout::OpenAi)?;
    Ok(ImageProcessor::clip(encoder.image_size() as u32))
}

/// The scheduler of the published networks that `folder` is about.
pub(crate) fn scheduler(folder: &Folder) -> Result<SchedulerConfig, Error> {
    Ok(match folder.file_component() {
        Some(PRIOR_SCHEDULER) => {
            SchedulerConfig { clip_range: Some(PRIOR_CLIP_RANGE), ..prior_scheduler() }
        }
        Some(DECODER_SCHEDULER) => decoder_scheduler(),
        Some(UPSAMPLER_SCHEDULER) => upsampler_scheduler(Prediction::Epsilon),
        _ => return Err(missing(folder)),
    })
}

/// The weights of the network that `folder` is about, by their published names. No tensor is read.
pub(crate) fn checkpoint(folder: &Folder) -> Result<Checkpoint, Error> {
    let placement = Placement { device: Device::Cpu, kind: Some(Kind::Float) };
    Ok(match folder.file_component() {
        Some(PRIOR) => prior(folder, placement)?.into_checkpoint(),
        Some(CONDITIONING) => conditioning(folder, placement)?.into_checkpoint(),
        Some(DECODER) => decoder(folder, placement)?.into_checkpoint(),
        _ => upsampler(folder, placement)?.into_checkpoint(),
    })
}

/// The file with the network.
fn weights_file(folder: &Folder) -> Result<&str, Error> {
    folder.weights_file().ok_or_else(|| missing(folder))
}

fn missing(folder: &Folder) -> Error {
    Error::Missing {
        folder: folder.to_string(),
        component: folder.file_component().unwrap_or_default(),
        completion: None,
        repository: None,
        found: None,
    }
}
