//! Opens a model's components: translates the configuration of each, and takes its weights strictly.

use std::borrow::Cow;

use autoencoder::Movq;
use clip::{CaptionTokenizer, ImageEncoder, TextEncoder, Tokenizer, TokenizerFiles, VisionEncoder};
use decoder::{Conditioning, ImageConditioning, UNet};
use diffusion::{DenoisingErrors, SchedulerConfig};
use images::ImageProcessor;
use layers::{Init, Params};
use prior::{AutoregressivePrior, EmbeddingQuantizer, Pca, Prior};
use tch::{Device, Kind};
use weights::{Checkpoint, Folder};

use crate::clip_files::{
    open_clip_image_encoder, open_clip_image_processor, open_clip_logit_scale,
    open_clip_text_encoder, open_clip_tokenizer, own_layout,
};
use crate::configs::{self, ClipTower, ConfigError, IMAGE_TOWER, LOGIT_SCALE, TEXT_TOWER};
use crate::network::Placement;
use crate::{Error, Family, PriorKind, glide, karlo_files};

/// The configuration of a network, and of a scheduler.
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const SCHEDULER_CONFIG: &str = "scheduler_config.json";

/// The configuration of an image processor.
pub(crate) const PROCESSOR_CONFIG: &str = "preprocessor_config.json";

/// The file of an autoregressive prior's quantizer.
pub(crate) const CODES: &str = "codes.safetensors";

/// The file of a diffusion prior's errors, beside its network.
pub const DENOISING_ERRORS: &str = "denoising_errors.json";

