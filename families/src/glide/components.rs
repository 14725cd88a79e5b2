//! Whole components with their tensors, to convert a model from one layout to the other.

use std::path::Path;

use clip::{NoisedImageConfig, NoisedImageEncoder, NoisedTextConfig, NoisedTextEncoder};
use decoder::{TextTransformer, TextTransformerConfig, UNet, UNetConfig};
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use weights::{Folder, save_safetensors};

use super::open::{self, missing};
use super::release::{UNetFile, scheduler};
use super::{CLIP_IMAGE_ENCODER, CLIP_TEXT_ENCODER, UPSAMPLER_SCHEDULER};
use crate::network::Placement;
use crate::open::{CONFIG, SCHEDULER_CONFIG};
use crate::save::{DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS, checked, write_json};
use crate::{Error, configs};

/// The shape of a network of GLIDE's.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkConfig {
    /// A text transformer.
    TextTransformer(TextTransformerConfig),
    /// A U-Net.
    UNet(UNetConfig),
    /// The text encoder of the noised CLIP.
    NoisedText(NoisedTextConfig),
    /// The image encoder of the noised CLIP.
    NoisedImage(NoisedImageConfig),
}

/// The network `component` in `folder`, if that is its own, or in the published file there: its shape, and all of its tensors on
/// the CPU by our names, in the kinds of their file.
pub fn read_network(
    folder: &Folder,
    component: &'static str,
) -> Result<(NetworkConfig, Vec<(String, Tensor)>), Error> {
    let placement = Placement { device: Device::Cpu, kind: None };
    Ok(match (component, UNetFile::of(component)) {
        (CLIP_TEXT_ENCODER, _) => {
            let network = open::noised_text_encoder(folder, placement)?;
            let (config, tensors) = network.record(NoisedTextEncoder::new)?;
            (NetworkConfig::NoisedText(config), tensors)
        }
        (CLIP_IMAGE_ENCODER, _) => {
            let network = open::noised_image_encoder(folder, placement)?;
            let (config, tensors) = network.record(NoisedImageEncoder::new)?;
            (NetworkConfig::NoisedImage(config), tensors)
        }
        (_, Some((_, true))) => {
            let (config, tensors) = open::unet(folder, component, placement)?.record(UNet::new)?;
            (NetworkConfig::UNet(config), tensors)
        }
        (_, Some((_, false))) => {
            let network = open::text_transformer(folder, component, placement)?;
            let (config, tensors) = network.record(TextTransformer::new)?;
            (NetworkConfig::TextTransformer(config), tensors)
        }
        (_, None) => return Err(missing(folder, component)),
    })
}

/// Writes a network into its own folder: `config.json`, and the weights by our names as safetensors, in `kind` or without one
/// in the tensors' own.
pub fn save_network(
    folder: &Path,
    config: &NetworkConfig,
    tensors: &[(String, Tensor)],
    kind: impl Into<Option<Kind>>,
) -> Result<(), Error> {
    let (json, weights): (Value, _) = match config {
        NetworkConfig::TextTransformer(config) => {
            (configs::text_transformer_json(config), TRANSFORMERS_WEIGHTS)
        }
        NetworkConfig::UNet(config) => {
            checked(folder, CONFIG, "a U-Net", configs::check_unet(config))?;
            (configs::unet_json(config), DIFFUSERS_WEIGHTS)
        }
        NetworkConfig::NoisedText(config) => {
            (configs::noised_text_json(config), TRANSFORMERS_WEIGHTS)
        }
        NetworkConfig::NoisedImage(config) => {
            (configs::noised_image_json(config), TRANSFORMERS_WEIGHTS)
        }
    };
    write_json(folder, CONFIG, &json)?;
    Ok(save_safetensors(folder.join(weights), tensors, kind)?)
}

/// Writes the published scheduler `component` into its own folder: diffusers' `DDPMScheduler` for the base network, and its
/// `DDIMScheduler` for the upsampler.
pub fn write_scheduler(folder: &Path, component: &'static str) -> Result<(), Error> {
    let class = match component {
        UPSAMPLER_SCHEDULER => configs::DDIM,
        _ => configs::DDPM,
    };
    match scheduler(component) {
        Some(config) => {
            write_json(folder, SCHEDULER_CONFIG, &configs::respaced_scheduler_json(&config, class))
        }
        None => Err(missing(&Folder::open(folder)?, component)),
    }
}
