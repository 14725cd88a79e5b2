//! Everything that can go wrong between a caption and a picture.

use diffusion::{StepsError, TimestepRespacing};
use families::compatibility::SIDES;
use families::{Mismatch, PriorKind};
use kernels::OutOfMemory;

use crate::finite::{Cause, Quantity};

/// One sentence each, which names the file, the setting and the number.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caption has no words.
    #[error("the caption is empty: please say what the picture should show")]
    EmptyCaption,
    /// More text than any text encoder reads.
    #[error("the caption has {length} bytes, and at most {max} are read", max = crate::settings::LONGEST_CAPTION)]
    LongCaption {
        /// How many it has.
        length: usize,
    },
    /// The caption holds a character that ends strings.
    #[error("the caption has a NUL character at byte {position}")]
    NulInCaption {
        /// Where it is, in bytes.
        position: usize,
    },
    /// A setting that no model, or not this one, can draw with.
    #[error("{setting} is {value}: {must}")]
    Setting {
        /// Its name in [`Settings`](crate::Settings), with the names of what it lies in.
        setting: String,
        /// Its value.
        value: String,
        /// The condition, as the end of a sentence.
        must: String,
    },
    /// Computing in f16 on a CPU.
    #[error(
        "f16 computes on a GPU only, a CPU takes 80 times as long as in f32: please use f32 here"
    )]
    HalfOnCpu,
    /// Weights in bf16 where that gains nothing.
    #[error(
        "weights in bf16 take half of the memory of a model on disk that computes in f32 on a CPU; they gain nothing in another dtype, on a GPU or with the model inside"
    )]
    WeightKind,
    /// A setting of the prior that does not sample.
    #[error("{setting}: the {}", other_prior(*.autoregressive))]
    OtherPrior {
        /// Its name in [`Settings`](crate::Settings).
        setting: &'static str,
        /// Whether the autoregressive prior samples.
        autoregressive: bool,
    },
    /// A setting of a stage that the model does not have.
    #[error("{setting}: this model has no {stage}")]
    NoStage {
        /// Its name in [`Settings`](crate::Settings).
        setting: String,
        /// The stage.
        stage: String,
    },
    /// Settings without those of a stage of the model.
    #[error("{setting} is missing, and this model has such a stage")]
    NoSetting {
        /// Its name in [`Settings`](crate::Settings).
        setting: String,
    },
    /// A prior of a family that has none of its kind.
    #[error("{family} has no {} prior", prior_name(*.kind))]
    NoPrior {
        /// The family.
        family: &'static str,
        /// The prior.
        kind: PriorKind,
    },
    /// Images or embeddings in a family without CLIP.
    #[error("{family} draws from captions alone: it has no CLIP that compares or embeds pictures")]
    NoClip {
        /// The family.
        family: &'static str,
    },
    /// An image embedding in a family whose networks take none.
    #[error("{family} draws from captions alone, and not from a picture's embedding")]
    NoEmbedding {
        /// The family.
        family: &'static str,
    },
    /// Inpainting in latents by a network that takes no mask.
    #[error("this decoder of {family}'s takes no mask, so it paints in no picture{}", elsewhere(*.repository))]
    NoInpainting {
        /// The family.
        family: &'static str,
        /// A repository with a decoder that does.
        repository: Option<&'static str>,
    },
    /// A mix of fewer than two conditions.
    #[error("a mix is of two pictures or captions at least, and {count} {} given", if *.count == 1 { "is" } else { "are" })]
    NothingToMix {
        /// How many there are.
        count: usize,
    },
    /// An image to start from in a family that denoises no latents.
    #[error("{family} draws from noise alone, and not from a picture on")]
    NoImageToImage {
        /// The family.
        family: &'static str,
    },
    /// An embedding to start from where no diffusion prior samples.
    #[error(
        "first_embedding: a diffusion prior starts from a picture's embedding, and none draws here"
    )]
    NoDiffusionPrior,
    /// A hint for a decoder that takes none.
    #[error(
        "hint: this decoder of {family}'s takes none, as kandinsky-community/kandinsky-2-2-controlnet-depth does"
    )]
    UnreadHint {
        /// The family.
        family: &'static str,
    },
    /// No hint for a decoder that draws by one.
    #[error(
        "this decoder of {family}'s draws by a hint, a picture of depths say, and there is none"
    )]
    NoHint {
        /// The family.
        family: &'static str,
    },
    /// A negative caption in a family that guidance starts from the empty one in.
    #[error("negative_caption: {family} takes no caption of what a picture should not show")]
    NoNegativeCaption {
        /// The family.
        family: &'static str,
    },
    /// An input of the prior where that takes no part.
    #[error(
        "{what}: the prior reads it, which takes no part where a picture's embedding or no caption is given"
    )]
    WithoutPrior {
        /// The input.
        what: &'static str,
    },
    /// Guidance by CLIP in a family that has no CLIP of noised images.
    #[error(
        "clip_guidance_scale: {family} has no CLIP of noised pictures whose gradient could guide, as GLIDE has"
    )]
    NoNoisedClip {
        /// The family.
        family: &'static str,
    },
    /// Principal components of a family that brings none.
    #[error("{family} has no principal components of its image embeddings")]
    NoPrincipalComponents {
        /// The family.
        family: &'static str,
    },
    /// Two components that do not fit each other.
    #[error(
        "{first} and {second} do not fit each other: {} is {} in the first and {} in the second",
        .mismatch.quantity, .mismatch.one, .mismatch.other
    )]
    Mismatch {
        /// The component that comes first in the chain, and where it lies.
        first: String,
        /// The other one.
        second: String,
        /// The quantity that should be equal, and its two values.
        mismatch: Box<Mismatch>,
    },
    /// A program that carries no model.
    #[error("this build of unclip carries no model: please name one")]
    NoBuiltInModel,
    /// A word that names no model.
    #[error("{reason}; {}", built_in_list(.built_in))]
    UnknownModel {
        /// The problem.
        reason: String,
        /// The names of the models that the program carries.
        built_in: Vec<&'static str>,
    },
    /// An observer's wish.
    #[error("stopped: the observer asked for no more steps")]
    Stopped,
    /// The model's own defaults cannot be read.
    #[error("{index} of {folder}: {reason}", index = families::karlo::INDEX)]
    Index {
        /// The model's folder.
        folder: String,
        /// The problem.
        reason: String,
    },
    /// A file that should hold what an inversion found.
    #[error("{file} holds no inversion that this model can decode: {reason}")]
    Inversion {
        /// The file.
        file: String,
        /// The problem.
        reason: String,
    },
    /// A template for prompts without a place for the label, or with several.
    #[error(
        "the template {template:?} has {{}} {found} times, and once is wanted: where the label goes"
    )]
    Template {
        /// The template.
        template: String,
        /// How often it has one.
        found: usize,
    },
    /// A factor of CLIP's cosines that no number holds.
    #[error(
        "{folder} multiplies CLIP's cosines by e to the power of {scale}, which is no finite number"
    )]
    LogitScale {
        /// The model's folder.
        folder: String,
        /// The logarithm that it says.
        scale: f64,
    },
    /// Numbers that no picture is made of.
    #[error("{} has numbers that are NaN, infinite or too large: {cause}", .quantity.name())]
    NotFinite {
        /// The quantity.
        quantity: Quantity,
        /// Their cause.
        cause: Cause,
    },
    /// Less memory than the networks take.
    #[error("{0}; one network at a time takes less, and bf16 takes half of what f32 does")]
    Memory(#[from] OutOfMemory),
    /// A component is missing, or its files are wrong.
    #[error("{0}")]
    Families(#[from] families::Error),
    /// A file of tensors is wrong.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// The caption cannot be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] clip::TokenizerError),
    /// An image cannot be edited.
    #[error(transparent)]
    Edit(#[from] crate::EditError),
    /// A picture cannot be prepared for the image encoder.
    #[error(transparent)]
    Preprocess(#[from] images::PreprocessError),
}

impl Error {
    /// Steps that no schedule can be cut into.
    pub(crate) fn steps(
        setting: impl Into<String>,
        steps: &TimestepRespacing,
        error: &StepsError,
    ) -> Self {
        let must = match error {
            StepsError::Count { timesteps, .. } => format!(
                "it must lie between 1 and {timesteps}, the timesteps that the solver can visit with this model"
            ),
            error => error.to_string(),
        };
        Self::setting(setting, steps, &must)
    }

    /// A number that is not `must`.
    pub(crate) fn setting(setting: impl Into<String>, value: impl ToString, must: &str) -> Self {
        Self::Setting { setting: setting.into(), value: value.to_string(), must: must.to_owned() }
    }
}

/// Whose an error is to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Whoever asked for something that cannot be done.
    User,
    /// Whoever brought the model.
    Model,
    /// Whoever runs the machine: the same request may succeed on another, or later.
    Machine,
}

impl Error {
    /// Whose it is to mend. The pipeline is as it was before, whichever it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(_)
            | Self::Weights(
                weights::Error::Memory { .. }
                | weights::Error::Io { .. }
                | weights::Error::Place { .. },
            )
            | Self::Families(families::Error::Download { .. })
            | Self::Families(families::Error::Weights(
                weights::Error::Memory { .. }
                | weights::Error::Io { .. }
                | weights::Error::Place { .. },
            )) => ErrorKind::Machine,
            Self::Families(_)
            | Self::Mismatch { .. }
            | Self::Index { .. }
            | Self::LogitScale { .. }
            | Self::NotFinite { .. }
            | Self::Weights(_) => ErrorKind::Model,
            _ => ErrorKind::User,
        }
    }

    /// Whether there is less memory than it takes.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(
            self,
            Self::Memory(_)
                | Self::Weights(weights::Error::Memory { .. })
                | Self::Families(families::Error::Weights(weights::Error::Memory { .. }))
        )
    }

    /// Whether it is about the picture that was brought, whatever the model.
    pub fn is_about_image(&self) -> bool {
        match self {
            Self::Preprocess(_) => true,
            Self::Mismatch { mismatch, .. } => SIDES.contains(&mismatch.quantity),
            _ => false,
        }
    }
}

/// The end of a sentence about a setting of the other prior.
fn other_prior(autoregressive: bool) -> &'static str {
    match autoregressive {
        true => "autoregressive prior draws, which has no steps: it draws code by code",
        false => "diffusion prior draws, which has no codes",
    }
}

/// The end of a sentence about something that another repository's model does.
fn elsewhere(repository: Option<&str>) -> String {
    repository.map_or_else(String::new, |repository| format!(": {repository} does"))
}

/// The end of a sentence about a model that is not there.
fn built_in_list(names: &[&str]) -> String {
    match names {
        [] => "a model is a folder".to_owned(),
        names => format!("a model is a folder, or built in: {}", names.join(", ")),
    }
}

fn prior_name(kind: PriorKind) -> &'static str {
    match kind {
        PriorKind::Diffusion => "diffusion",
        PriorKind::Autoregressive => "autoregressive",
    }
}
