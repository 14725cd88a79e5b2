//! The Hugging Face Hub's cache: the snapshots of repositories that its tools fetched.

use std::env;
use std::path::{Path, PathBuf};

use files::whole_file;

use crate::error::listed;
use crate::{Error, Folder};

/// The folder itself, or where it is a repository in the Hub's cache, its snapshot.
pub fn snapshot(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let snapshots = path.join("snapshots");
    if !name.starts_with("models--") || !snapshots.is_dir() {
        return Ok(path.to_owned());
    }
    // A commit's 40 digits, and a line feed.
    if let Ok(main) = whole_file::read(&path.join("refs/main"), 256) {
        let main = snapshots.join(String::from_utf8_lossy(&main).trim());
        if main.is_dir() {
            return Ok(main);
        }
    }
    let names = Folder::on_disk(snapshots.clone()).folder_names();
    match &names[..] {
        [only] => Ok(snapshots.join(only)),
        [] => Err(Error::NoModel {
            path: path.display().to_string(),
            found: "a repository in the Hugging Face Hub's cache without a snapshot".to_owned(),
            advice: "please download it again".to_owned(),
        }),
        several => Err(Error::NoModel {
            path: snapshots.display().to_string(),
            found: format!("a folder of {} snapshots", several.len()),
            advice: format!("one of them must be named: {}", listed(several)),
        }),
    }
}

/// The folder of the repository `owner/name` in the cache, where it is there.
pub fn cached_repository(owner: &str, name: &str) -> Option<PathBuf> {
    let cached = cache()?.join(format!("models--{owner}--{name}"));
    cached.join("snapshots").is_dir().then_some(cached)
}

/// Where the Hub's own tools keep what they downloaded.
fn cache() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let hub = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
    hub.or_else(|| variable("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/huggingface/hub")))
}
