//! The files of a repository at one commit.

use crate::Repository;

/// A repository at the commit that its revision means today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The repository, with its revision as it was named.
    pub repository: Repository,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Its files, in the order of their paths; offline those that the cache has.
    pub files: Vec<RemoteFile>,
}

impl Revision {
    /// The file at this path below the repository's root.
    pub fn file(&self, path: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// A file of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path below the repository's root, with `/` between folders.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The digest that its contents must have.
    pub digest: Digest,
}

/// The name of a file's contents: that of its blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// The SHA-256 of a large file (Git LFS), 64 hexadecimal digits.
    Sha256(String),
    /// Git's SHA-1 of a small one: of `blob LENGTH`, a zero byte and the contents, 40 hexadecimal digits.
    Git(String),
}
