//! Errors of an evaluation.

use std::path::{Path, PathBuf};

/// An evaluation fails; one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The judge does not open.
    #[error(transparent)]
    Judge(#[from] judge::Error),
    /// The model cannot sample.
    #[error(transparent)]
    Pipeline(Box<pipeline::Error>),
    /// A covariance of no more images than it has dimensions.
    #[error(
        "{images} pictures are too few for a Frechet distance over {features} features: it takes {least} at least",
        least = features + 1
    )]
    TooFewImages {
        /// The number of images.
        images: i64,
        /// The width of the features.
        features: i64,
    },
    /// Several processes have no folder in which they find each other's images.
    #[error("{processes} processes share the work by a folder of samples, and none is named")]
    NoFolder {
        /// The number of processes.
        processes: usize,
    },
    /// Another process did not sample its images.
    #[error("{} did not come within {minutes} minutes: its process has stopped, and starting all again goes on", path.display())]
    NoSheet {
        /// The sheet of images.
        path: PathBuf,
        /// The time that was waited.
        minutes: u64,
    },
    /// A file of verdicts does not have one on each image.
    #[error("line {line}: {what}")]
    Verdicts {
        /// The line, counted from 1.
        line: usize,
        /// The reason.
        what: String,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        cause: String,
    },
}

impl Error {
    /// The error of writing to `path`.
    pub fn write(path: &Path, cause: impl ToString) -> Self {
        Self::Write { path: path.to_owned(), cause: cause.to_string() }
    }
}

impl From<pipeline::Error> for Error {
    fn from(error: pipeline::Error) -> Self {
        Self::Pipeline(Box::new(error))
    }
}
