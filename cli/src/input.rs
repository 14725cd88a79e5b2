//! Pictures and captions that a user brings.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use image::RgbImage;
use pipeline::{Use, check_caption, read_image};

use crate::messages::say;
use crate::names::slug;

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
    Ok((name, text.trim_start_matches('\u{feff}').to_owned()))
}

fn read(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= MOST_BYTES,
        "it is larger than {MOST_BYTES} bytes"
    );
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        anyhow!("line {line} is not UTF-8")
    })
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
    pub fn new(given: &OsStr) -> Result<Self> {
        if Path::new(given).is_file() {
            return Ok(Self::File(PathBuf::from(given)));
        }
        let shown = given.display();
        ensure!(
            !names_a_picture(given),
            "{shown}: there is no such file, and a caption does not end like one"
        );
        let caption = given.to_str();
        let caption = caption
            .with_context(|| format!("{shown}: there is no such file, and a caption is UTF-8"))?;
        check_caption(caption)?;
        Ok(Self::Caption(caption.to_owned()))
    }
}

impl End {
    /// A picture where there is a file, else a caption.
    pub fn read(given: &OsStr) -> Result<Self> {
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
