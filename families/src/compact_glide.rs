//! Compact GLIDE: a caption's own text transformer and U-Net as in GLIDE (2112.10741), at the size of our own models, whose
//! captions CLIP's tokenizer reads and whose upsampler, as unCLIP's, takes the small image alone. No publisher has it.
//!
//! One U-Net both samples and inpaints: 7 channels of its input, and 10 of an upsampler's, hold the known pixels and a mask.

use decoder::Interpolation;
use diffusion::TimestepRespacing;

use crate::family::{
    Class, Condition, Defaults, Family, NoisedClip, PublishedSampler, Stage, StageDefaults,
    Upsampling,
};
use crate::glide::{
    CLIP_IMAGE_ENCODER, CLIP_TEXT_ENCODER, CLIP_TOKENIZER, DECODER, DECODER_SCHEDULER,
    DECODER_TEXT_ENCODER, TOKENIZER, UPSAMPLER, UPSAMPLER_SCHEDULER,
};

/// The classes of its components. The base network's scheduler is GLIDE's, the upsampler's Karlo's.
static CLASSES: [Class; 9] = {
    const fn class(component: &'static str, library: &'static str, class: &'static str) -> Class {
        Class { component, library, class }
    }
    [
        class(TOKENIZER, "transformers", "CLIPTokenizer"),
        class(DECODER_TEXT_ENCODER, "unclip", "GlideTextTransformer"),
        class(DECODER, "diffusers", "UNet2DConditionModel"),
        class(DECODER_SCHEDULER, "diffusers", "DDPMScheduler"),
        class(UPSAMPLER, "diffusers", "UNet2DModel"),
        class(UPSAMPLER_SCHEDULER, "diffusers", "UnCLIPScheduler"),
        class(CLIP_TOKENIZER, "transformers", "CLIPTokenizer"),
        class(CLIP_TEXT_ENCODER, "unclip", "NoisedClipTextModel"),
        class(CLIP_IMAGE_ENCODER, "unclip", "NoisedClipVisionModel"),
    ]
};

/// The layout of compact GLIDE, and its settings where a model's index has none.
pub fn compact_glide() -> Family {
    Family {
        name: "compact GLIDE",
        pipeline: "CompactGlide",
        example: "our own small GLIDE",
        inpainting_example: None,
        companion: None,
        classes: &CLASSES,
        clip: None,
        noised_clip: Some(NoisedClip {
            tokenizer: CLIP_TOKENIZER,
            text_encoder: CLIP_TEXT_ENCODER,
            image_encoder: CLIP_IMAGE_ENCODER,
        }),
        prior: None,
        autoregressive_prior: None,
        principal_components: None,
        stages: vec![
            Stage {
                name: "decoder",
                scheduler: DECODER_SCHEDULER,
                network: DECODER,
                last_network: None,
                student: None,
                autoencoder: None,
                condition: Condition::Caption {
                    tokenizer: TOKENIZER,
                    text_encoder: DECODER_TEXT_ENCODER,
                },
                upsampling: None,
                sampler: PublishedSampler::Ddpm,
            },
            Stage {
                name: "upsampler",
                scheduler: UPSAMPLER_SCHEDULER,
                network: UPSAMPLER,
                last_network: None,
                student: None,
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
            prior: None,
            stages: vec![
                StageDefaults {
                    steps: TimestepRespacing::Count(50),
                    guidance_scale: Some(3.0),
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
