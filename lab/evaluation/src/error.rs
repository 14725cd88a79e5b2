//! What can go wrong while judging.

use std::path::PathBuf;

/// One clear sentence for each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The judge's weights do not open or cannot be saved.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// The model cannot draw.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The judge's training failed.
    #[error(transparent)]
    Training(#[from] training::Error),
    /// A covariance of fewer pictures than it has dimensions.
    #[error(
        "{pictures} pictures are too few for a Frechet distance over {features} features: it takes {least} at least",
        least = features + 1
    )]
    TooFewPictures {
        /// How many there are.
        pictures: i64,
        /// The width of the features.
        features: i64,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}
