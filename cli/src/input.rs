//! Pictures and captions that a user brings.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use files::contents::{Contents, ENOUGH};
use files::text::decode;
use image::RgbImage;
use pipeline::{Use, check_caption, read_image};

use crate::messages::say;
use crate::output::slug;

/// The largest file of text that is read.
const MOST_BYTES: u64 = 1 << 26;

/// Reads a picture; says on standard error where only a part of the file is used.
pub fn open_picture(path: &Path) -> Result<RgbImage> {
    let read = read_image(path)?;
    if read.animated {
        say!("{} is animated: its first frame is used", path.display());
    }
    Ok(read.image)
}

/// The text in a file that `flag` names, or on standard input where it is `-`, and what messages call it.
pub fn read_text(flag: &str, file: &Path) -> Result<(String, String)> {
    let (name, text) = match file == Path::new("-") {
        true => ("standard input".to_owned(), read(std::io::stdin())),
        false => (
            file.display().to_string(),
            File::open(file).map_err(Into::into).and_then(read),
        ),
    };
    let text = text.with_context(|| format!("{flag}: cannot read {name}"))?;
    Ok((name, text))
}

fn read(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= MOST_BYTES,
        "it is larger than {MOST_BYTES} bytes"
    );
    match Contents::of(&bytes[..bytes.len().min(ENOUGH)]) {
        Some(other @ (Contents::LfsPointer | Contents::Html)) => {
            bail!("it is {other}: {}", other.advice())
        }
        _ => Ok(decode(&bytes)?),
    }
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

/// Whether a name ends as the files of pictures do.
pub fn names_a_picture(given: impl AsRef<Path>) -> bool {
    let ending = given.as_ref().extension().unwrap_or_default();
    let ending = ending.to_string_lossy().to_ascii_lowercase();
    ["png", "jpg", "jpeg", "webp", "gif"].contains(&&*ending)
}
