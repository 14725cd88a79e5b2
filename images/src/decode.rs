//! Pictures that a user brings: decoded within bounds, upright, in 8-bit RGB on white.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

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
    /// Nothing that is known begins like this.
    #[error("{path} is no picture: PNG, JPEG, WebP and GIF are read")]
    Unknown {
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

/// Reads the picture at `path`. Its size is checked before anything is decoded.
pub fn read_image(path: &Path) -> Result<DecodedImage, DecodeError> {
    let name = || path.display().to_string();
    let file_error = |error| DecodeError::File {
        path: name(),
        error,
    };
    let file = File::open(path).map_err(file_error)?;
    if file.metadata().map_err(file_error)?.is_dir() {
        return Err(file_error(std::io::ErrorKind::IsADirectory.into()));
    }
    read_from(BufReader::new(file), &name())
}

/// Reads the picture that `bytes` are, as [`read_image`] does; `name` says which one in errors.
pub fn decode_image(bytes: &[u8], name: &str) -> Result<DecodedImage, DecodeError> {
    read_from(Cursor::new(bytes), name)
}

fn read_from(file: impl BufRead + Seek, name: &str) -> Result<DecodedImage, DecodeError> {
    let path = || name.to_owned();
    let file_error = |error| DecodeError::File {
        path: path(),
        error,
    };
    let damaged = |reason: String| DecodeError::Damaged {
        path: path(),
        reason,
    };
    let reader = ImageReader::new(file)
        .with_guessed_format()
        .map_err(file_error)?;
    let format = reader
        .format()
        .ok_or_else(|| DecodeError::Unknown { path: path() })?;
    let mut file = reader.into_inner();
    file.seek(SeekFrom::Start(0)).map_err(file_error)?;
    // The decoders' authors warn that some input makes them panic.
    catch_unwind(AssertUnwindSafe(|| decode(file, format)))
        .map_err(|_| damaged("its decoder gave up".to_owned()))?
        .map_err(|failed| match failed {
            Failed::Size(width, height) => DecodeError::TooLarge {
                path: path(),
                width,
                height,
            },
            Failed::Format => DecodeError::Unknown { path: path() },
            Failed::Decoder(error) => damaged(error.to_string()),
        })
}

enum Failed {
    Size(u32, u32),
    Format,
    Decoder(image::ImageError),
}

impl From<image::ImageError> for Failed {
    fn from(error: image::ImageError) -> Self {
        Self::Decoder(error)
    }
}

fn decode(mut file: impl BufRead + Seek, format: ImageFormat) -> Result<DecodedImage, Failed> {
    let mut reader = ImageReader::with_format(&mut file, format);
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
    let animated = animated(file, format)?;
    Ok(DecodedImage {
        image: on_white(&picture),
        animated,
    })
}

/// Whether a file holds more than one frame.
fn animated(mut file: impl BufRead + Seek, format: ImageFormat) -> Result<bool, Failed> {
    file.seek(SeekFrom::Start(0))
        .map_err(image::ImageError::IoError)?;
    Ok(match format {
        ImageFormat::Png => PngDecoder::new(file)?.is_apng()?,
        ImageFormat::WebP => WebPDecoder::new(file)?.has_animation(),
        ImageFormat::Gif => GifDecoder::new(file)?.into_frames().nth(1).is_some(),
        ImageFormat::Jpeg => false,
        _ => return Err(Failed::Format),
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
