//! The shapes of a model's components, from their configurations alone.

use autoencoder::MovqConfig;
use clip::{
    CaptionTokenizer, ImageEncoderConfig, NoisedImageConfig, NoisedTextConfig, TextConfig,
    Tokenizer,
};
use decoder::{ConditioningConfig, ImageConditioningConfig, TextTransformerConfig, UNetConfig};
use diffusion::SchedulerConfig;
use prior::{AutoregressiveConfig, PriorConfig};
use weights::Folder;

use crate::open::{CONFIG, SCHEDULER_CONFIG, translate};
use crate::{Condition, ConfigError, Error, Family, Stage, configs, glide, karlo, karlo_files};

/// The shapes of those components that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shapes {
    /// The tokenizer's.
    pub tokenizer: Option<TokenizerShape>,
    /// The text encoder's.
    pub text_encoder: Option<TextConfig>,
    /// The size of the images that the image processor gives, where it is one for all.
    pub image_processor: Option<ImageSize>,
    /// The image encoder's.
    pub image_encoder: Option<ImageEncoderConfig>,
    /// The diffusion prior's.
    pub prior: Option<PriorConfig>,
    /// The diffusion prior's scheduler.
    pub prior_scheduler: Option<SchedulerConfig>,
    /// The autoregressive prior's.
    pub autoregressive_prior: Option<AutoregressiveConfig>,
    /// The tokenizer's of the CLIP of noised images.
    pub noised_tokenizer: Option<TokenizerShape>,
    /// The text encoder's of the CLIP of noised images.
    pub noised_text_encoder: Option<NoisedTextConfig>,
    /// The image encoder's of the CLIP of noised images.
    pub noised_image_encoder: Option<NoisedImageConfig>,
    /// Those of the stages by their index, empty where a task needs one of a higher index alone.
    pub stages: Vec<StageShapes>,
}

/// The tokens that a tokenizer gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenizerShape {
    /// How many tokens it knows.
    pub vocab_size: i64,
    /// The tokens of a caption, its start and end included.
    pub context_length: i64,
}

/// The size of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// The width.
    pub width: i64,
    /// The height.
    pub height: i64,
}

/// The shapes of a stage's components.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageShapes {
    /// The tokenizer of the network's captions.
    pub tokenizer: Option<TokenizerShape>,
    /// The projections to the network's conditions.
    pub conditioning: Option<ConditioningConfig>,
    /// The network's own projections of image embeddings.
    pub image_conditioning: Option<ImageConditioningConfig>,
    /// The autoencoder of the latents.
    pub autoencoder: Option<MovqConfig>,
    /// The text transformer of the network.
    pub text_encoder: Option<TextTransformerConfig>,
    /// The U-Net.
    pub network: Option<UNetConfig>,
    /// The last step's U-Net.
    pub last_network: Option<UNetConfig>,
    /// The scheduler.
    pub scheduler: Option<SchedulerConfig>,
}

impl StageShapes {
    /// The channels of the images or latents that `stage` denoises.
    pub fn image_channels(&self, stage: &Stage) -> Option<i64> {
        let hint = self.image_conditioning.as_ref().map_or(0, |config| config.hint_channels());
        self.network.as_ref().map(|network| stage.image_channels(network, hint))
    }

    /// Whether the stage draws by a hint, beside an image embedding.
    pub fn takes_hint(&self) -> bool {
        self.image_conditioning.as_ref().is_some_and(|config| config.hint)
    }
}

impl From<&Tokenizer> for TokenizerShape {
    fn from(tokenizer: &Tokenizer) -> Self {
        Self {
            vocab_size: tokenizer.vocab_size() as i64,
            context_length: tokenizer.context_length().unwrap_or_default() as i64,
        }
    }
}

impl From<&CaptionTokenizer> for TokenizerShape {
    fn from(tokenizer: &CaptionTokenizer) -> Self {
        Self {
            vocab_size: tokenizer.vocab_size() as i64,
            context_length: tokenizer.context_length().unwrap_or_default() as i64,
        }
    }
}

impl From<(u32, u32)> for ImageSize {
    fn from((width, height): (u32, u32)) -> Self {
        Self { width: width.into(), height: height.into() }
    }
}

