//! The models that a cache holds.

use std::path::PathBuf;

/// A repository in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedRepository {
    /// The user or organisation.
    pub owner: String,
    /// The repository's own name.
    pub name: String,
    /// Bytes of its blobs on the disk.
    pub size: u64,
    /// The commits of its snapshots, each with its folder.
    pub snapshots: Vec<(String, PathBuf)>,
    /// Its branches and tags, each with the commit that it meant when it was asked for.
    pub refs: Vec<(String, String)>,
}
