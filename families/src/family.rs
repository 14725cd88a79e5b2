//! A family of models: its layout, as a value that programs can make for layouts of their own.

use std::collections::HashSet;
use std::ops::Range;

use decoder::{Interpolation, UNetConfig};
use diffusion::TimestepRespacing;

use crate::Completion;
use crate::companion::Companion;

/// A publisher's layout of a model: the folder of each component within the model's folder, in the order in which they
/// work, and the settings that its authors sample with.
#[derive(Clone, Debug)]
pub struct Family {
    /// The family's name, for messages.
    pub name: &'static str,
    /// The beginning of the class names of its pipelines, in a model's index.
    pub pipeline: &'static str,
    /// A model of the family, for messages.
    pub example: &'static str,
    /// A model of the family whose base network takes a mask, for messages, where that of [`Family::example`] does not.
    pub inpainting_example: Option<&'static str>,
    /// The repository in which some of its components are published, where they are not all in one.
    pub companion: Option<Companion>,
    /// The classes that its components open in.
    pub classes: &'static [Class],
    /// CLIP, which embeds captions and images (2204.06125, section 2).
    pub clip: Option<Clip>,
    /// CLIP of noised images, whose gradient guides (2112.10741, section 4.4).
    pub noised_clip: Option<NoisedClip>,
    /// The diffusion prior (2204.06125, section 2.2).
    pub prior: Option<DiffusionPrior>,
    /// The folder of the autoregressive prior (2204.06125, section 2.2).
    pub autoregressive_prior: Option<&'static str>,
    /// The folder of the principal components of image embeddings (2204.06125, section 2.2).
    pub principal_components: Option<&'static str>,
    /// The stages of diffusion over images, in the order in which they sample.
    pub stages: Vec<Stage>,
    /// The same stages with networks of their own that were trained to inpaint (2112.10741, section 4.3); empty where the
    /// family has none, and [`Family::stages`] inpaint.
    pub inpainting_stages: Vec<Stage>,
    /// The settings that the authors sample with.
    pub defaults: Defaults,
}

/// The class that a component opens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The component's folder.
    pub component: &'static str,
    /// The library that has the class.
    pub library: &'static str,
    /// The class.
    pub class: &'static str,
}

/// The folders of a CLIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    /// The folder of the tokenizer.
    pub tokenizer: &'static str,
    /// The folder of the text encoder.
    pub text_encoder: &'static str,
    /// The folder of the image encoder.
    pub image_encoder: &'static str,
    /// The folder of the preprocessing of images for the image encoder.
    pub image_processor: &'static str,
}

/// The folders of a CLIP of noised images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoisedClip {
    /// The folder of the tokenizer.
    pub tokenizer: &'static str,
    /// The folder of the text encoder.
    pub text_encoder: &'static str,
    /// The folder of the image encoder, which also takes the timestep.
    pub image_encoder: &'static str,
}

/// The folders of a diffusion prior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffusionPrior {
    /// The folder of its network.
    pub network: &'static str,
    /// The folder of its scheduler.
    pub scheduler: &'static str,
}

/// A stage of diffusion over images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The stage's name, in its settings and its progress.
    pub name: &'static str,
    /// The folder of its scheduler.
    pub scheduler: &'static str,
    /// The folder of its U-Net.
    pub network: &'static str,
    /// The folder of the last step's U-Net, where that is another.
    pub last_network: Option<&'static str>,
    /// The folder of a network that was distilled from its U-Net, which a model may have or not (2202.00512).
    pub student: Option<&'static str>,
    /// The folder of the autoencoder whose latents it denoises; `None` for one that denoises pixels.
    pub autoencoder: Option<&'static str>,
    /// The condition of its U-Net.
    pub condition: Condition,
    /// How the image of the stage before becomes an input of the U-Net; `None` for the stage that samples the base image.
    pub upsampling: Option<Upsampling>,
    /// The sampler that the authors sample with.
    pub sampler: PublishedSampler,
}

/// The condition of a stage's U-Net, beyond the timestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The image of the stage before, alone.
    None,
    /// An image embedding and a caption (2204.06125, section 2.1).
    Embedding {
        /// The folder of what projects embedding and text to the U-Net's conditions.
        projection: &'static str,
    },
    /// An image embedding alone, which the U-Net projects itself. The unconditional one is CLIP's of an image of zeros, or the
    /// prior's of another caption.
    ImageEmbedding,
    /// A caption, which a text transformer of the stage's own reads (2112.10741, section 4.1).
    Caption {
        /// The folder of the tokenizer.
        tokenizer: &'static str,
        /// The folder of the text transformer.
        text_encoder: &'static str,
    },
}

/// How the image of the stage before becomes an input of the U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upsampling {
    /// The interpolation that enlarges it.
    pub interpolation: Interpolation,
    /// Whether it is rounded to 8 bits first.
    pub rounds: bool,
}

