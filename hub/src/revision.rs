//! The files of a repository at one commit.

use crate::{Digest, Repository};

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
    /// The digest that its contents must have; `None` for a file that lies in the cache's snapshot itself, without a blob.
    pub digest: Option<Digest>,
}

/// Whether a text is a commit: 40 hexadecimal digits in lower case.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(Digest::parse(text), Some(Digest::Git(_)))
}

/// Whether a path of a repository stays in the folder that it is put into.
pub(crate) fn is_safe(path: &str) -> bool {
    let fits = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
    path.split('/').all(fits)
}
