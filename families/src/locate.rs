//! Opens the folder that a user means, or the file that is a model by itself, and describes any other file.

use std::path::Path;
use std::{fs, io};

use files::contents::{self, Contents};
use weights::{Error, Folder};

use crate::clip_files::{is_clip_file, only_clip_file};
use crate::describe::whole;

/// A description of models, for messages.
const MODEL: &str = "a model is a folder: in Karlo's layout, as kakaobrain/karlo-v1-alpha is, or with all files that Kakao \
                     Brain or GLIDE's authors publish; a file is one where it holds a CLIP in OpenAI's or open_clip's layout";

/// The folder that a user means by `path`. Whether it holds a model is known when its components are opened.
pub fn locate(path: &Path) -> Result<Folder, Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => folder(path),
        Ok(_) => file(path),
        Err(error) => Err(Error::io("open the folder", path.display())(error)),
    }
}

/// The folder itself, or of one that holds a CLIP's file alone, that file.
fn folder(path: &Path) -> Result<Folder, Error> {
    let folder = Folder::open(path)?;
    Ok(match only_clip_file(&folder) {
        Some(file) => folder.with_weights_file(&file),
        None => folder,
    })
}

/// The folder of a file that is a model by itself, a CLIP. An error that describes any other.
fn file(path: &Path) -> Result<Folder, Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    // Whoever opens a fifo waits for its writer.
    let bytes = path.is_file().then(|| first_bytes(path).ok()).flatten();
    let found = bytes.and_then(|bytes| Contents::of(&bytes));
    let archive =
        matches!(found, Some(Contents::Gzip | Contents::Zstd | Contents::SevenZip | Contents::Tar))
            || found == Some(Contents::Zip) && files::extensions::extension(path) == "zip";
    let is_weights =
        matches!(found, Some(Contents::Zip | Contents::Pickle | Contents::Safetensors));
    if is_weights
        && !archive
        && let Some(name) = path.file_name().and_then(|name| name.to_str())
        && is_clip_file(path)?
    {
        return Ok(Folder::open(parent)?.with_weights_file(name));
    }
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
    Err(Error::NoModel {
        path: path.display().to_string(),
        found: match found {
            Some(found) => found.to_string(),
            None => "a file".to_owned(),
        },
        advice,
    })
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, contents::ENOUGH as u64), &mut bytes)?;
    Ok(bytes)
}
