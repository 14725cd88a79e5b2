//! Resizing for people to look at, where [`resize`](mod@crate::resize) is for encoders.

use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};

/// An image of `width` by `height` pixels, by a triangle filter.
pub fn scale(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    imageops::resize(image, width, height, FilterType::Triangle)
}

/// The centre of an image that fills `width` by `height` pixels, by a Catmull-Rom filter.
pub fn fill(image: RgbImage, width: u32, height: u32) -> RgbImage {
    DynamicImage::from(image).resize_to_fill(width, height, FilterType::CatmullRom).into_rgb8()
}

/// An image whose longer side has at most `longest` pixels.
pub fn thumbnail(image: RgbImage, longest: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= longest {
        return image;
    }
    let side = |length: u32| (length * longest / longer).max(1);
    imageops::thumbnail(&image, side(width), side(height))
}
