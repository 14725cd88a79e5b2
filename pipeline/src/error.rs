//! Everything that can go wrong between a caption and a picture.

use layers::OutOfMemory;

use crate::finite::Quantity;
use crate::relations::SIDES;

/// One sentence each, which names the file, the setting and the number.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caption has no words.
    #[error("the caption is empty: please say what the picture should show")]
    EmptyCaption,
    /// The caption holds a character that ends strings.
    #[error("the caption has a NUL character at byte {position}")]
    NulInCaption {
        /// Where it is, in bytes.
        position: usize,
    },
    /// More or fewer steps than a solver can cut a schedule into.
    #[error(
        "--{stage}-steps is {steps}: it must lie between 1 and {most}, the timesteps that the solver can visit with this model"
    )]
    Steps {
        /// The stage's name.
        stage: &'static str,
        /// What was asked for.
        steps: usize,
        /// The timesteps that can be visited.
        most: usize,
    },
    /// A guidance scale that is not finite.
    #[error("--{setting} is {value}: it must be a finite number")]
    Guidance {
        /// Which scale it is.
        setting: &'static str,
        /// What was asked for.
        value: f64,
    },
    /// An interval of timesteps that none lies in.
    #[error(
        "--guidance-interval is {low},{high}: both lie between 0, the clean picture, and 1, noise, the first below the second"
    )]
    GuidanceInterval {
        /// Where it begins.
        low: f64,
        /// Where it ends.
        high: f64,
    },
    /// A choice among nothing, or among more than anybody waits for.
    #[error("--{setting} is {count}: one is chosen among 1 to {max}", max = crate::settings::MOST_CANDIDATES)]
    Candidates {
        /// Of what.
        setting: &'static str,
        /// How many were asked for.
        count: usize,
    },
    /// A temperature that no probabilities have.
    #[error("--prior-temperature is {0}: it must be a finite number above 0")]
    Temperature(f64),
    /// A share of the probability that holds no code, or more than all.
    #[error("--prior-top-p is {0}: it must lie above 0 and be 1 at most")]
    TopP(f64),
    /// Quantiles that are none or in no order.
    #[error(
        "a closeness from quantile {from} to {to}: both lie between 0 and 1, the first below the second"
    )]
    Closeness {
        /// The lower one.
        from: f64,
        /// The upper one.
        to: f64,
    },
    /// More or fewer calls of the decoder than an inversion can make.
    #[error(
        "--calls is {calls}: with this model an inversion asks the decoder {least} to {most} times"
    )]
    Calls {
        /// What was asked for.
        calls: usize,
        /// For one step.
        least: usize,
        /// For as many steps as there are timesteps.
        most: usize,
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
        /// What is wrong with it.
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
        /// What was computed.
        quantity: Quantity,
        /// What made them.
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
    ImageProcessor(#[from] clip::ImageProcessorError),
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
            Self::ImageProcessor(_) => true,
            Self::Mismatch { quantity, .. } => SIDES.contains(quantity),
            _ => false,
        }
    }
}
