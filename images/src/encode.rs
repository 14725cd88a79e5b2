//! Encodes images: PNG with texts, JPEG and WebP, and animations as APNG and GIF.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use files::extensions::extension;
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, ImageError, ImageFormat, RgbImage};
use png::{ColorType, Encoder, EncodingError};

/// The formats that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// Lossless WebP.
    WebP,
}

impl EncoderFormat {
    /// The format that a file's extension promises, where it is one of these.
    pub fn of(path: &Path) -> Option<Self> {
        match &*extension(path) {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" | "jpe" | "jfif" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }
}

/// Why an image is not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The PNG encoder's reason.
    #[error(transparent)]
    Png(#[from] EncodingError),
    /// The reason of another format's encoder.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// The bytes of an image's file. `texts` by their keywords go into a PNG; the other formats hold none.
pub fn encode(
    image: &RgbImage,
    format: EncoderFormat,
    texts: &[(&str, String)],
) -> Result<Vec<u8>, EncodeError> {
    let format = match format {
        EncoderFormat::Png => return encode_png(image, texts),
        EncoderFormat::Jpeg => ImageFormat::Jpeg,
        EncoderFormat::WebP => ImageFormat::WebP,
    };
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

/// Writes an image as a PNG, whole or not at all, in the place of another.
pub fn write_png(path: &Path, image: &RgbImage) -> std::io::Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(std::io::Error::other)?;
    files::atomic::write(path, bytes.get_ref(), true)
}

/// A PNG with texts in UTF-8 (iTXt).
fn encode_png(image: &RgbImage, texts: &[(&str, String)]) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(ColorType::Rgb);
    for (keyword, text) in texts {
        encoder.add_itxt_chunk((*keyword).to_owned(), text.clone())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    writer.finish()?;
    Ok(bytes)
}

/// An endless APNG of frames of one size, each shown for so many milliseconds. Panics where there is no frame.
pub fn encode_apng(frames: &[&RgbImage], milliseconds: u16) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let (width, height) = frames[0].dimensions();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_animated(frames.len() as u32, 0)?;
    encoder.set_frame_delay(milliseconds, 1000)?;
    let mut writer = encoder.write_header()?;
    for frame in frames {
        writer.write_image_data(frame.as_raw())?;
    }
    writer.finish()?;
    Ok(bytes)
}

/// An endless GIF of frames of one size, each shown for so many milliseconds, which are rounded down to tens.
pub fn encode_gif(frames: &[&RgbImage], milliseconds: u16) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.set_repeat(Repeat::Infinite)?;
    let delay = Delay::from_saturating_duration(Duration::from_millis(milliseconds.into()));
    for frame in frames {
        let image = DynamicImage::from((*frame).clone()).into_rgba8();
        encoder.encode_frame(Frame::from_parts(image, 0, 0, delay))?;
    }
    drop(encoder);
    Ok(bytes)
}
