//! Errors of training.

use std::path::{Path, PathBuf};

use files::lock::LockError;

/// Why a model could not be trained, one clear sentence each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The loss or its gradient is no longer a number.
    #[error(
        "the loss of `{model}` is {loss} at step {step} (learning rate {learning_rate:.2e}): training has diverged, {}",
        match checkpoint {
            Some(path) => format!("and the last good checkpoint is {}", path.display()),
            None => "before its first checkpoint".to_owned(),
        }
    )]
    Diverged {
        /// The model's name.
        model: String,
        /// The step, from 0.
        step: u64,
        /// The rate of that step.
        learning_rate: f64,
        /// The loss, or the norm of its gradient.
        loss: f64,
        /// The last checkpoint before it.
        checkpoint: Option<PathBuf>,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: String,
    },
    /// A checkpoint belongs to another model or recipe.
    #[error("{path} does not fit this recipe: {why}")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// The difference.
        why: String,
    },
    /// There is nothing to learn from.
    #[error("{0}")]
    Data(String),
    /// A recipe cannot be used.
    #[error("the recipe is wrong: {0}")]
    Recipe(String),
    /// A recipe has no such part.
    #[error(
        "the recipe has no part `{0}`, which says how it is trained: the presets small, tiny and paper have one"
    )]
    NoPart(&'static str),
    /// The model has no tokenizer yet.
    #[error(
        "{} has no tokenizer, with which `{model}` reads captions: it is trained before",
        folder.display()
    )]
    NoTokenizer {
        /// The model folder.
        folder: PathBuf,
        /// The model that is to be trained.
        model: &'static str,
    },
    /// The model folder is of another family than the model that is to be trained.
    #[error(
        "{} holds a model of {found}, and `{model}` is a part of {wanted}: it goes into another folder, or a new one",
        folder.display()
    )]
    OtherFamily {
        /// The model folder.
        folder: PathBuf,
        /// Its family.
        found: &'static str,
        /// The family of the model that is to be trained.
        wanted: &'static str,
        /// The model that is to be trained.
        model: String,
    },
    /// A component that is trained before is not there or does not open.
    #[error(transparent)]
    Families(#[from] families::Error),
    /// A file of tensors cannot be read or written.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// The model as trained so far cannot draw samples.
    #[error(transparent)]
    Samples(Box<pipeline::Error>),
    /// The page of plots could not be drawn.
    #[error("{path}: {cause}")]
    Plots {
        /// The page.
        path: PathBuf,
        /// The problem.
        cause: String,
    },
    /// Another process is missing.
    #[error(transparent)]
    Group(#[from] collectives::Error),
    /// A batch cannot be dealt to the processes.
    #[error(
        "`{model}` has {batch} pictures a step in {parts} parts (accumulate), which cannot be dealt to {world} processes: its batch must be a multiple of {}",
        parts * world
    )]
    Batch {
        /// The model's name.
        model: String,
        /// Images a step.
        batch: usize,
        /// Parts of a batch.
        parts: usize,
        /// The number of processes.
        world: usize,
    },
    /// Processes train different things.
    #[error("rank {rank} and rank 0 differ in {what} of `{model}`: {own}, and there {first}")]
    Disagreement {
        /// The rank.
        rank: usize,
        /// The model's name.
        model: String,
        /// The thing that differs.
        what: &'static str,
        /// That of the rank.
        own: String,
        /// That of rank 0.
        first: String,
    },
    /// A backward pass failed.
    #[error("the backward pass failed: {0}")]
    Backward(tch::TchError),
    /// A tokenizer could not be trained or used.
    #[error("{0}")]
    Tokenizer(String),
}

impl From<pipeline::Error> for Error {
    fn from(error: pipeline::Error) -> Self {
        Self::Samples(Box::new(error))
    }
}

impl Error {
    /// For `map_err`: the folder, and who else writes to it.
    pub fn lock(path: impl Into<PathBuf>) -> impl FnOnce(LockError) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause: cause.to_string() }
    }

    /// For `map_err`: the path of a file that could not be written.
    pub fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let io = weights::Error::io("write", path.display());
        move |cause| Self::Weights(io(cause))
    }

    /// For `map_err`: the path and what happened to it.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause: cause.to_string() }
    }
}
