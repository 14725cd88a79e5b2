//! Writes a model's components in Karlo's layout: each folder opens in the publisher's class too.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use clip::{TextConfig, VisionConfig};
use decoder::{ConditioningConfig, UNetConfig};
use diffusion::{DenoisingErrors, Prediction, SchedulerConfig};
use images::ImageProcessor;
use prior::{AutoregressiveConfig, EmbeddingQuantizer, Pca, PriorConfig};
use serde_json::Value;
use tch::{Kind, Tensor};
use weights::{save_safetensors, write_atomically};

use crate::configs::{self, ConfigError};
use crate::open::{CODES, CONFIG, DENOISING_ERRORS, PROCESSOR_CONFIG, SCHEDULER_CONFIG};
use crate::{Error, karlo};

/// The file names that diffusers and transformers look for.
pub(crate) const DIFFUSERS_WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
pub(crate) const TRANSFORMERS_WEIGHTS: &str = "model.safetensors";

/// Writes a text encoder (`text_encoder/`): `config.json` and `model.safetensors` in f16.
pub fn save_text_encoder(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &TextConfig,
) -> Result<(), Error> {
    write_text_encoder_config(folder, config)?;
    Ok(save_safetensors(folder.join(TRANSFORMERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes an image encoder (`image_encoder/`): `config.json` and `model.safetensors` in f16.
pub fn save_image_encoder(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &VisionConfig,
) -> Result<(), Error> {
    write_image_encoder_config(folder, config)?;
    Ok(save_safetensors(folder.join(TRANSFORMERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes a prior (`prior/`) in f16, and Karlo's scheduler for it beside it (`prior_scheduler/`). The errors of a prior that
/// was there before are deleted.
pub fn save_prior(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &PriorConfig,
) -> Result<(), Error> {
    write_prior_config(folder, config)?;
    let errors = folder.join(DENOISING_ERRORS);
    match fs::remove_file(&errors) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(weights::Error::io("delete", errors.display())(error).into());
        }
        _ => {}
    }
    let scheduler = karlo::prior_scheduler();
    write_scheduler_config(&folder.with_file_name(karlo::PRIOR_SCHEDULER), &scheduler)?;
    Ok(save_safetensors(folder.join(DIFFUSERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes the errors of the prior in `folder` beside its network.
pub fn save_denoising_errors(folder: &Path, errors: &DenoisingErrors) -> Result<(), Error> {
    let json = serde_json::to_string(errors).expect("plain data");
    write_text(&folder.join(DENOISING_ERRORS), &format!("{json}\n"))
}

/// Writes an autoregressive prior (`prior_autoregressive/`): its network in f16, and its quantiser in f32 beside it, whose
/// edges are closer to each other than f16 could tell.
pub fn save_autoregressive_prior(
    folder: &Path,
    tensors: &[(String, Tensor)],
    quantizer: &EmbeddingQuantizer,
    config: &AutoregressiveConfig,
) -> Result<(), Error> {
    write_json(folder, CONFIG, &configs::autoregressive_json(config))?;
    save_safetensors(folder.join(CODES), &quantizer.tensors(), Kind::Float)?;
    Ok(save_safetensors(folder.join(TRANSFORMERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes principal components (`image_pca/`) in f32.
pub fn save_pca(folder: &Path, pca: &Pca) -> Result<(), Error> {
    let Pca { mean, components, variances } = pca;
    let tensors = [("mean", mean), ("components", components), ("variances", variances)]
        .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    make_folder(folder)?;
    Ok(save_safetensors(folder.join(TRANSFORMERS_WEIGHTS), &tensors, Kind::Float)?)
}

/// Writes a decoder's conditioning (`text_proj/`) in f16.
pub fn save_conditioning(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &ConditioningConfig,
) -> Result<(), Error> {
    write_conditioning_config(folder, config)?;
    Ok(save_safetensors(folder.join(DIFFUSERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes a decoder (`decoder/`) in f16, and Karlo's scheduler for it beside it (`decoder_scheduler/`).
pub fn save_decoder(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &UNetConfig,
) -> Result<(), Error> {
    write_unet_config(folder, config)?;
    let scheduler = karlo::decoder_scheduler();
    write_scheduler_config(&folder.with_file_name(karlo::DECODER_SCHEDULER), &scheduler)?;
    Ok(save_safetensors(folder.join(DIFFUSERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes a super-resolution network (`super_res_first/` or `super_res_last/`) in f16, and its scheduler beside it
/// (`super_res_scheduler/`): Karlo's where it `predicts` the noise.
pub fn save_upsampler(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &UNetConfig,
    predicts: Prediction,
) -> Result<(), Error> {
    write_unet_config(folder, config)?;
    let scheduler = karlo::upsampler_scheduler(predicts);
    write_scheduler_config(&folder.with_file_name(karlo::UPSAMPLER_SCHEDULER), &scheduler)?;
    Ok(save_safetensors(folder.join(DIFFUSERS_WEIGHTS), tensors, Kind::Half)?)
}

/// Writes the `config.json` of a `CLIPTextModelWithProjection`.
pub fn write_text_encoder_config(folder: &Path, config: &TextConfig) -> Result<(), Error> {
    write_json(folder, CONFIG, &configs::text_json(config))
}

/// Writes the `config.json` of a `CLIPVisionModelWithProjection`.
pub fn write_image_encoder_config(folder: &Path, config: &VisionConfig) -> Result<(), Error> {
    write_json(folder, CONFIG, &configs::vision_json(config))
}

/// Writes the `config.json` of a `PriorTransformer`.
pub fn write_prior_config(folder: &Path, config: &PriorConfig) -> Result<(), Error> {
    let json = checked(folder, CONFIG, "a prior", configs::prior_json(config))?;
    write_json(folder, CONFIG, &json)
}

/// Writes the `config.json` of an `UnCLIPTextProjModel`.
pub fn write_conditioning_config(folder: &Path, config: &ConditioningConfig) -> Result<(), Error> {
    let json = configs::conditioning_json(config);
    let json = checked(folder, CONFIG, "a decoder's conditioning", json)?;
    write_json(folder, CONFIG, &json)
}

/// Writes the `config.json` of a `UNet2DConditionModel`, or without attention of a `UNet2DModel`.
pub fn write_unet_config(folder: &Path, config: &UNetConfig) -> Result<(), Error> {
    checked(folder, CONFIG, "a U-Net", configs::check_unet(config))?;
    write_json(folder, CONFIG, &configs::unet_json(config))
}

/// Writes the `scheduler_config.json` of an `UnCLIPScheduler`.
pub fn write_scheduler_config(folder: &Path, config: &SchedulerConfig) -> Result<(), Error> {
    let json = configs::scheduler_json(config);
    write_json(folder, SCHEDULER_CONFIG, &json)
}

/// Writes the `preprocessor_config.json` of CLIP's own preparation for pictures of `size` pixels a side.
pub fn write_image_processor(folder: &Path, size: i64) -> Result<(), Error> {
    let side = u32::try_from(size).ok().filter(|side| *side > 0);
    let problem = || ConfigError::Relation(format!("no picture has {size} pixels a side"));
    let side = side.ok_or_else(problem);
    let side = checked(folder, PROCESSOR_CONFIG, "the image encoder", side)?;
    make_folder(folder)?;
    let json = configs::image_processor_json(&ImageProcessor::clip(side));
    write_text(&folder.join(PROCESSOR_CONFIG), &json)
}

pub(crate) fn checked<T>(
    folder: &Path,
    name: &str,
    component: &'static str,
    translated: Result<T, ConfigError>,
) -> Result<T, Error> {
    translated.map_err(|problem| Error::Config {
        file: folder.join(name).display().to_string(),
        component,
        problem,
    })
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    let failed = weights::Error::io("make the folder", folder.display());
    Ok(fs::create_dir_all(folder).map_err(failed)?)
}

pub(crate) fn write_json(folder: &Path, name: &str, json: &Value) -> Result<(), Error> {
    make_folder(folder)?;
    write_text(&folder.join(name), &format!("{json:#}\n"))
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    let failed = weights::Error::io("write", path.display());
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()).map_err(failed))?)
}
