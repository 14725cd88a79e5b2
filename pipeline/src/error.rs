//! Everything that can go wrong between a caption and a picture.

use diffusion::StepsError;
use kernels::OutOfMemory;

use crate::finite::Quantity;
use crate::relations::SIDES;

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
        setting: &'static str,
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
    /// A component that a stage needs is not there.
    #[error("{folder} has no {part}/, which this needs{advice}")]
    Missing {
        /// The model's folder.
        folder: String,
        /// The component's folder in it.
        part: &'static str,
        /// How it can be completed, or what the folder holds instead; or empty.
        advice: String,
    },
    /// A folder that was given to complete a model, and does not.
    #[error(
        "{flag} {folder}: this is neither a {part} (it has no config.json) nor a model with one in {part}/{advice}"
    )]
    NotThePart {
        /// The flag it was given with.
        flag: &'static str,
        /// The folder.
        folder: String,
        /// The component's name.
        part: &'static str,
        /// The folder's contents instead, or empty.
        advice: String,
    },
    /// Two components that do not fit each other.
    #[error(
        "{first} and {second} do not fit each other: {quantity} is {one} in the first and {other} in the second"
    )]
    Mismatch {
        /// The component that comes first in the chain, and where it lies.
        first: String,
        /// The other one.
        second: String,
        /// What should be equal.
        quantity: &'static str,
        /// Its value in the first.
        one: i64,
        /// Its value in the second.
        other: i64,
    },
    /// The model's own defaults cannot be read.
    #[error("model_index.json of {folder}: {reason}")]
    Index {
        /// The model's folder.
        folder: String,
        /// What is wrong there.
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
        cause: String,
    },
    /// Less memory than the networks take.
    #[error(
        "{0}; --low-memory holds one network at a time, and --dtype bf16 takes half of what f32 does"
    )]
    Memory(#[from] OutOfMemory),
    /// A component's files are wrong.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// The caption cannot be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] clip::TokenizerError),
    /// A picture cannot be prepared for the image encoder.
    #[error(transparent)]
    Preprocess(#[from] images::PreprocessError),
}

impl Error {
    /// Steps that no schedule can be cut into.
    pub(crate) fn steps(setting: &'static str, error: &StepsError) -> Self {
        let most = error.timesteps;
        Self::Setting {
            setting,
            value: error.steps.to_string(),
            must: format!(
                "it must lie between 1 and {most}, the timesteps that the solver can visit with this model"
            ),
        }
    }

    /// A number that is not `must`.
    pub(crate) fn number(setting: &'static str, value: impl ToString, must: &str) -> Self {
        Self::Setting { setting, value: value.to_string(), must: must.to_owned() }
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
            ) => ErrorKind::Machine,
            Self::Missing { .. }
            | Self::NotThePart { .. }
            | Self::Mismatch { .. }
            | Self::Index { .. }
            | Self::LogitScale { .. }
            | Self::NotFinite { .. }
            | Self::Weights(_) => ErrorKind::Model,
            _ => ErrorKind::User,
        }
    }

    /// Whether it is about the picture that was brought, whatever the model.
    pub fn is_about_picture(&self) -> bool {
        match self {
            Self::Preprocess(_) => true,
            Self::Mismatch { quantity, .. } => SIDES.contains(quantity),
            _ => false,
        }
    }
}
