//! Pictures and captions that a user brings.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use image::RgbImage;
use pipeline::{Use, check_caption, read_picture};

use crate::output::slug;

/// Reads a picture; says on standard error where only a part of the file is used.
pub fn open_picture(path: &Path) -> Result<RgbImage> {
    let read = read_picture(path)?;
    if read.animated {
        eprintln!(
            "unclip: {} is animated: its first frame is used",
            path.display()
        );
    }
    Ok(read.picture)
}

/// A file's name without its ending, as a part of other names.
pub fn stem(path: &Path) -> String {
    slug(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// A picture or a caption.
pub enum End {
    /// What a file shows.
    Picture(RgbImage),
    /// Words.
    Caption(String),
}

/// What a command line names: a file where there is one, else a caption.
pub enum Given {
    /// A file.
    File(PathBuf),
    /// Words.
    Caption(String),
}

impl Given {
    /// Refuses files that are not there and captions that say nothing.
    pub fn new(given: &str) -> Result<Self> {
        if Path::new(given).is_file() {
            return Ok(Self::File(PathBuf::from(given)));
        }
        ensure!(
            !names_a_picture(given),
            "{given}: there is no such file, and a caption does not end like one"
        );
        check_caption(given)?;
        Ok(Self::Caption(given.to_owned()))
    }
}

impl End {
    /// A picture where there is a file, else a caption.
    pub fn read(given: &str) -> Result<Self> {
        Ok(match Given::new(given)? {
            Given::File(path) => Self::Picture(open_picture(&path)?),
            Given::Caption(caption) => Self::Caption(caption),
        })
    }

    /// What turns it into an image embedding.
    pub fn needs(&self) -> Use {
        match self {
            Self::Picture(_) => Use::ImageEncoder,
            Self::Caption(_) => Use::Prior,
        }
    }
}

/// Whether a word ends as the files of pictures do.
fn names_a_picture(given: &str) -> bool {
    let ending = Path::new(given).extension().unwrap_or_default();
    let ending = ending.to_string_lossy().to_ascii_lowercase();
    ["png", "jpg", "jpeg", "webp", "gif"].contains(&&*ending)
}
