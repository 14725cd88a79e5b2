//! Opens GLIDE's components, each from its own folder in our layout or from the published file that holds it.

use clip::{NoisedImageConfig, NoisedImageEncoder, NoisedTextConfig, NoisedTextEncoder};
use decoder::{TextTransformer, TextTransformerConfig, UNet, UNetConfig};
use diffusion::SchedulerConfig;
use tch::{Device, Kind};
use weights::{Checkpoint, Folder};

use super::options::Options;
use super::release::{UNetFile, published_file, scheduler};
use super::{CLIP_IMAGE_ENCODER, CLIP_TEXT_ENCODER, inference, names};
use crate::guided_diffusion::{FIRST_CONVOLUTION, UNET, unet_rules, without_prefix};
use crate::network::{Network, Placement};
use crate::open::{CONFIG, SCHEDULER_CONFIG, translate};
use crate::{Error, configs};

/// The text transformer `component` (2112.10741, section 4.1), in `folder` if that is its own, or in the published file there.
pub fn open_text_transformer(
    folder: &Folder,
    component: &'static str,
    device: Device,
    kind: Kind,
) -> Result<TextTransformer, Error> {
    text_transformer(folder, component, Placement { device, kind: Some(kind) })?
        .build(TextTransformer::new)
}

/// The U-Net `component`, in `folder` if that is its own (diffusers' `UNet2DConditionModel` with Karlo's blocks), or in the
/// published file there.
pub fn open_unet(
    folder: &Folder,
    component: &'static str,
    device: Device,
    kind: Kind,
) -> Result<UNet, Error> {
    unet(folder, component, Placement { device, kind: Some(kind) })?.build(UNet::new)
}

/// The text encoder of the noised CLIP (section 4.4), in `folder` if that is its own, or in the published file there.
pub fn open_noised_text_encoder(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<NoisedTextEncoder, Error> {
    noised_text_encoder(folder, Placement { device, kind: Some(kind) })?
        .build(NoisedTextEncoder::new)
}

/// As [`open_noised_text_encoder`], the image encoder.
pub fn open_noised_image_encoder(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<NoisedImageEncoder, Error> {
    noised_image_encoder(folder, Placement { device, kind: Some(kind) })?
        .build(NoisedImageEncoder::new)
}

/// The scheduler `component`, in `folder` if that is its own, or that of the published networks.
pub fn open_scheduler(folder: &Folder, component: &'static str) -> Result<SchedulerConfig, Error> {
    if folder.has(SCHEDULER_CONFIG) {
        let noun = "a scheduler";
        return translate(folder, SCHEDULER_CONFIG, noun, configs::respaced_scheduler_config);
    }
    scheduler(component).ok_or_else(|| missing(folder, component))
}

/// The weights of the network `component`, in `folder` if that is its own, or in the published file there. No tensor is read.
pub(crate) fn checkpoint(folder: &Folder, component: &'static str) -> Result<Checkpoint, Error> {
    let (device, kind) = (Device::Cpu, Kind::Float);
    if folder.has(CONFIG) {
        return Ok(folder.checkpoint("a network", device, kind)?);
    }
    let file = published_file(component).ok_or_else(|| missing(folder, component))?;
    let checkpoint = folder.checkpoint_in(file, "a network", device, kind)?;
    let (first, ignored) = match UNetFile::of(component) {
        Some((_, true)) => (FIRST_CONVOLUTION, names::TEXT_TRANSFORMER),
        Some((_, false)) => (FIRST_CONVOLUTION, UNET),
        None if component == CLIP_TEXT_ENCODER => (inference::FIRST_TEXT_BLOCK, &[][..]),
        None => (inference::FIRST_IMAGE_BLOCK, &[][..]),
    };
    let checkpoint = without_prefix(checkpoint, first);
    let checkpoint = checkpoint.map_err(|problem| Error::Config {
        file: folder.name_of(file),
        component: "a network",
        problem,
    })?;
    Ok(checkpoint.ignore(ignored))
}

/// The text transformer `component`.
pub(super) fn text_transformer(
    folder: &Folder,
    component: &'static str,
    placement: Placement,
) -> Result<Network<TextTransformerConfig>, Error> {
    let Some((file, false)) = UNetFile::of(component) else {
        return Err(missing(folder, component));
    };
    let [_, noun] = file.nouns();
    if folder.has(CONFIG) {
        return placement.ours(folder, noun, configs::text_transformer_config);
    }
    let options = Options::read(folder)?.unet(file);
    let of = (noun, FIRST_CONVOLUTION, UNET);
    placement.published((folder, file.name()), of, |checkpoint| {
        let config = inference::text_transformer(checkpoint, file, options)?;
        let rules = names::text_transformer(config.width / config.heads);
        Ok((config, rules))
    })
}

/// The U-Net `component`.
pub(super) fn unet(
    folder: &Folder,
    component: &'static str,
    placement: Placement,
) -> Result<Network<UNetConfig>, Error> {
    let Some((file, true)) = UNetFile::of(component) else {
        return Err(missing(folder, component));
    };
    let [noun, _] = file.nouns();
    if folder.has(CONFIG) {
        return placement.ours(folder, noun, configs::decoder_config);
    }
    let options = Options::read(folder)?.unet(file);
    let of = (noun, FIRST_CONVOLUTION, names::TEXT_TRANSFORMER);
    placement.published((folder, file.name()), of, |checkpoint| {
        let config = inference::unet(checkpoint, file, options)?;
        let rules = unet_rules(&config);
        Ok((config, rules))
    })
}

/// The text encoder of the noised CLIP.
pub(super) fn noised_text_encoder(
    folder: &Folder,
    placement: Placement,
) -> Result<Network<NoisedTextConfig>, Error> {
    let noun = "the noised CLIP's text encoder";
    if folder.has(CONFIG) {
        return placement.ours(folder, noun, configs::noised_text_config);
    }
    let heads = Options::read(folder)?.text_heads();
    let file =
        published_file(CLIP_TEXT_ENCODER).ok_or_else(|| missing(folder, CLIP_TEXT_ENCODER))?;
    let of = (noun, inference::FIRST_TEXT_BLOCK, &[][..]);
    placement.published((folder, file), of, |checkpoint| {
        Ok((inference::noised_text_encoder(checkpoint, heads)?, names::noised_text_encoder()))
    })
}

/// The image encoder of the noised CLIP.
pub(super) fn noised_image_encoder(
    folder: &Folder,
    placement: Placement,
) -> Result<Network<NoisedImageConfig>, Error> {
    let noun = "the noised CLIP's image encoder";
    if folder.has(CONFIG) {
        return placement.ours(folder, noun, configs::noised_image_config);
    }
    let heads = Options::read(folder)?.image_heads();
    let file =
        published_file(CLIP_IMAGE_ENCODER).ok_or_else(|| missing(folder, CLIP_IMAGE_ENCODER))?;
    let of = (noun, inference::FIRST_IMAGE_BLOCK, &[][..]);
    placement.published((folder, file), of, |checkpoint| {
        Ok((inference::noised_image_encoder(checkpoint, heads)?, names::noised_image_encoder()))
    })
}

/// No component of GLIDE's has this name.
pub(super) fn missing(folder: &Folder, component: &'static str) -> Error {
    Error::Missing {
        folder: folder.to_string(),
        component,
        completion: None,
        repository: None,
        found: None,
    }
}