impl Shapes {
    /// Those of the networks and schedulers of the model in `folder`. An error for a configuration that describes
    /// another kind of component.
    pub fn read(folder: &Folder, family: &Family) -> Result<Self, Error> {
        if karlo_files::is_published(folder) && family.pipeline == karlo::PIPELINE {
            return karlo_files::shapes(folder, family);
        }
        let model = Model { folder, family };
        let mut shapes = Self::default();
        if let Some(clip) = family.clip {
            let noun = "the text encoder";
            let text = model.read(clip.text_encoder, noun, configs::text_config)?;
            shapes.text_encoder = text.map(|tower| tower.config);
            let noun = "the image encoder";
            let image = model.read(clip.image_encoder, noun, configs::vision_config)?;
            shapes.image_encoder =
                image.map(|tower| ImageEncoderConfig::VisionTransformer(tower.config));
        }
        if family.noised_clip.is_some() {
            shapes.noised_text_encoder = glide::noised_text_shape(folder)?;
            shapes.noised_image_encoder = glide::noised_image_shape(folder)?;
        }
        if let Some(prior) = family.prior {
            shapes.prior = model.read(prior.network, "the prior", configs::prior_config)?;
            shapes.prior_scheduler = model.scheduler(prior.scheduler)?;
        }
        if let Some(component) = family.autoregressive_prior {
            let noun = "the autoregressive prior";
            shapes.autoregressive_prior =
                model.read(component, noun, configs::autoregressive_config)?;
        }
        let stages = family.stages.iter().chain(&family.inpainting_stages);
        shapes.stages = stages.map(|stage| model.stage(stage)).collect::<Result<_, _>>()?;
        Ok(shapes)
    }
}

/// A model's folder, whose configurations are read.
struct Model<'a> {
    folder: &'a Folder,
    family: &'a Family,
}

impl Model<'_> {
    fn stage(&self, stage: &Stage) -> Result<StageShapes, Error> {
        if matches!(stage.condition, Condition::Caption { .. }) {
            return glide::stage_shapes(self.folder, stage);
        }
        let mut shapes =
            StageShapes { scheduler: self.scheduler(stage.scheduler)?, ..StageShapes::default() };
        match stage.condition {
            Condition::Embedding { projection } => {
                let noun = "the decoder's conditioning";
                shapes.conditioning = self.read(projection, noun, configs::conditioning_config)?;
                shapes.network =
                    self.read(stage.network, "the decoder", configs::decoder_config)?;
            }
            Condition::ImageEmbedding => {
                let network =
                    self.read(stage.network, "the decoder", configs::image_decoder_config)?;
                (shapes.network, shapes.image_conditioning) = network.unzip();
                let autoencoder = stage
                    .autoencoder
                    .map(|component| self.read(component, "the autoencoder", configs::movq_config));
                shapes.autoencoder = autoencoder.transpose()?.flatten();
            }
            _ => {
                let unet = |name| self.read(name, "the upsampler", configs::upsampler_config);
                shapes.network = unet(stage.network)?;
                shapes.last_network = stage.last_network.map(unet).transpose()?.flatten();
            }
        }
        Ok(shapes)
    }

    fn scheduler(&self, component: &'static str) -> Result<Option<SchedulerConfig>, Error> {
        let translation = match self.family.has_leading_steps(component) {
            true => configs::leading_scheduler_config,
            false => configs::scheduler_config,
        };
        self.translate(component, SCHEDULER_CONFIG, "a scheduler", translation)
    }

    fn read<C>(
        &self,
        component: &'static str,
        noun: &'static str,
        translation: fn(&[u8]) -> Result<C, ConfigError>,
    ) -> Result<Option<C>, Error> {
        self.translate(component, CONFIG, noun, translation)
    }

    fn translate<C>(
        &self,
        component: &'static str,
        file: &str,
        noun: &'static str,
        translation: fn(&[u8]) -> Result<C, ConfigError>,
    ) -> Result<Option<C>, Error> {
        let folder = self.family.component_in(self.folder, component);
        folder.map(|folder| translate(&folder, file, noun, translation)).transpose()
    }
}
