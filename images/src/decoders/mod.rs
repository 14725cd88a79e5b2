//! The decoders of the formats that are read, each to 8-bit RGB on white, or to alpha alone.
//!
//! Each declares the memory that it takes before it takes it, and decodes no more of a file than pixels, an orientation and
//! whether there are more frames: colour profiles and texts stay packed.

pub(crate) mod gif;
pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};

/// The channels of an image that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    /// Red, green and blue, on white.
    Rgb,
    /// Alpha, 255 where a format has none. JPEGs, which have none at all, are decoded as RGB.
    Alpha,
}

impl Channels {
    /// Bytes of a pixel.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Alpha => 1,
        }
    }

    /// An image of pixels that fill it.
    pub(crate) fn image(self, width: u32, height: u32, levels: Vec<u8>) -> DynamicImage {
        match self {
            Self::Rgb => rgb(width, height, levels).into(),
            Self::Alpha => {
                GrayImage::from_raw(width, height, levels).expect("a level a pixel").into()
            }
        }
    }
}

/// An image's pixels before its EXIF orientation is applied.
pub(crate) struct UnorientedImage {
    pub(crate) image: DynamicImage,
    pub(crate) orientation: Orientation,
    pub(crate) animated: bool,
}

impl UnorientedImage {
    /// The pixels with the orientation applied.
    pub(crate) fn oriented(self) -> DynamicImage {
        let mut image = self.image;
        image.apply_orientation(self.orientation);
        image
    }
}

/// The orientation that a file's EXIF declares.
pub(crate) fn orientation(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// A pixel of `RGBA` on white, as the reference lays it.
pub(crate) fn on_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    let alpha = u32::from(alpha);
    [red, green, blue]
        .map(|level| ((u32::from(level) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

/// An image of pixels that fill it.
pub(crate) fn rgb(width: u32, height: u32, levels: Vec<u8>) -> RgbImage {
    RgbImage::from_raw(width, height, levels).expect("three levels a pixel")
}
