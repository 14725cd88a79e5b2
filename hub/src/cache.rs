//! The cache as the Hub's Python client lays it out: blobs by their digests, and snapshots of links to them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use files::{atomic, whole_file};

use crate::revision::is_commit;
use crate::{Digest, Error, RemoteFile, Repository, Revision};

/// The folder of one repository in a cache.
pub(crate) struct RepositoryCache {
    cache: PathBuf,
    name: String,
}

impl RepositoryCache {
    pub(crate) fn new(cache: &Path, repository: &Repository) -> Self {
        let name = format!("models--{}--{}", repository.owner, repository.name);
        Self { cache: cache.to_owned(), name }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder().join("blobs").join(digest.digits())
    }

    /// The blob's beginning, which the next run resumes.
    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.folder().join("blobs").join(format!("{}.incomplete", digest.digits()))
    }

    pub(crate) fn lock(&self, digest: &Digest) -> PathBuf {
        self.cache.join(".locks").join(&self.name).join(format!("{}.lock", digest.digits()))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// The snapshot of a revision, if there is one. Where none is named and `main` is not known, the only one.
    pub(crate) fn snapshot_of(&self, repository: &Repository) -> Result<Option<PathBuf>, Error> {
        snapshot_in(&self.folder(), repository.revision.as_deref())
    }

    /// Whether the snapshot has the whole file, as far as its size tells.
    pub(crate) fn has(&self, commit: &str, file: &RemoteFile) -> bool {
        is_whole(&self.snapshot(commit).join(&file.path), file.size)
    }

    /// Makes the snapshot's link to the file's blob.
    pub(crate) fn link(
        &self,
        commit: &str,
        file: &RemoteFile,
        digest: &Digest,
    ) -> Result<(), Error> {
        let link = self.snapshot(commit).join(&file.path);
        let up = "../".repeat(2 + file.path.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", digest.digits()));
        let is_there = || fs::read_link(&link).is_ok_and(|there| there == target);
        if is_there() {
            return Ok(());
        }
        let failed = |error| Error::io("write the link", &link)(error);
        fs::create_dir_all(atomic::folder_of(&link)).map_err(failed)?;
        match symlink(&target, &link) {
            // Of another process that does the same.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_there() => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&link).map_err(failed)?;
                symlink(&target, &link).map_err(failed)
            }
            linked => linked.map_err(failed),
        }
    }

    /// Writes which commit a branch or a tag means.
    pub(crate) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), Error> {
        let path = self.folder().join("refs").join(revision);
        if whole_file::read(&path, 256).is_ok_and(|there| there == commit.as_bytes()) {
            return Ok(());
        }
        self.write(&path, commit.as_bytes())
    }

    /// Notes that a commit has no such file, so that nobody asks again.
    pub(crate) fn write_absence(&self, commit: &str, path: &str) -> Result<(), Error> {
        self.write(&self.folder().join(".no_exist").join(commit).join(path), b"")
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let folder = fs::create_dir_all(atomic::folder_of(path));
        folder.and_then(|()| atomic::write(path, bytes, true)).map_err(Error::io("write", path))
    }

    /// The files of a snapshot, each with the digest by which its blob is called.
    pub(crate) fn revision(&self, repository: &Repository, snapshot: &Path) -> Revision {
        let commit = snapshot.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = Vec::new();
        list(snapshot, "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Revision { repository: repository.clone(), commit, files }
    }
}

/// Whether there is a file of this size, behind however many links.
pub(crate) fn is_whole(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Adds the files of a snapshot's folder. A link to nothing is none.
fn list(folder: &Path, prefix: &str, files: &mut Vec<RemoteFile>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (Ok(name), Ok(metadata)) =
            (entry.file_name().into_string(), fs::metadata(entry.path()))
        else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            list(&entry.path(), &format!("{path}/"), files);
        } else if metadata.is_file() {
            let blob = fs::read_link(entry.path()).ok();
            let digits = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
            files.push(RemoteFile {
                path,
                size: metadata.len(),
                digest: digits.and_then(Digest::parse),
            });
        }
    }
}

/// The folder itself, or where it is a repository's in a cache of the Hub's, its snapshot of `main`, or its only one.
///
/// # Errors
///
/// Where the repository has no snapshot, or several and none of `main`.
pub fn snapshot(folder: &Path) -> Result<PathBuf, Error> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let snapshots = folder.join("snapshots");
    if !name.starts_with("models--") || !snapshots.is_dir() {
        return Ok(folder.to_owned());
    }
    if let Some(snapshot) = snapshot_in(folder, None)? {
        return Ok(snapshot);
    }
    Err(match names(&snapshots) {
        none if none.is_empty() => Error::NoSnapshot { folder: folder.display().to_string() },
        several => {
            Error::SeveralSnapshots { folder: snapshots.display().to_string(), snapshots: several }
        }
    })
}

/// The snapshot of a revision in a repository's folder, if there is one.
fn snapshot_in(folder: &Path, revision: Option<&str>) -> Result<Option<PathBuf>, Error> {
    let snapshots = folder.join("snapshots");
    let commit = match revision {
        Some(commit) if is_commit(commit) => Some(commit.to_owned()),
        _ => read_ref(&folder.join("refs").join(revision.unwrap_or("main")))?,
    };
    if let Some(snapshot) = commit.map(|commit| snapshots.join(commit)).filter(|path| path.is_dir())
    {
        return Ok(Some(snapshot));
    }
    match &names(&snapshots)[..] {
        [only] if revision.is_none() => Ok(Some(snapshots.join(only))),
        _ => Ok(None),
    }
}

/// The commit that a file of `refs` holds; a line feed behind it is none of it.
pub(crate) fn read_ref(path: &Path) -> Result<Option<String>, Error> {
    match whole_file::read(path, 256) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(Some(text.trim().to_owned()).filter(|commit| is_commit(commit)))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(_) if path.is_dir() => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The names of the folders in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Marks the cache's folder as one that backups pass over, as Python's client does.
pub(crate) fn tag(cache: &Path) -> Result<(), Error> {
    let tag = cache.join("CACHEDIR.TAG");
    if tag.exists() {
        return Ok(());
    }
    let text = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by unclip.\n\
        # For information about cache directory tags, see:\n#\thttps://bford.info/cachedir/\n";
    atomic::write(&tag, text.as_bytes(), true).map_err(Error::io("write", &tag))
}