/// The sampler that a stage's authors sample with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedSampler {
    /// diffusers' `UnCLIPScheduler`, over tables in f32; it draws noise in every step but the last.
    Unclip,
    /// diffusers' `DDPMScheduler`, over tables in f32 and in whole strides; it draws noise in every step. A variance that the
    /// network learned and its scheduler does not ask for is passed over.
    LeadingDdpm,
    /// guided-diffusion's `p_sample`, over tables in f64; it draws noise in every step.
    Ddpm,
    /// guided-diffusion's `ddim_sample` with eta 0; it draws noise in every step, and adds none.
    Ddim,
}

/// The settings that a family's authors sample with.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Those of the diffusion prior, where there is one.
    pub prior: Option<PriorDefaults>,
    /// Those of each stage, in the order of [`Family::stages`].
    pub stages: Vec<StageDefaults>,
}

/// The settings of a diffusion prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriorDefaults {
    /// Its steps.
    pub steps: usize,
    /// Its guidance scale.
    pub guidance_scale: f64,
}

/// The settings of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageDefaults {
    /// Its steps.
    pub steps: TimestepRespacing,
    /// Its guidance scale; `None` for a stage without guidance.
    pub guidance_scale: Option<f64>,
    /// The standard deviation of the noise that it begins with; `None` for 1 that no setting changes.
    pub temperature: Option<f64>,
}

/// The components that a task needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Captions are encoded.
    pub text: bool,
    /// A prior samples image embeddings.
    pub prior: Option<PriorKind>,
    /// Images are encoded.
    pub image_encoder: bool,
    /// CLIP of noised images guides.
    pub noised_clip: bool,
    /// How many of the first stages sample images.
    pub stages: usize,
    /// Whether those stages are the ones that were trained to inpaint, in families that have such.
    pub inpaints: bool,
}

/// The two priors of the paper (2204.06125, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorKind {
    /// Predicts the clean embedding by diffusion.
    Diffusion,
    /// Predicts the embedding's principal components one after another.
    Autoregressive,
}

impl Stage {
    /// The folders of the stage.
    pub fn components(&self) -> Vec<&'static str> {
        let tokenizer = match self.condition {
            Condition::Caption { tokenizer, .. } => Some(tokenizer),
            _ => None,
        };
        tokenizer.into_iter().chain(self.networks()).chain([self.scheduler]).collect()
    }

    /// The folders of the stage's networks.
    pub fn networks(&self) -> Vec<&'static str> {
        let condition = match self.condition {
            Condition::None | Condition::ImageEmbedding => None,
            Condition::Embedding { projection } => Some(projection),
            Condition::Caption { text_encoder, .. } => Some(text_encoder),
        };
        let others = self.last_network.into_iter().chain(self.autoencoder);
        condition.into_iter().chain([self.network]).chain(others).collect()
    }

    /// The channels of a U-Net's input for images with so many: an upsampler takes the enlarged image beside the noised one,
    /// and a network that `inpaints` the known part of an image and a mask of one channel (2112.10741, section 4.3).
    pub fn in_channels(&self, channels: i64, inpaints: bool) -> i64 {
        let inpaints = i64::from(inpaints);
        (1 + inpaints + i64::from(self.upsampling.is_some())) * channels + inpaints
    }

    /// Whether the stage's U-Net takes the known part of an image and a mask: the channels of its input say it, beside those
    /// of its output, which are an image's, or twice as many where the variance is learned.
    pub fn inpaints(&self, network: &UNetConfig) -> bool {
        let outputs = network.out_channels;
        let channels = [outputs, outputs / 2].into_iter().filter(|channels| *channels > 0);
        channels.map(|channels| self.in_channels(channels, true)).any(|n| n == network.in_channels)
    }

    /// The channels of the images or latents that the stage's U-Net denoises: [`Stage::in_channels`] solved for them, where a
    /// hint's features take so many of the input's.
    pub fn image_channels(&self, network: &UNetConfig, hint_channels: i64) -> i64 {
        let inpaints = self.inpaints(network);
        let mask = self.in_channels(0, inpaints);
        (network.in_channels - hint_channels - mask) / (self.in_channels(1, inpaints) - mask)
    }
}

impl PublishedSampler {
    /// Whether it is one of guided-diffusion's, which guides a batch that draws noise for its unconditional half too.
    pub fn is_guided_diffusions(self) -> bool {
        matches!(self, Self::Ddpm | Self::Ddim)
    }
}

impl Family {
    /// A stage by its index: [`Family::stages`] come first, and the inpainting ones after them.
    pub fn stage(&self, index: usize) -> Stage {
        match self.stages.get(index) {
            Some(stage) => *stage,
            None => self.inpainting_stages[index - self.stages.len()],
        }
    }

