//! Karlo, Kakao Brain's unCLIP, as diffusers lays it out, and the two components that our own models add to it.

use decoder::Interpolation;
use diffusion::{
    BetaSchedule, Prediction, SchedulerConfig, TimestepRespacing, TimestepSpacing, Variance,
};

use crate::family::{
    Class, Clip, Condition, Defaults, DiffusionPrior, Family, PriorDefaults, PublishedSampler,
    Stage, StageDefaults, Upsampling,
};

/// The tokenizer.
pub const TOKENIZER: &str = "tokenizer";
/// CLIP's text encoder.
pub const TEXT_ENCODER: &str = "text_encoder";
/// CLIP's image encoder.
pub const IMAGE_ENCODER: &str = "image_encoder";
/// The preprocessing of images for the image encoder.
pub const IMAGE_PROCESSOR: &str = "feature_extractor";
/// The diffusion prior.
pub const PRIOR: &str = "prior";
/// The diffusion prior's scheduler.
pub const PRIOR_SCHEDULER: &str = "prior_scheduler";
/// The autoregressive prior: ours, in no publisher's folder.
pub const AUTOREGRESSIVE_PRIOR: &str = "prior_autoregressive";
/// The principal components of image embeddings: ours, in no publisher's folder.
pub const PRINCIPAL_COMPONENTS: &str = "image_pca";
/// The projections of embedding and text to the decoder's conditions.
pub const CONDITIONING: &str = "text_proj";
/// Its tensors among those of a decoder that is trained with it.
pub const CONDITIONING_PREFIX: &str = "text_proj.";
/// The decoder's U-Net.
pub const DECODER: &str = "decoder";
/// The decoder's scheduler.
pub const DECODER_SCHEDULER: &str = "decoder_scheduler";
/// The upsampler's U-Net.
pub const UPSAMPLER: &str = "super_res_first";
/// The U-Net of the upsampler's last step.
pub const LAST_UPSAMPLER: &str = "super_res_last";
/// The upsampler's scheduler.
pub const UPSAMPLER_SCHEDULER: &str = "super_res_scheduler";
/// The decoder's student, which draws in few steps: ours, in no publisher's folder.
pub const DISTILLED_DECODER: &str = "decoder_distilled";
/// The upsampler's student: ours, in no publisher's folder.
pub const DISTILLED_UPSAMPLER: &str = "super_res_distilled";
/// The list of a model's components, with the class of each.
pub const INDEX: &str = "model_index.json";

/// The repository that messages give as an example.
pub(crate) const EXAMPLE: &str = "kakaobrain/karlo-v1-alpha";
/// The beginning of the class names of its pipelines.
pub(crate) const PIPELINE: &str = "UnCLIP";

/// The classes of the published components.
static CLASSES: [Class; 12] = {
    const fn class(component: &'static str, library: &'static str, class: &'static str) -> Class {
        Class { component, library, class }
    }
    [
        class(DECODER, "diffusers", "UNet2DConditionModel"),
        class(DECODER_SCHEDULER, "diffusers", "UnCLIPScheduler"),
        class(IMAGE_PROCESSOR, "transformers", "CLIPImageProcessor"),
        class(IMAGE_ENCODER, "transformers", "CLIPVisionModelWithProjection"),
        class(PRIOR, "diffusers", "PriorTransformer"),
        class(PRIOR_SCHEDULER, "diffusers", "UnCLIPScheduler"),
        class(UPSAMPLER, "diffusers", "UNet2DModel"),
        class(LAST_UPSAMPLER, "diffusers", "UNet2DModel"),
        class(UPSAMPLER_SCHEDULER, "diffusers", "UnCLIPScheduler"),
        class(TEXT_ENCODER, "transformers", "CLIPTextModelWithProjection"),
        class(CONDITIONING, "unclip", "UnCLIPTextProjModel"),
        class(TOKENIZER, "transformers", "CLIPTokenizer"),
    ]
};

/// Karlo's layout, and the steps and guidance scales of its model card.
pub fn karlo() -> Family {
    Family {
        name: "Karlo",
        pipeline: PIPELINE,
        example: EXAMPLE,
        inpainting_example: None,
        companion: None,
        classes: &CLASSES,
        clip: Some(Clip {
            tokenizer: TOKENIZER,
            text_encoder: TEXT_ENCODER,
            image_encoder: IMAGE_ENCODER,
            image_processor: IMAGE_PROCESSOR,
        }),
        noised_clip: None,
        prior: Some(DiffusionPrior { network: PRIOR, scheduler: PRIOR_SCHEDULER }),
        autoregressive_prior: Some(AUTOREGRESSIVE_PRIOR),
        principal_components: Some(PRINCIPAL_COMPONENTS),
        stages: vec![
            Stage {
                name: "decoder",
                scheduler: DECODER_SCHEDULER,
                network: DECODER,
                last_network: None,
                student: Some(DISTILLED_DECODER),
                autoencoder: None,
                condition: Condition::Embedding { projection: CONDITIONING },
                upsampling: None,
                sampler: PublishedSampler::Unclip,
            },
            Stage {
                name: "upsampler",
                scheduler: UPSAMPLER_SCHEDULER,
                network: UPSAMPLER,
                last_network: Some(LAST_UPSAMPLER),
                student: Some(DISTILLED_UPSAMPLER),
                autoencoder: None,
                condition: Condition::None,
                upsampling: Some(Upsampling {
                    interpolation: Interpolation::Bicubic,
                    rounds: false,
                }),
                sampler: PublishedSampler::Unclip,
            },
        ],
        inpainting_stages: Vec::new(),
        defaults: Defaults {
            prior: Some(PriorDefaults { steps: 25, guidance_scale: 4.0 }),
            stages: vec![
                StageDefaults {
                    steps: TimestepRespacing::Count(25),
                    guidance_scale: Some(8.0),
                    temperature: None,
                },
                StageDefaults {
                    steps: TimestepRespacing::Count(7),
                    guidance_scale: None,
                    temperature: None,
                },
            ],
        },
    }
}

/// The scheduler of Karlo's prior.
pub fn prior_scheduler() -> SchedulerConfig {
    scheduler(Prediction::Sample, Variance::FixedSmallLog, 5.0)
}

/// The scheduler of Karlo's decoder.
pub fn decoder_scheduler() -> SchedulerConfig {
    scheduler(Prediction::Epsilon, Variance::LearnedRange, 1.0)
}

/// The scheduler of an upsampler that predicts `prediction`; Karlo's predicts the noise.
pub fn upsampler_scheduler(prediction: Prediction) -> SchedulerConfig {
    scheduler(prediction, Variance::FixedSmallLog, 1.0)
}

fn scheduler(prediction: Prediction, variance: Variance, clip_range: f64) -> SchedulerConfig {
    SchedulerConfig {
        train_timesteps: 1000,
        beta_schedule: BetaSchedule::Cosine,
        timestep_spacing: TimestepSpacing::Linspace,
        prediction,
        variance,
        clip_range: Some(clip_range),
    }
}
