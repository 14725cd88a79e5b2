//! Pictures that a user brings: decoded within bounds, upright, in 8-bit RGB on white.

use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::formats::FileKind;
use crate::jpeg;
use crate::source::{MAX_FILE_BYTES, read_file};

/// The most pixels that a picture may have.
pub const MAX_PIXELS: u64 = 64 * 1_000_000;

/// The most memory that a decoder may ask for: twice what 16-bit RGBA of that many pixels takes.
const MOST_BYTES: u64 = 16 * MAX_PIXELS;

/// A picture that was read.
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
        /// What the system says.
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
    /// More pixels than memory should be spent on.
    #[error("{path} has {width} x {height} pixels, and at most {} million are read", MAX_PIXELS / 1_000_000)]
    TooLarge {
        /// The file.
        path: String,
        /// Its declared width.
        width: u32,
        /// Its declared height.
        height: u32,
    },
    /// The file is cut short or damaged.
    #[error("{path} cannot be decoded: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What the decoder says.
        reason: String,
    },
}

/// Reads the picture at `path`, which may be a pipe. Its size is checked before anything is decoded.
pub fn read_image(path: &Path) -> Result<DecodedImage, DecodeError> {
    decode_image(&read_file(path)?, &path.display().to_string())
}

/// Reads the picture that `bytes` are, as [`read_image`] does; `name` says which one in errors.
pub fn decode_image(bytes: &[u8], name: &str) -> Result<DecodedImage, DecodeError> {
    let path = || name.to_owned();
    let damaged = |reason: String| DecodeError::Damaged {
        path: path(),
        reason,
    };
    if let Some(kind) = FileKind::of(bytes, Path::new(name)) {
        return Err(DecodeError::Unknown { path: path(), kind });
    }
    let format = image::guess_format(bytes).map_err(|error| damaged(error.to_string()))?;
    if format == ImageFormat::Jpeg {
        jpeg::check(bytes).map_err(|error| damaged(error.to_string()))?;
    }
    // The decoders' authors warn that some input makes them panic.
    catch_unwind(|| decode(bytes, format))
        .map_err(|_| damaged("its decoder gave up".to_owned()))?
        .map_err(|failed| match failed {
            Failed::Size(width, height) => DecodeError::TooLarge {
                path: path(),
                width,
                height,
            },
            Failed::Decoder(error) => damaged(error.to_string()),
        })
}

enum Failed {
    Size(u32, u32),
    Decoder(image::ImageError),
}

impl From<image::ImageError> for Failed {
    fn from(error: image::ImageError) -> Self {
        Self::Decoder(error)
    }
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<DecodedImage, Failed> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.no_limits();
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Failed::Size(width, height));
    }
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(MOST_BYTES);
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(DecodedImage {
        image: on_white(&picture),
        animated: is_animated(bytes, format)?,
    })
}

/// Whether a file holds more than one frame.
fn is_animated(bytes: &[u8], format: ImageFormat) -> Result<bool, image::ImageError> {
    let file = Cursor::new(bytes);
    Ok(match format {
        ImageFormat::Png => PngDecoder::new(file)?.is_apng()?,
        ImageFormat::WebP => WebPDecoder::new(file)?.has_animation(),
        ImageFormat::Gif => GifDecoder::new(file)?.into_frames().nth(1).is_some(),
        _ => false,
    })
}

/// 8-bit RGB; what is transparent lies on white, as the reference lays it.
fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let picture = picture.to_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        let over = |value: u32| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        image::Rgb([red, green, blue].map(over))
    })
}
