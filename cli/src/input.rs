//! Inputs of a command line: images, captions and files of text.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use files::contents::{Contents, ENOUGH};
use files::extensions::{is_image, is_unsupported_image};
use files::text::decode;
use images::{RgbImage, decode_image, read_file, read_stream};
use pipeline::{InterpolationEnd, Pipeline, check_caption};
use tch::Tensor;

use crate::messages::say;
use crate::names::slug;

/// The largest file of text that is read.
const MOST_BYTES: u64 = 1 << 26;

/// The name of standard input as a file.
pub(crate) const STANDARD_INPUT: &str = "-";

/// A file as messages call it.
pub(crate) fn name_of(path: &Path) -> Cow<'_, str> {
    match path == Path::new(STANDARD_INPUT) {
        true => "standard input".into(),
        false => path.to_string_lossy(),
    }
}

/// Refuses standard input where it is named more than once: what was read of it is gone.
pub(crate) fn check_named_once<T: AsRef<Path>>(files: impl IntoIterator<Item = T>) -> Result<()> {
    let named = files.into_iter();
    let count = named.filter(|file| file.as_ref() == Path::new(STANDARD_INPUT));
    let count = count.count();
    ensure!(
        count <= 1,
        "- is standard input, which can be read once, and it is named {count} times"
    );
    Ok(())
}

/// The bytes of a picture's file, of a pipe, or of standard input where it is `-`.
pub(crate) fn read_image_bytes(path: &Path) -> Result<Vec<u8>> {
    Ok(match path == Path::new(STANDARD_INPUT) {
        true => read_stream(std::io::stdin().lock(), &name_of(path))?,
        false => read_file(path)?,
    })
}

/// Reads a picture; says on standard error where only a part of the file is used.
pub(crate) fn open_image(path: &Path) -> Result<RgbImage> {
    Ok(ImageFile::open(path)?.image)
}

/// A picture and the file that it was read from.
pub(crate) struct ImageFile {
    /// The file as messages call it.
    pub name: String,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The picture.
    pub image: RgbImage,
}

impl ImageFile {
    /// Reads a picture as [`open_image`] does.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = name_of(path).into_owned();
        let bytes = read_image_bytes(path)?;
        let read = decode_image(&bytes, &name)?;
        if read.animated {
            say!("{name} is animated: its first frame is used");
        }
        Ok(Self { name, bytes, image: read.image })
    }
}

/// The embedding `[1, E]` of the picture in a file; where it cannot be prepared for the encoder, the error names the file.
pub(crate) fn encode_image(pipeline: &Pipeline, path: &Path, image: RgbImage) -> Result<Tensor> {
    pipeline.encode_images(&[image]).map_err(|error| in_image(error, path))
}

/// An error of the pipeline's, which names the picture where it is about that.
pub(crate) fn in_image(error: pipeline::Error, path: &Path) -> anyhow::Error {
    match error.is_about_image() {
        true => anyhow::Error::new(error).context(name_of(path).into_owned()),
        false => error.into(),
    }
}

/// The text in a file that `flag` names, or on standard input where it is `-`, and what messages call it.
pub(crate) fn read_text(flag: &str, file: &Path) -> Result<(String, String)> {
    let (name, text) = match file == Path::new("-") {
        true => ("standard input".to_owned(), read(std::io::stdin())),
        false => (file.display().to_string(), File::open(file).map_err(Into::into).and_then(read)),
    };
    let text = text.with_context(|| format!("{flag}: cannot read {name}"))?;
    Ok((name, text))
}

fn read(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MOST_BYTES, "it is larger than {MOST_BYTES} bytes");
    match Contents::of(&bytes[..bytes.len().min(ENOUGH)]) {
        Some(other @ (Contents::LfsPointer | Contents::Html)) => {
            bail!("it is {other}: {}", other.advice())
        }
        _ => Ok(decode(&bytes)?),
    }
}

/// A file's name without its ending, as a part of other names.
pub(crate) fn stem(path: &Path) -> String {
    slug(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// An input of a command line: a file where there is one, standard input where it is `-`, else a caption.
pub(crate) enum Input {
    /// A file.
    File(PathBuf),
    /// Words.
    Caption(String),
}

impl Input {
    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Caption(_) => None,
        }
    }

    /// Refuses files that are not there and captions that say nothing.
    pub(crate) fn new(argument: &OsStr) -> Result<Self> {
        let path = Path::new(argument);
        // Pipes are no plain files.
        let there = path.metadata().ok();
        ensure!(
            there.as_ref().is_none_or(|file| !file.is_dir()),
            "{} is a folder, and a picture's file or a caption is wanted: words around it would make it a caption",
            path.display()
        );
        if there.is_some() || path == Path::new(STANDARD_INPUT) {
            return Ok(Self::File(path.to_owned()));
        }
        let shown = argument.display();
        let unread = is_unsupported_image(path) && !shown.to_string().contains(char::is_whitespace);
        ensure!(
            !is_image(path) && !unread,
            "{shown}: there is no such file, and a caption does not end like one"
        );
        let caption = argument.to_str();
        let caption = caption
            .with_context(|| format!("{shown}: there is no such file, and a caption is UTF-8"))?;
        check_caption(caption)?;
        Ok(Self::Caption(caption.to_owned()))
    }
}

/// The end of an interpolation: the picture in a file where there is one, else a caption.
pub(crate) fn read_end(given: &OsStr) -> Result<InterpolationEnd> {
    Ok(match Input::new(given)? {
        Input::File(path) => InterpolationEnd::Image(open_image(&path)?),
        Input::Caption(caption) => InterpolationEnd::Caption(caption),
    })
}
