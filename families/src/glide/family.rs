//! The family: its components, and the settings of the reference's notebooks.

use decoder::Interpolation;
use diffusion::TimestepRespacing;

use super::*;
use crate::family::{
    Class, Condition, Defaults, Family, NoisedClip, PublishedSampler, Stage, StageDefaults,
    Upsampling,
};

/// The classes of its components in our own layout.
static CLASSES: [Class; 14] = {
    const fn class(component: &'static str, library: &'static str, class: &'static str) -> Class {
        Class { component, library, class }
    }
    const TEXT: &str = "GlideTextTransformer";
    const UNET: &str = "UNet2DConditionModel";
    [
        class(TOKENIZER, "transformers", "GPT2Tokenizer"),
        class(DECODER_TEXT_ENCODER, "unclip", TEXT),
        class(DECODER, "diffusers", UNET),
        class(DECODER_SCHEDULER, "diffusers", "DDPMScheduler"),
        class(UPSAMPLER_TEXT_ENCODER, "unclip", TEXT),
        class(UPSAMPLER, "diffusers", UNET),
        class(UPSAMPLER_SCHEDULER, "diffusers", "DDIMScheduler"),
        class(INPAINT_DECODER_TEXT_ENCODER, "unclip", TEXT),
        class(INPAINT_DECODER, "diffusers", UNET),
        class(INPAINT_UPSAMPLER_TEXT_ENCODER, "unclip", TEXT),
        class(INPAINT_UPSAMPLER, "diffusers", UNET),
        class(CLIP_TOKENIZER, "transformers", "CLIPTokenizer"),
        class(CLIP_TEXT_ENCODER, "unclip", "NoisedClipTextModel"),
        class(CLIP_IMAGE_ENCODER, "unclip", "NoisedClipVisionModel"),
    ]
};

/// GLIDE's layout, and the settings of the reference's notebooks.
pub fn glide() -> Family {
    let base = |text_encoder, network| Stage {
        name: "decoder",
        scheduler: DECODER_SCHEDULER,
        network,
        last_network: None,
        student: None,
        autoencoder: None,
        condition: Condition::Caption { tokenizer: TOKENIZER, text_encoder },
        upsampling: None,
        sampler: PublishedSampler::Ddpm,
    };
    let upsampler = |text_encoder, network, sampler| Stage {
        name: "upsampler",
        scheduler: UPSAMPLER_SCHEDULER,
        network,
        upsampling: Some(Upsampling { interpolation: Interpolation::Bilinear, rounds: true }),
        sampler,
        ..base(text_encoder, network)
    };
    Family {
        name: "GLIDE",
        pipeline: "Glide",
        example: "the folder of the published base.pt and upsample.pt",
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
            base(DECODER_TEXT_ENCODER, DECODER),
            upsampler(UPSAMPLER_TEXT_ENCODER, UPSAMPLER, PublishedSampler::Ddim),
        ],
        inpainting_stages: vec![
            base(INPAINT_DECODER_TEXT_ENCODER, INPAINT_DECODER),
            upsampler(INPAINT_UPSAMPLER_TEXT_ENCODER, INPAINT_UPSAMPLER, PublishedSampler::Ddpm),
        ],
        defaults: Defaults {
            prior: None,
            stages: vec![
                StageDefaults {
                    steps: TimestepRespacing::Count(100),
                    guidance_scale: Some(3.0),
                    temperature: None,
                },
                StageDefaults {
                    steps: TimestepRespacing::Fast27,
                    guidance_scale: None,
                    temperature: Some(0.997),
                },
            ],
        },
    }
}
