//! The decoders of the formats that are read, each to 8-bit RGB on white.
//!
//! Each declares the memory that it takes before it takes it, and decodes no more of a file than pixels, an orientation and
//! whether there are more frames: colour profiles and texts stay packed.

pub(crate) mod gif;
pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

/// An image's pixels before its EXIF orientation is applied.
pub(crate) struct UnorientedImage {
    pub(crate) image: RgbImage,
    pub(crate) orientation: Orientation,
    pub(crate) animated: bool,
}

impl UnorientedImage {
    /// The pixels with the orientation applied.
    pub(crate) fn oriented(self) -> RgbImage {
        let mut image = DynamicImage::from(self.image);
        image.apply_orientation(self.orientation);
        image.into_rgb8()
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
