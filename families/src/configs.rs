//! Configurations as diffusers and transformers write them, to and from our own structs.
//!
//! Every field that says something about a network is understood or refused with its value; a field that nobody here
//! knows is refused too, unless it is null or false, which is how later versions of a library say "as before". Fields
//! that begin with an underscore, and transformers' many bookkeeping fields, are ignored. Where a field is absent, the
//! publisher's class has a default, which applies: files of 2022 lack what was added since.

mod autoregressive;
mod clip;
mod conditioning;
mod distillation;
mod fields;
mod glide;
mod image_processor;
mod movq;
mod prior;
mod scheduler;
mod unet;

use ::clip::{NoisedImageConfig, NoisedTextConfig, TextConfig, VisionConfig};
use ::decoder::{ConditioningConfig, TextTransformerConfig, UNetConfig};
use ::prior::{AutoregressiveConfig, PriorConfig};
use serde_json::Value;

pub(crate) use autoregressive::{autoregressive_config, autoregressive_json, is_autoregressive};
pub(crate) use clip::{
    ClipTower, IMAGE_TOWER, LOGIT_SCALE, TEXT_TOWER, text_config, text_json, vision_config,
    vision_json,
};
pub(crate) use conditioning::{conditioning_config, conditioning_json};
pub(crate) use distillation::{TEACHER, distillation};
pub use fields::ConfigError;
pub(crate) use fields::{Fields, divides, wrong};
pub(crate) use glide::{
    noised_image_config, noised_image_json, noised_text_config, noised_text_json,
    text_transformer_config, text_transformer_json,
};
pub use image_processor::{ImageProcessorError, image_processor_config, image_processor_json};
pub(crate) use movq::movq_config;
pub(crate) use prior::ADDITIONAL_EMBEDDINGS;
pub(crate) use prior::{prior_config, prior_json};
pub(crate) use scheduler::{
    DDIM, DDPM, denoising_errors, leading_scheduler_config, respaced_scheduler_config,
    respaced_scheduler_json, scheduler_config, scheduler_json,
};
pub(crate) use unet::{decoder_config, image_decoder_config, unet_json, upsampler_config};

/// Whether a text encoder of this shape can be written and read again.
pub fn check_text(config: &TextConfig) -> Result<(), ConfigError> {
    text_config(&bytes(&text_json(config))).map(drop)
}

/// As [`check_text`], an image encoder.
pub fn check_vision(config: &VisionConfig) -> Result<(), ConfigError> {
    vision_config(&bytes(&vision_json(config))).map(drop)
}

/// As [`check_text`], a prior.
pub fn check_prior(config: &PriorConfig) -> Result<(), ConfigError> {
    prior_config(&bytes(&prior_json(config)?)).map(drop)
}

/// As [`check_text`], an autoregressive prior.
pub fn check_autoregressive(config: &AutoregressiveConfig) -> Result<(), ConfigError> {
    autoregressive_config(&bytes(&autoregressive_json(config))).map(drop)
}

/// As [`check_text`], a decoder's conditioning.
pub fn check_conditioning(config: &ConditioningConfig) -> Result<(), ConfigError> {
    conditioning_config(&bytes(&conditioning_json(config)?)).map(drop)
}

/// As [`check_text`], a decoder's U-Net, or an upsampler's.
pub fn check_unet(config: &UNetConfig) -> Result<(), ConfigError> {
    let json = bytes(&unet_json(config));
    let Some(attention) = &config.attention else {
        return upsampler_config(&json).map(drop);
    };
    decoder_config(&json)?;
    let (finest, levels) = (attention.finest_level, config.block_out_channels.len());
    if finest > levels {
        return Err(ConfigError::Relation(format!(
            "its finest_level is {finest}, which must lie between 0 and its {levels} levels"
        )));
    }
    Ok(())
}

/// As [`check_text`], a text transformer of GLIDE's.
pub fn check_text_transformer(config: &TextTransformerConfig) -> Result<(), ConfigError> {
    text_transformer_config(&bytes(&text_transformer_json(config))).map(drop)
}

/// As [`check_text`], the text encoder of a noised CLIP.
pub fn check_noised_text(config: &NoisedTextConfig) -> Result<(), ConfigError> {
    noised_text_config(&bytes(&noised_text_json(config))).map(drop)
}

/// As [`check_text`], its image encoder.
pub fn check_noised_image(config: &NoisedImageConfig) -> Result<(), ConfigError> {
    noised_image_config(&bytes(&noised_image_json(config))).map(drop)
}

pub(crate) fn bytes(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

/// The version of diffusers whose classes open what is written here.
const DIFFUSERS: &str = "0.42.1";
/// The version of transformers whose classes do.
const TRANSFORMERS: &str = "5.23.0";