/// The text encoder in `folder`: transformers' `CLIPTextModelWithProjection`, or the text tower of its `CLIPModel`, of OpenAI's
/// CLIP or of open_clip's.
pub fn open_text_encoder(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<TextEncoder, Error> {
    if let Some(layout) = own_layout(folder) {
        return open_clip_text_encoder(folder, layout, device, kind);
    }
    let noun = "the text encoder";
    let tower = translate(folder, CONFIG, noun, configs::text_config)?;
    let ClipTower { config, ignored_prefixes } = tower;
    let checkpoint = folder.checkpoint(noun, device, kind)?.ignore(&ignored_prefixes);
    build(checkpoint, |p| TextEncoder::new(p, &config))
}

/// The image encoder in `folder`: transformers' `CLIPVisionModelWithProjection`, or the image tower of its `CLIPModel`, of
/// OpenAI's CLIP or of open_clip's.
pub fn open_image_encoder(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<ImageEncoder, Error> {
    if let Some(layout) = own_layout(folder) {
        return open_clip_image_encoder(folder, layout, device, kind);
    }
    let noun = "the image encoder";
    let tower = translate(folder, CONFIG, noun, configs::vision_config)?;
    let ClipTower { config, ignored_prefixes } = tower;
    let checkpoint = folder.checkpoint(noun, device, kind)?.ignore(&ignored_prefixes);
    build(checkpoint, |p| VisionEncoder::new(p, &config)).map(ImageEncoder::VisionTransformer)
}

/// The logarithm of the factor that cosines are multiplied with (CLIP, section 2.3), where `folder` holds a whole CLIP, which
/// has it beside the towers' tensors.
pub fn open_logit_scale(folder: &Folder) -> Result<Option<f64>, Error> {
    if let Some(layout) = own_layout(folder) {
        return open_clip_logit_scale(folder, layout);
    }
    if !folder.has(CONFIG) {
        return Ok(None);
    }
    let checkpoint = folder.checkpoint("CLIP", Device::Cpu, Kind::Float)?;
    if checkpoint.shape(LOGIT_SCALE).is_none() {
        return Ok(None);
    }
    let checkpoint = checkpoint.ignore(TEXT_TOWER).ignore(IMAGE_TOWER);
    let scale = build(checkpoint, |p| p.take(LOGIT_SCALE, &[], Init::Zeros))?;
    Ok(Some(scale.double_value(&[])))
}

/// The prior in `folder`: diffusers' `PriorTransformer`, or that in Karlo's published files.
pub fn open_prior(folder: &Folder, device: Device, kind: Kind) -> Result<Prior, Error> {
    if folder.file_component().is_some() {
        return karlo_files::prior(folder, Placement { device, kind: Some(kind) })?
            .build(Prior::new);
    }
    let noun = "the prior";
    let config = translate(folder, CONFIG, noun, configs::prior_config)?;
    build(folder.checkpoint(noun, device, kind)?, |p| Prior::new(p, &config))
}

/// The errors of the diffusion prior in `folder` at the timesteps of `scheduler`, where they were measured.
pub fn open_denoising_errors(
    folder: &Folder,
    scheduler: &SchedulerConfig,
) -> Result<Option<DenoisingErrors>, Error> {
    if !folder.has(DENOISING_ERRORS) {
        return Ok(None);
    }
    translate(folder, DENOISING_ERRORS, "a prior's errors", |bytes| {
        configs::denoising_errors(bytes, scheduler.train_timesteps)
    })
    .map(Some)
}

/// The autoregressive prior in `folder`, which is our own layout. Its quantizer is in f32 whatever `kind` its network is
/// in.
pub fn open_autoregressive_prior(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<AutoregressivePrior, Error> {
    let noun = "the autoregressive prior";
    let config = translate(folder, CONFIG, noun, configs::autoregressive_config)?;
    let codes = folder.checkpoint_in(CODES, "its quantiser", device, Kind::Float)?.checked(true);
    let codes = build(codes, |p| {
        EmbeddingQuantizer::new(p, config.embedding, config.dimensions, config.buckets)
    })?;
    let checkpoint = folder.checkpoint(noun, device, kind)?;
    build(checkpoint, |p| AutoregressivePrior::new(p, &config, codes))
}

/// The principal components in `folder`, of embeddings of width `embedding`, which is our own layout.
pub fn open_pca(folder: &Folder, embedding: i64) -> Result<Pca, Error> {
    let checkpoint = folder.checkpoint("the principal components", Device::Cpu, Kind::Float)?;
    build(checkpoint.checked(true), |p| Pca::new(p, embedding))
}

/// The decoder's conditioning in `folder`: diffusers' `UnCLIPTextProjModel`, or that in Karlo's published files.
pub fn open_conditioning(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<Conditioning, Error> {
    if folder.file_component().is_some() {
        return karlo_files::conditioning(folder, Placement { device, kind: Some(kind) })?
            .build(Conditioning::new);
    }
    let noun = "the decoder's conditioning";
    let config = translate(folder, CONFIG, noun, configs::conditioning_config)?;
    build(folder.checkpoint(noun, device, kind)?, |p| Conditioning::new(p, &config))
}

/// The decoder in `folder`: diffusers' `UNet2DConditionModel` with Karlo's blocks, or that in Karlo's published files.
pub fn open_decoder(folder: &Folder, device: Device, kind: Kind) -> Result<UNet, Error> {
    if folder.file_component().is_some() {
        return karlo_files::decoder(folder, Placement { device, kind: Some(kind) })?
            .build(UNet::new);
    }
    let noun = "the decoder";
    let config = translate(folder, CONFIG, noun, configs::decoder_config)?;
    build(folder.checkpoint(noun, device, kind)?, |p| UNet::new(p, &config))
}

/// The tensors of a U-Net that project an image embedding, and all others.
const PROJECTIONS: &[&str] = &["add_embedding.", "encoder_hid_proj."];
const BLOCKS: &[&str] = &["conv_", "down_blocks.", "mid_block.", "time_embedding.", "up_blocks."];

/// The decoder in `folder` without its projections: diffusers' `UNet2DConditionModel` with Kandinsky 2.2's conditions.
pub fn open_image_decoder(folder: &Folder, device: Device, kind: Kind) -> Result<UNet, Error> {
    let noun = "the decoder";
    let (config, _) = translate(folder, CONFIG, noun, configs::image_decoder_config)?;
    let checkpoint = folder.checkpoint(noun, device, kind)?.ignore(PROJECTIONS);
    build(checkpoint, |p| UNet::new(p, &config))
}

/// The projections of an image embedding in the file of the decoder in `folder`.
pub fn open_image_conditioning(
    folder: &Folder,
    device: Device,
    kind: Kind,
) -> Result<ImageConditioning, Error> {
    let noun = "the decoder";
    let (_, config) = translate(folder, CONFIG, noun, configs::image_decoder_config)?;
    let checkpoint = folder.checkpoint(noun, device, kind)?.ignore(BLOCKS);
    build(checkpoint, |p| ImageConditioning::new(p, &config))
}

/// The autoencoder in `folder`: diffusers' `VQModel` with spatial norms.
pub fn open_movq(folder: &Folder, device: Device, kind: Kind) -> Result<Movq, Error> {
    let noun = "the autoencoder";
    let config = translate(folder, CONFIG, noun, configs::movq_config)?;
    build(folder.checkpoint(noun, device, kind)?, |p| Movq::new(p, &config))
}

/// A super-resolution network in `folder`: diffusers' `UNet2DModel` with Karlo's blocks, or one in Karlo's published files.
pub fn open_upsampler(folder: &Folder, device: Device, kind: Kind) -> Result<UNet, Error> {
    if folder.file_component().is_some() {
        return karlo_files::upsampler(folder, Placement { device, kind: Some(kind) })?
            .build(UNet::new);
    }
    let noun = "the upsampler";
    let config = translate(folder, CONFIG, noun, configs::upsampler_config)?;
    build(folder.checkpoint(noun, device, kind)?, |p| UNet::new(p, &config))
}

/// The configuration of the scheduler in `folder`, diffusers' `UnCLIPScheduler`, or that of Karlo's published networks.
pub fn open_scheduler(folder: &Folder) -> Result<SchedulerConfig, Error> {
    if folder.file_component().is_some() {
        return karlo_files::scheduler(folder);
    }
    translate(folder, SCHEDULER_CONFIG, "a scheduler", configs::scheduler_config)
}

/// The configuration of the scheduler in `folder`, diffusers' `DDPMScheduler` with leading timesteps.
pub fn open_leading_scheduler(folder: &Folder) -> Result<SchedulerConfig, Error> {
    translate(folder, SCHEDULER_CONFIG, "a scheduler", configs::leading_scheduler_config)
}

/// The tokenizer in `folder`: `tokenizer.json`, or `vocab.json` and `merges.txt`, with what configures them; or that of OpenAI's
/// CLIP or of open_clip's.
pub fn open_tokenizer(folder: &Folder) -> Result<Tokenizer, Error> {
    match own_layout(folder) {
        Some(_) => open_clip_tokenizer(folder),
        None => open_files_tokenizer(folder),
    }
}

/// The tokenizer of transformers' files in `folder`.
pub(crate) fn open_files_tokenizer(folder: &Folder) -> Result<Tokenizer, Error> {
    let names = [
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "words.txt",
        "nearest_words.txt",
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
        nearest_words_txt: bytes[6],
    };
    Tokenizer::from_files(&files)
        .map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem })
}

/// The preprocessing of images for the image encoder, from the `preprocessor_config.json` in `folder`, or that of OpenAI's CLIP
/// or of open_clip's.
pub fn open_image_processor(folder: &Folder) -> Result<ImageProcessor, Error> {
    if folder.file_component().is_some() {
        return karlo_files::image_processor(folder);
    }
    if let Some(layout) = own_layout(folder) {
        return open_clip_image_processor(folder, layout);
    }
    let bytes = read(folder, PROCESSOR_CONFIG)?;
    configs::image_processor_config(&bytes)
        .map_err(|problem| Error::ImageProcessor { folder: folder.to_string(), problem })
}

impl Family {
    /// The scheduler `component` in `folder`: that of a stage which reads captions is [`glide::open_scheduler`]'s, one whose
    /// steps lead [`open_leading_scheduler`]'s, and any other [`open_scheduler`]'s.
    pub fn open_scheduler(
        &self,
        folder: &Folder,
        component: &'static str,
    ) -> Result<SchedulerConfig, Error> {
        match self.schedules_captions(component) {
            true => glide::open_scheduler(folder, component),
            false if self.has_leading_steps(component) => open_leading_scheduler(folder),
            false => open_scheduler(folder),
        }
    }

    /// The tokenizer `component` of a stage that reads captions, in `folder`: GPT-2's or CLIP's, as the family's class says.
    pub fn open_caption_tokenizer(
        &self,
        folder: &Folder,
        component: &str,
    ) -> Result<CaptionTokenizer, Error> {
        Ok(match self.reads_by_gpt2(component) {
            true => CaptionTokenizer::Gpt2(glide::open_caption_tokenizer(folder)?),
            false => CaptionTokenizer::Clip(open_tokenizer(folder)?),
        })
    }

    /// Whether a tokenizer is GPT-2's.
    pub(crate) fn reads_by_gpt2(&self, tokenizer: &str) -> bool {
        self.class_of(tokenizer).is_some_and(|class| class.starts_with("GPT2"))
    }

    /// The prior that `folder` brings: that of a prior's own folder, or a model's, where the diffusion prior goes before
    /// the other.
    pub fn prior_kind(&self, folder: &Folder) -> Result<PriorKind, Error> {
        let has = |name| self.component_in(folder, name).is_some();
        let diffusion = self.prior.is_some_and(|prior| has(prior.network));
        let autoregressive = match self.autoregressive_prior.is_some_and(has) && !diffusion {
            true => true,
            false => folder.read(CONFIG)?.is_some_and(|bytes| configs::is_autoregressive(&bytes)),
        };
        Ok(if autoregressive { PriorKind::Autoregressive } else { PriorKind::Diffusion })
    }
}

fn read(folder: &Folder, name: &str) -> Result<Cow<'static, [u8]>, Error> {
    let missing = || weights::Error::NoFile { file: folder.name_of(name) };
    Ok(folder.read(name)?.ok_or_else(missing)?)
}

/// The configuration in the file `name` of `folder`, which should describe `component`.
pub(crate) fn translate<C>(
    folder: &Folder,
    name: &str,
    component: &'static str,
    translation: impl FnOnce(&[u8]) -> Result<C, ConfigError>,
) -> Result<C, Error> {
    translation(&read(folder, name)?).map_err(|problem| Error::Config {
        file: folder.name_of(name),
        component,
        problem,
    })
}

/// Makes a model from its weights, all of which it must take.
fn build<M>(checkpoint: Checkpoint, new: impl FnOnce(&Params) -> M) -> Result<M, Error> {
    let model = new(&Params::root(&checkpoint));
    checkpoint.finish()?;
    Ok(model)
}
