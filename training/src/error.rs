//! What can go wrong while training.

use std::path::PathBuf;

use files::lock::LockError;

/// One clear sentence for each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The loss or its gradient is no longer a number.
    #[error(
        "the loss of `{leg}` is {loss} at step {step} (learning rate {learning_rate:.2e}): training has diverged, {}",
        match checkpoint {
            Some(path) => format!("and the last good checkpoint is {}", path.display()),
            None => "before its first checkpoint".to_owned(),
        }
    )]
    Diverged {
        /// Which model.
        leg: String,
        /// The step, from 0.
        step: u64,
        /// The rate of that step.
        learning_rate: f64,
        /// What the loss was.
        loss: f64,
        /// The last checkpoint before it.
        checkpoint: Option<PathBuf>,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A checkpoint belongs to another model or recipe.
    #[error("{path} does not fit this recipe: {why}")]
    Checkpoint {
        /// Which checkpoint.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// There is nothing to learn from.
    #[error("{0}")]
    Data(String),
    /// A recipe cannot be used.
    #[error("the recipe is wrong: {0}")]
    Recipe(String),
    /// A part that an earlier leg makes is not there or does not open.
    #[error("{0}")]
    Families(#[from] families::Error),
    /// A file of tensors cannot be read or written.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// What was trained so far cannot draw.
    #[error(transparent)]
    Samples(Box<pipeline::Error>),
    /// The page of plots could not be drawn.
    #[error("{path}: {cause}")]
    Plots {
        /// The page.
        path: PathBuf,
        /// What went wrong.
        cause: String,
    },
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

    /// For `map_err`: the path and what happened to it.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause: cause.to_string() }
    }
}
