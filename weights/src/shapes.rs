//! The shapes of a model's parts, from its configurations alone.

use clip::{TextConfig, VisionConfig};
use decoder::{ConditioningConfig, UNetConfig};
use diffusion::Prediction;
use prior::{AutoregressiveConfig, PriorConfig};

use crate::configs;
use crate::open::{CONFIG, open_scheduler, translate};
use crate::{Error, Folder};

/// The shape of each part that a model has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shapes {
    /// `text_encoder/`
    pub text: Option<TextConfig>,
    /// `image_encoder/`
    pub vision: Option<VisionConfig>,
    /// `prior/`
    pub prior: Option<PriorConfig>,
    /// `prior_autoregressive/`
    pub autoregressive: Option<AutoregressiveConfig>,
    /// `text_proj/`
    pub conditioning: Option<ConditioningConfig>,
    /// `decoder/`
    pub decoder: Option<UNetConfig>,
    /// `super_res_first/`
    pub upsampler: Option<UNetConfig>,
    /// What it predicts: `super_res_scheduler/`
    pub upsampler_predicts: Option<Prediction>,
}

impl Shapes {
    /// Those of the model in `folder`. An error for a configuration that describes another kind of part.
    pub fn read(folder: &Folder) -> Result<Self, Error> {
        let part = |name: &str| {
            let component = folder.component(name);
            component.exists().then_some(component)
        };
        let text = |component: Folder| {
            translate(&component, CONFIG, "the text encoder", configs::text_config)
        };
        let vision = |component: Folder| {
            translate(&component, CONFIG, "the image encoder", configs::vision_config)
        };
        let prior =
            |component: Folder| translate(&component, CONFIG, "the prior", configs::prior_config);
        let autoregressive = |component: Folder| {
            let part = "the autoregressive prior";
            translate(&component, CONFIG, part, configs::autoregressive_config)
        };
        let conditioning = |component: Folder| {
            let part = "the decoder's conditioning";
            translate(&component, CONFIG, part, configs::conditioning_config)
        };
        let decoder = |component: Folder| {
            translate(&component, CONFIG, "the decoder", configs::decoder_config)
        };
        let upsampler = |component: Folder| {
            translate(&component, CONFIG, "the upsampler", configs::upsampler_config)
        };
        Ok(Self {
            text: part("text_encoder").map(text).transpose()?.map(|half| half.config),
            vision: part("image_encoder").map(vision).transpose()?.map(|half| half.config),
            prior: part("prior").map(prior).transpose()?,
            autoregressive: part("prior_autoregressive").map(autoregressive).transpose()?,
            conditioning: part("text_proj").map(conditioning).transpose()?,
            decoder: part("decoder").map(decoder).transpose()?,
            upsampler: part("super_res_first").map(upsampler).transpose()?,
            upsampler_predicts: part("super_res_scheduler")
                .map(|component| open_scheduler(&component))
                .transpose()?
                .map(|scheduler| scheduler.prediction),
        })
    }
}
