//! Decodes the images that a user brings: within bounds, upright, to 8-bit RGB on white.

use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageError, ImageFormat, ImageReader, RgbImage};

use crate::decoders::{Channels, UnorientedImage, gif, jpeg, png, webp};
use crate::formats::FileKind;
use crate::memory::MAX_MEMORY;
use crate::source::{MAX_FILE_BYTES, read_file};

/// An image and whether it is the first of several frames.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedImage {
    /// Its pixels, turned as its EXIF orientation says, on white where it is transparent.
    pub image: RgbImage,
    /// Whether the file holds more frames, of which only the first was read.
    pub animated: bool,
}

/// Why a file is no picture.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// It is something else.
    #[error("{path} is {kind}")]
    Unknown {
        /// The file.
        path: String,
        /// Its kind.
        kind: FileKind,
    },
    /// More bytes than any picture has that is read.
    #[error("{path} is longer than {MAX_FILE_BYTES} bytes, the most that are read")]
    TooLong {
        /// The file.
        path: String,
    },
    /// More memory than should be spent on a picture.
    #[error(
        "{path}: its {width} x {height} pixels would take {} MB of memory, and at most {} are used: a smaller copy of it can be read",
        needed.div_ceil(1_000_000),
        MAX_MEMORY / 1_000_000
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Its declared width.
        width: u32,
        /// Its declared height.
        height: u32,
        /// The bytes of memory that it would take.
        needed: u64,
    },
    /// The file is cut short or damaged.
    #[error("{path} cannot be decoded: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// The decoder's reason.
        reason: String,
    },
}

impl DecodeError {
    pub(crate) fn damaged(path: &str, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Reads the picture at `path`, which may be a pipe. The memory that it takes is checked before anything is decoded.
pub fn read_image(path: &Path) -> Result<DecodedImage, DecodeError> {
    decode_image(&read_file(path)?, &path.display().to_string())
}

/// Reads the picture that `bytes` are, as [`read_image`] does; `name` says which one in errors.
pub fn decode_image(bytes: &[u8], name: &str) -> Result<DecodedImage, DecodeError> {
    let decoded = decode(bytes, name, Channels::Rgb)?;
    Ok(DecodedImage { animated: decoded.animated, image: decoded.oriented().into_rgb8() })
}

/// The width and height that the header of a picture declares, before its EXIF orientation turns it; nothing else is decoded.
pub fn dimensions(bytes: &[u8], name: &str) -> Result<(u32, u32), DecodeError> {
    if let Some(kind) = FileKind::of(bytes, Path::new(name)) {
        return Err(DecodeError::Unknown { path: name.to_owned(), kind });
    }
    let read = || {
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        reader.map_err(ImageError::IoError)?.into_dimensions()
    };
    match catch_unwind(read) {
        Ok(size) => size.map_err(|error| DecodeError::damaged(name, error)),
        Err(_) => Err(DecodeError::damaged(name, "its decoder gave up")),
    }
}

/// The alpha of the picture that `bytes` are, turned as its EXIF orientation says; `None` where all of it is opaque.
pub fn decode_alpha(bytes: &[u8], name: &str) -> Result<Option<GrayImage>, DecodeError> {
    match decode(bytes, name, Channels::Alpha)?.oriented() {
        DynamicImage::ImageLuma8(alpha) => {
            let is_opaque = alpha.iter().all(|&alpha| alpha == u8::MAX);
            Ok((!is_opaque).then_some(alpha))
        }
        _ => Ok(None),
    }
}

fn decode(bytes: &[u8], name: &str, channels: Channels) -> Result<UnorientedImage, DecodeError> {
    if let Some(kind) = FileKind::of(bytes, Path::new(name)) {
        return Err(DecodeError::Unknown { path: name.to_owned(), kind });
    }
    // The decoders' authors warn that some input makes them panic.
    catch_unwind(|| decode_format(bytes, name, channels))
        .map_err(|_| DecodeError::damaged(name, "its decoder gave up"))?
}

fn decode_format(
    bytes: &[u8],
    name: &str,
    channels: Channels,
) -> Result<UnorientedImage, DecodeError> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => png::decode(bytes, name, channels),
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes, name),
        Ok(ImageFormat::Gif) => gif::decode(bytes, name, channels),
        Ok(ImageFormat::WebP) => webp::decode(bytes, name, channels),
        Ok(_) => Err(DecodeError::damaged(name, FileKind::Unknown)),
        Err(error) => Err(DecodeError::damaged(name, error)),
    }
}