    /// The class that a component opens in, where the family's pipelines name one.
    pub fn class_of(&self, component: &str) -> Option<&'static str> {
        let class = self.classes.iter().find(|class| class.component == component);
        class.map(|class| class.class)
    }

    /// Whether a component is the scheduler of a stage that reads captions itself.
    pub fn schedules_captions(&self, component: &str) -> bool {
        self.stages.iter().chain(&self.inpainting_stages).any(|stage| {
            stage.scheduler == component && matches!(stage.condition, Condition::Caption { .. })
        })
    }

    /// Whether a component is the scheduler of a stage that samples by [`PublishedSampler::LeadingDdpm`].
    pub(crate) fn has_leading_steps(&self, scheduler: &str) -> bool {
        self.stages.iter().chain(&self.inpainting_stages).any(|stage| {
            stage.scheduler == scheduler && stage.sampler == PublishedSampler::LeadingDdpm
        })
    }

    /// The indices of the stages that a task needs.
    pub fn stage_indices(&self, requirement: Requirement) -> Range<usize> {
        let (first, available) = match requirement.inpaints && !self.inpainting_stages.is_empty() {
            false => (0, self.stages.len()),
            true => (self.stages.len(), self.inpainting_stages.len()),
        };
        first..first + requirement.stages.min(available)
    }

    /// Whether an image embedding says what the base image shows, beside the caption or instead of it.
    pub fn decodes_embeddings(&self) -> bool {
        self.stages
            .first()
            .is_some_and(|base| matches!(base.condition, Condition::Embedding { .. }))
            || self.decodes_embeddings_alone()
    }

    /// Whether an image embedding alone says what the base image shows, and no caption beside it.
    pub fn decodes_embeddings_alone(&self) -> bool {
        self.stages.first().is_some_and(|base| base.condition == Condition::ImageEmbedding)
    }

    /// Whether the base image is denoised in the latents of an autoencoder.
    pub fn denoises_latents(&self) -> bool {
        self.stages.first().is_some_and(|base| base.autoencoder.is_some())
    }

    /// Whether the base image is sampled of the caption alone, which its stage reads itself.
    pub fn reads_captions(&self) -> bool {
        self.stages.first().is_some_and(|base| matches!(base.condition, Condition::Caption { .. }))
    }

    /// The folders that a task needs, each once; none for what the family lacks.
    pub fn components(&self, requirement: Requirement) -> Vec<&'static str> {
        let Requirement { text, prior, image_encoder, noised_clip, .. } = requirement;
        let mut components = Vec::new();
        if text && let Some(clip) = self.clip {
            components.extend([clip.tokenizer, clip.text_encoder]);
        }
        for index in self.stage_indices(requirement) {
            components.extend(self.stage(index).components());
        }
        components.extend(prior.into_iter().flat_map(|kind| self.prior_components(kind)));
        if image_encoder && let Some(clip) = self.clip {
            components.extend([clip.image_encoder, clip.image_processor]);
        }
        if noised_clip && let Some(clip) = self.noised_clip {
            components.extend([clip.tokenizer, clip.text_encoder, clip.image_encoder]);
        }
        let mut known = HashSet::new();
        components.retain(|component| known.insert(*component));
        components
    }

    /// The folders of all components, each once.
    pub fn all_components(&self) -> Vec<&'static str> {
        let every = Requirement {
            text: true,
            prior: Some(PriorKind::Diffusion),
            image_encoder: true,
            noised_clip: true,
            stages: self.stages.len(),
            inpaints: false,
        };
        let mut components = self.components(every);
        components.extend(self.principal_components);
        components.extend(self.stages.iter().filter_map(|stage| stage.student));
        components.extend(self.autoregressive_prior);
        let inpainting = self.inpainting_stages.iter().flat_map(Stage::components);
        let others: Vec<_> = inpainting.filter(|name| !components.contains(name)).collect();
        components.extend(others);
        components
    }

    /// The folders that complete a model which lacks them.
    pub fn completing_components(&self, completion: Completion) -> Vec<&'static str> {
        match completion {
            Completion::Prior if self.companion.is_some() => {
                let all = self.all_components().into_iter();
                all.filter(|component| self.is_of_companion(component)).collect()
            }
            Completion::Prior => {
                let kinds = [PriorKind::Diffusion, PriorKind::Autoregressive];
                kinds.into_iter().flat_map(|kind| self.prior_components(kind)).collect()
            }
            Completion::ImageEncoder => {
                let clip = self.clip.map(|clip| [clip.image_encoder, clip.image_processor]);
                clip.into_iter().flatten().collect()
            }
            Completion::TextEncoder => {
                let clip = self.clip.map(|clip| [clip.tokenizer, clip.text_encoder]);
                clip.into_iter().flatten().collect()
            }
            Completion::Embeddings => self.principal_components.into_iter().collect(),
        }
    }

    /// The folders of a prior, its network's first.
    pub fn prior_components(&self, kind: PriorKind) -> Vec<&'static str> {
        match kind {
            PriorKind::Diffusion => {
                let folders = self.prior.map(|prior| [prior.network, prior.scheduler]);
                folders.into_iter().flatten().collect()
            }
            PriorKind::Autoregressive => self.autoregressive_prior.into_iter().collect(),
        }
    }
}
