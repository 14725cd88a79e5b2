//! The shapes of a model's components, from their configurations alone.

use clip::{TextConfig, Tokenizer, VisionConfig};
use decoder::{ConditioningConfig, UNetConfig};
use diffusion::SchedulerConfig;
use prior::{AutoregressiveConfig, PriorConfig};
use weights::Folder;

use crate::open::{CONFIG, SCHEDULER_CONFIG, translate};
use crate::{ConfigError, Error, Family, Stage, StageKind, configs};

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
    pub image_encoder: Option<VisionConfig>,
    /// The diffusion prior's.
    pub prior: Option<PriorConfig>,
    /// The diffusion prior's scheduler.
    pub prior_scheduler: Option<SchedulerConfig>,
    /// The autoregressive prior's.
    pub autoregressive_prior: Option<AutoregressiveConfig>,
    /// Those of the first stages, in the order of [`Family::stages`].
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
    /// The projections to the network's conditions.
    pub conditioning: Option<ConditioningConfig>,
    /// The U-Net.
    pub network: Option<UNetConfig>,
    /// The last step's U-Net.
    pub last_network: Option<UNetConfig>,
    /// The scheduler.
    pub scheduler: Option<SchedulerConfig>,
}

impl From<&Tokenizer> for TokenizerShape {
    fn from(tokenizer: &Tokenizer) -> Self {
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
        let model = Model { folder };
        let text = model.read(family.text_encoder, "the text encoder", configs::text_config)?;
        let image =
            model.read(family.image_encoder, "the image encoder", configs::vision_config)?;
        let (prior, prior_scheduler) = match family.prior {
            Some(prior) => (
                model.read(prior.network, "the prior", configs::prior_config)?,
                model.scheduler(prior.scheduler)?,
            ),
            None => (None, None),
        };
        let autoregressive_prior = match family.autoregressive_prior {
            Some(component) => {
                let noun = "the autoregressive prior";
                model.read(component, noun, configs::autoregressive_config)?
            }
            None => None,
        };
        Ok(Self {
            tokenizer: None,
            text_encoder: text.map(|tower| tower.config),
            image_processor: None,
            image_encoder: image.map(|tower| tower.config),
            prior,
            prior_scheduler,
            autoregressive_prior,
            stages: family.stages.iter().map(|s| model.stage(s)).collect::<Result<_, _>>()?,
        })
    }
}

/// A model's folder, whose configurations are read.
struct Model<'a> {
    folder: &'a Folder,
}

impl Model<'_> {
    fn stage(&self, stage: &Stage) -> Result<StageShapes, Error> {
        let scheduler = self.scheduler(stage.scheduler)?;
        Ok(match stage.kind {
            StageKind::Decoder { conditioning, network } => StageShapes {
                conditioning: self.read(
                    conditioning,
                    "the decoder's conditioning",
                    configs::conditioning_config,
                )?,
                network: self.read(network, "the decoder", configs::decoder_config)?,
                last_network: None,
                scheduler,
            },
            StageKind::Upsampler { network, last_network } => {
                let unet = |name| self.read(name, "the upsampler", configs::upsampler_config);
                StageShapes {
                    conditioning: None,
                    network: unet(network)?,
                    last_network: last_network.map(unet).transpose()?.flatten(),
                    scheduler,
                }
            }
        })
    }

    fn scheduler(&self, component: &str) -> Result<Option<SchedulerConfig>, Error> {
        self.translate(component, SCHEDULER_CONFIG, "a scheduler", configs::scheduler_config)
    }

    fn read<C>(
        &self,
        component: &str,
        noun: &'static str,
        translation: fn(&[u8]) -> Result<C, ConfigError>,
    ) -> Result<Option<C>, Error> {
        self.translate(component, CONFIG, noun, translation)
    }

    fn translate<C>(
        &self,
        component: &str,
        file: &str,
        noun: &'static str,
        translation: fn(&[u8]) -> Result<C, ConfigError>,
    ) -> Result<Option<C>, Error> {
        let folder = self.folder.component(component);
        folder.exists().then(|| translate(&folder, file, noun, translation)).transpose()
    }
}
