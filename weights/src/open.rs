//! A model's components, each opened from its folder: the configuration translated, the weights taken strictly.

use std::borrow::Cow;

use clip::{TextEncoder, Tokenizer, TokenizerFiles, VisionEncoder};
use decoder::{Conditioning, UNet};
use diffusion::SchedulerConfig;
use images::ImageProcessor;
use layers::{Init, Params};
use prior::{AutoregressivePrior, Codes, Pca, Prior};
use tch::{Device, Kind};

use crate::configs::{self, ConfigError, Half};
use crate::{Error, Folder};

pub(crate) const CONFIG: &str = "config.json";

/// What the names of CLIP's tensors begin with: those of each half, and what belongs to neither.
const TEXT_HALF: &[&str] = &["text_model.", "text_projection."];
const IMAGE_HALF: &[&str] = &["vision_model.", "visual_projection."];
const LOGIT_SCALE: &str = "logit_scale";

/// The file of an autoregressive prior's quantiser.
pub(crate) const CODES: &str = "codes.safetensors";

/// The text encoder in `folder`: transformers' `CLIPTextModelWithProjection`, or the text half of its `CLIPModel`.
pub fn open_text_encoder(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<TextEncoder, Error> {
    let part = "the text encoder";
    let Half { config, of_both } = translate(folder, CONFIG, part, configs::text_config)?;
    let other_half = [IMAGE_HALF, &[LOGIT_SCALE]].concat();
    let beside = if of_both { &other_half[..] } else { &[] };
    make(folder, part, beside, (device, kind), |p| TextEncoder::new(p, &config))
}

/// The image encoder in `folder`: transformers' `CLIPVisionModelWithProjection`, or the image half of its `CLIPModel`.
pub fn open_image_encoder(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<VisionEncoder, Error> {
    let part = "the image encoder";
    let Half { config, of_both } = translate(folder, CONFIG, part, configs::vision_config)?;
    let other_half = [TEXT_HALF, &[LOGIT_SCALE]].concat();
    let beside = if of_both { &other_half[..] } else { &[] };
    make(folder, part, beside, (device, kind), |p| VisionEncoder::new(p, &config))
}

/// The logarithm of the factor that cosines are multiplied with, where `folder` holds transformers' whole `CLIPModel`: its
/// two encoders keep it beside their tensors.
pub fn open_logit_scale(folder: &Folder) -> Result<Option<f64>, Error> {
    if !folder.has(CONFIG) {
        return Ok(None);
    }
    let (device, kind) = (Device::Cpu, Kind::Float);
    let mut checkpoint = folder.checkpoint("CLIP", device, kind)?;
    if checkpoint.shape(LOGIT_SCALE).is_none() {
        return Ok(None);
    }
    checkpoint.set_aside(&[TEXT_HALF, IMAGE_HALF].concat());
    let scale = Params::root(&checkpoint).take(LOGIT_SCALE, &[], Init::Zeros);
    checkpoint.finish()?;
    Ok(Some(scale.double_value(&[])))
}

/// The prior in `folder`: diffusers' `PriorTransformer`.
pub fn open_prior(folder: &Folder, device: Device, kind: Kind) -> Result<Prior, Error> {
    let part = "the prior";
    let config = translate(folder, CONFIG, part, configs::prior_config)?;
    make(folder, part, &[], (device, kind), |p| Prior::new(p, &config))
}

/// The autoregressive prior in `folder`, usually `prior_autoregressive`: ours, in no publisher's layout. Its quantiser is in
/// f32 whatever `kind` its network is in.
pub fn open_autoregressive_prior(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<AutoregressivePrior, Error> {
    let part = "the autoregressive prior";
    let config = translate(folder, CONFIG, part, configs::autoregressive_config)?;
    let file = folder.checkpoint_in(CODES, "its quantiser", device, Kind::Float)?;
    let file = file.checked(true);
    let (dimensions, buckets) = (config.dimensions, config.buckets);
    let codes = Codes::new(&Params::root(&file), config.embedding, dimensions, buckets);
    file.finish()?;
    make(folder, part, &[], (device, kind), |p| AutoregressivePrior::new(p, &config, codes))
}

/// Whether the `config.json` in `folder` is an autoregressive prior's.
pub fn is_autoregressive_prior(folder: &Folder) -> Result<bool, Error> {
    let config = folder.read(CONFIG)?;
    Ok(config.is_some_and(|bytes| configs::is_autoregressive(&bytes)))
}

/// The principal components in `folder`, usually `image_pca`, of embeddings of width `embedding`: ours, in no
/// publisher's layout.
pub fn open_pca(folder: &Folder, embedding: i64) -> Result<Pca, Error> {
    let part = "the principal components";
    let checkpoint = folder.checkpoint(part, Device::Cpu, Kind::Float)?;
    let checkpoint = checkpoint.checked(true);
    let pca = Pca::new(&Params::root(&checkpoint), embedding);
    checkpoint.finish()?;
    Ok(pca)
}

/// The decoder's conditioning in `folder`, usually `text_proj`: diffusers' `UnCLIPTextProjModel`.
pub fn open_conditioning(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<Conditioning, Error> {
    let part = "the decoder's conditioning";
    let config = translate(folder, CONFIG, part, configs::conditioning_config)?;
    make(folder, part, &[], (device, kind), |p| Conditioning::new(p, &config))
}

/// The decoder in `folder`: diffusers' `UNet2DConditionModel` with Karlo's blocks.
pub fn open_decoder(folder: &Folder, device: Device, kind: Kind) -> Result<UNet, Error> {
    let part = "the decoder";
    let config = translate(folder, CONFIG, part, configs::decoder_config)?;
    make(folder, part, &[], (device, kind), |p| UNet::new(p, &config))
}

/// A super-resolution network in `folder`: diffusers' `UNet2DModel` with Karlo's blocks.
pub fn open_upsampler(folder: &Folder, device: Device, kind: Kind) -> Result<UNet, Error> {
    let part = "the upsampler";
    let config = translate(folder, CONFIG, part, configs::upsampler_config)?;
    make(folder, part, &[], (device, kind), |p| UNet::new(p, &config))
}

/// What the scheduler in `folder`, diffusers' `UnCLIPScheduler`, fixes.
pub fn open_scheduler(folder: &Folder) -> Result<SchedulerConfig, Error> {
    let translation = configs::scheduler_config;
    translate(folder, "scheduler_config.json", "a scheduler", translation)
}

/// The tokenizer in `folder`: `tokenizer.json`, or `vocab.json` and `merges.txt`, with what configures them.
pub fn open_tokenizer(folder: &Folder) -> Result<Tokenizer, Error> {
    let names = [
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "words.txt",
    ];
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        files.push(folder.read(name)?);
    }
    let bytes: Vec<Option<&[u8]>> = files.iter().map(Option::as_deref).collect();
    let files = TokenizerFiles {
        tokenizer_json: bytes[0],
        vocab_json: bytes[1],
        merges_txt: bytes[2],
        tokenizer_config: bytes[3],
        special_tokens_map: bytes[4],
        words_txt: bytes[5],
    };
    Tokenizer::from_files(&files)
        .map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem })
}

/// How the pictures for the image encoder are prepared, from the `preprocessor_config.json` in `folder`.
pub fn open_image_processor(folder: &Folder) -> Result<ImageProcessor, Error> {
    let bytes = read(folder, "preprocessor_config.json")?;
    configs::image_processor_config(&bytes)
        .map_err(|problem| Error::ImageProcessor { folder: folder.to_string(), problem })
}

fn read(folder: &Folder, name: &str) -> Result<Cow<'static, [u8]>, Error> {
    folder.read(name)?.ok_or_else(|| Error::NoFile { file: folder.name_of(name) })
}

pub(crate) fn translate<C>(
    folder: &Folder,
    name: &str,
    part: &'static str,
    translation: impl FnOnce(&[u8]) -> Result<C, ConfigError>,
) -> Result<C, Error> {
    translation(&read(folder, name)?).map_err(|problem| Error::Config {
        file: folder.name_of(name),
        part,
        problem,
    })
}

/// Makes a model from its folder's weights, all of which it must take but those whose names begin as in `beside`.
fn make<M>(
    folder: &Folder,
    part: &str,
    beside: &[&str],
    (device, kind): (Device, Kind),
    build: impl FnOnce(&Params) -> M,
) -> Result<M, Error> {
    let mut checkpoint = folder.checkpoint(part, device, kind)?;
    checkpoint.set_aside(beside);
    let model = build(&Params::root(&checkpoint));
    checkpoint.finish()?;
    Ok(model)
}
