//! Finds the folder that a path means: itself, the one snapshot of a repository in the Hugging Face Hub's cache, or what is
//! cached under a name of the Hub's.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use files::contents::{self, Contents};
use files::whole_file;

use crate::describe::whole;
use crate::error::listed;
use crate::weight_files::variants;
use crate::{Error, Folder};

/// The model that is wanted, for messages.
const WANTED: &str = "a model is a folder in Karlo's layout, as kakaobrain/karlo-v1-alpha is";

impl Folder {
    /// The folder that a user means by `path`. Whether it holds a model is seen when its parts are opened.
    pub fn locate(path: &Path) -> Result<Self, Error> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self::on_disk(snapshot(path)?)),
            Ok(_) => Err(file(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => named_on_the_hub(path, error),
            Err(error) => Err(Error::io("open the folder", path.display())(error)),
        }
    }

    /// Refuses a variant that no part of this model has weights of.
    pub fn check_variant(&self, variant: &str) -> Result<(), Error> {
        let parts = self.folder_names();
        let parts = parts.iter().map(|part| self.component(part).file_names());
        let mut found = variants(&self.file_names());
        parts.for_each(|files| found.extend(variants(&files)));
        if found.contains(variant) {
            return Ok(());
        }
        let found: Vec<String> = found.into_iter().collect();
        Err(Error::NoVariant {
            folder: self.to_string(),
            variant: variant.to_owned(),
            found: match found.is_empty() {
                true => "all of its weights are plain".to_owned(),
                false => format!("there is {}", listed(&found)),
            },
        })
    }
}

/// The folder itself, or where it is a repository in the Hub's cache, its snapshot.
fn snapshot(path: &Path) -> Result<PathBuf, Error> {
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

/// Describes a file that was named in the place of a folder.
fn file(path: &Path) -> Error {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    // Whoever opens a fifo waits for its writer.
    let bytes = path.is_file().then(|| first_bytes(path).ok()).flatten();
    let found = bytes.and_then(|bytes| Contents::of(&bytes));
    let archive =
        matches!(found, Some(Contents::Gzip | Contents::Zstd | Contents::SevenZip | Contents::Tar))
            || found == Some(Contents::Zip) && files::extensions::extension(path) == "zip";
    let advice = match found {
        _ if archive => "please unpack it, and name the folder".to_owned(),
        Some(Contents::Json) => {
            let folder = whole(parent).unwrap_or_else(|| parent.display().to_string());
            format!("the model is in {folder}")
        }
        Some(Contents::LfsPointer | Contents::Html | Contents::Empty) => {
            found.map_or("", Contents::advice).to_owned()
        }
        _ => WANTED.to_owned(),
    };
    Error::NoModel {
        path: path.display().to_string(),
        found: match found {
            Some(found) => found.to_string(),
            None => "a file".to_owned(),
        },
        advice,
    }
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, contents::ENOUGH as u64), &mut bytes)?;
    Ok(bytes)
}

/// The snapshot of a repository that lies in the Hub's cache, or how to get it there.
fn named_on_the_hub(path: &Path, error: io::Error) -> Result<Folder, Error> {
    let Some((owner, name)) = repository(path) else {
        return Err(Error::io("open the folder", path.display())(error));
    };
    let cached = cache().map(|cache| cache.join(format!("models--{owner}--{name}")));
    match cached.filter(|cached| cached.join("snapshots").is_dir()) {
        Some(cached) => Ok(Folder::on_disk(snapshot(&cached)?)),
        None => Err(Error::NoModel {
            path: path.display().to_string(),
            found: "neither a folder nor in the Hugging Face Hub's cache".to_owned(),
            advice: format!(
                "where it is a model of the Hub's, `hf download {owner}/{name} --local-dir {name}` fetches it into the folder {name}"
            ),
        }),
    }
}

/// The owner and the name of a repository, where a path could be one of the Hub's.
fn repository(path: &Path) -> Option<(&str, &str)> {
    let (owner, name) = path.to_str()?.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    (fits(owner) && fits(name) && !Path::new(owner).exists()).then_some((owner, name))
}

/// Where the Hub's own tools keep what they downloaded.
fn cache() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let hub = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
    hub.or_else(|| variable("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/huggingface/hub")))
}
