//! Errors of opening and training a judge.

use std::path::PathBuf;

/// A judge does not open or cannot be trained; one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The weights do not fit the network, or cannot be saved.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// There is no such judge yet.
    #[error("no judge of everyday things ships yet: its training is still to be run")]
    NoWeights,
    /// The training failed.
    #[error(transparent)]
    Training(#[from] training::Error),
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}
