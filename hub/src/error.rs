//! Everything that can go wrong, each in one sentence.

/// An error of the Hub, of the way to it, or of the cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No variable says where the cache is.
    #[error("there is no folder for the Hub's cache: neither HF_HOME nor HOME is set")]
    NoCache,
    /// The observer stopped the download.
    #[error("the download was interrupted; the next run resumes it")]
    Interrupted,
}
