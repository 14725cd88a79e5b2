//! Kandinsky 2.2 as diffusers lays it out: a prior over the embeddings of a large CLIP and, in a repository of its own, a decoder
//! that denoises latents of image embeddings alone, or another of the same components that inpaints. The components of the prior's
//! repository have the names by which diffusers' pipeline of both knows them.

use diffusion::TimestepRespacing;

use crate::companion::Companion;
use crate::family::{
    Class, Clip, Condition, Defaults, DiffusionPrior, Family, PriorDefaults, PublishedSampler,
    Stage, StageDefaults,
};

/// The U-Net, which projects image embeddings itself.
pub const UNET: &str = "unet";
/// The U-Net's scheduler.
pub const SCHEDULER: &str = "scheduler";
/// The autoencoder of the latents.
pub const MOVQ: &str = "movq";
/// The diffusion prior.
pub const PRIOR: &str = "prior_prior";
/// The diffusion prior's scheduler.
pub const PRIOR_SCHEDULER: &str = "prior_scheduler";
/// The tokenizer.
pub const TOKENIZER: &str = "prior_tokenizer";
/// CLIP's text encoder.
pub const TEXT_ENCODER: &str = "prior_text_encoder";
/// CLIP's image encoder.
pub const IMAGE_ENCODER: &str = "prior_image_encoder";
/// The preprocessing of images for the image encoder.
pub const IMAGE_PROCESSOR: &str = "prior_image_processor";

/// The classes of the published components.
static CLASSES: [Class; 9] = {
    const fn class(component: &'static str, library: &'static str, class: &'static str) -> Class {
        Class { component, library, class }
    }
    [
        class(UNET, "diffusers", "UNet2DConditionModel"),
        class(SCHEDULER, "diffusers", "DDPMScheduler"),
        class(MOVQ, "diffusers", "VQModel"),
        class(PRIOR, "diffusers", "PriorTransformer"),
        class(PRIOR_SCHEDULER, "diffusers", "UnCLIPScheduler"),
        class(TOKENIZER, "transformers", "CLIPTokenizer"),
        class(TEXT_ENCODER, "transformers", "CLIPTextModelWithProjection"),
        class(IMAGE_ENCODER, "transformers", "CLIPVisionModelWithProjection"),
        class(IMAGE_PROCESSOR, "transformers", "CLIPImageProcessor"),
    ]
};

/// Kandinsky 2.2's layout, and the steps and guidance scales that diffusers' pipelines take where nobody names others.
pub fn kandinsky() -> Family {
    Family {
        name: "Kandinsky 2.2",
        pipeline: "KandinskyV22",
        example: "kandinsky-community/kandinsky-2-2-decoder",
        inpainting_example: Some("kandinsky-community/kandinsky-2-2-decoder-inpaint"),
        companion: Some(Companion {
            repository: "kandinsky-community/kandinsky-2-2-prior",
            prefix: "prior_",
        }),
        classes: &CLASSES,
        clip: Some(Clip {
            tokenizer: TOKENIZER,
            text_encoder: TEXT_ENCODER,
            image_encoder: IMAGE_ENCODER,
            image_processor: IMAGE_PROCESSOR,
        }),
        noised_clip: None,
        prior: Some(DiffusionPrior { network: PRIOR, scheduler: PRIOR_SCHEDULER }),
        autoregressive_prior: None,
        principal_components: None,
        stages: vec![Stage {
            name: "decoder",
            scheduler: SCHEDULER,
            network: UNET,
            last_network: None,
            student: None,
            autoencoder: Some(MOVQ),
            condition: Condition::ImageEmbedding,
            upsampling: None,
            sampler: PublishedSampler::LeadingDdpm,
        }],
        inpainting_stages: Vec::new(),
        defaults: Defaults {
            prior: Some(PriorDefaults { steps: 25, guidance_scale: 4.0 }),
            stages: vec![StageDefaults {
                steps: TimestepRespacing::Count(100),
                guidance_scale: Some(4.0),
                temperature: None,
            }],
        },
    }
}
