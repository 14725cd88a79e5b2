//! The models that a cache holds.

use std::fs;
use std::path::{Path, PathBuf};

use files::walk::is_hidden;

use crate::cache::{names, read_ref};
use crate::{Error, Repository};

/// A repository in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedRepository {
    /// Its name, without a revision.
    pub repository: Repository,
    /// Bytes of its files on the disk.
    pub size: u64,
    /// The commits of its snapshots, each with its folder.
    pub snapshots: Vec<(String, PathBuf)>,
    /// Its branches and tags, each with the commit that it meant when it was asked for.
    pub refs: Vec<(String, String)>,
}

/// All models in a cache, in the order of their names; none where there is no cache.
pub(crate) fn cached_repositories(cache: &Path) -> Result<Vec<CachedRepository>, Error> {
    match fs::read_dir(cache) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read the folder", cache)(error)),
        Ok(_) => {}
    }
    let names = names(cache);
    Ok(names.iter().filter_map(|name| read(cache, name)).collect())
}

/// A repository in a folder of this name, where it is one.
fn read(cache: &Path, name: &str) -> Option<CachedRepository> {
    let (owner, rest) = name.strip_prefix("models--")?.split_once("--")?;
    let repository = Repository::parse(&format!("{owner}/{rest}"))?;
    let folder = cache.join(name);
    let snapshots = folder.join("snapshots");
    let commits = names(&snapshots);
    let mut refs = Vec::new();
    read_refs(&folder.join("refs"), "", &mut refs);
    refs.sort();
    Some(CachedRepository {
        repository,
        size: blobs(&folder.join("blobs")) + files(&snapshots),
        snapshots: commits
            .into_iter()
            .map(|commit| (commit.clone(), snapshots.join(commit)))
            .collect(),
        refs,
    })
}

fn read_refs(folder: &Path, prefix: &str, refs: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_refs(&entry.path(), &format!("{name}/"), refs);
        } else if let (false, Ok(Some(commit))) =
            (is_hidden(&entry.file_name()), read_ref(&entry.path()))
        {
            refs.push((name, commit));
        }
    }
}

/// Bytes of the blobs, those behind links to the store of all repositories too.
fn blobs(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| fs::metadata(entry.path()).ok());
    sizes.filter(fs::Metadata::is_file).map(|metadata| metadata.len()).sum()
}

/// Bytes of the files below a folder that are no links to blobs.
fn files(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => files(&entry.path()),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.map(size).sum()
}
