//! Opens the folder that a path means: the folder itself, or the snapshot in one of the Hugging Face Hub's cache.

use std::path::{Path, PathBuf};
use std::{fs, io};

use files::contents::{self, Contents};
use files::whole_file;
use weights::{Error, Folder, listed};

use crate::describe::whole;

/// A description of models, for messages.
const MODEL: &str = "a model is a folder: in Karlo's layout, as kakaobrain/karlo-v1-alpha is, or with all files of GLIDE";

/// The folder that a user means by `path`. Whether it holds a model is known when its components are opened.
pub fn locate(path: &Path) -> Result<Folder, Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Folder::open(snapshot(path)?),
        Ok(_) => Err(file(path)),
        Err(error) => Err(Error::io("open the folder", path.display())(error)),
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
        _ => MODEL.to_owned(),
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

/// The folder itself, or where it is a repository in the Hugging Face Hub's cache (`models--OWNER--NAME`), its snapshot: the one
/// that its `refs/main` names, or the only one.
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
    let names = Folder::open(&snapshots)?.folder_names();
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
