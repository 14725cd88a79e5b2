//! Images to files that are whole or not there.

use std::io::{self, Cursor};
use std::path::Path;

use files::atomic;
use image::{ImageFormat, RgbImage};

/// Writes an image as a PNG, whole or not at all, in the place of another.
pub fn write_png(path: &Path, image: &RgbImage) -> io::Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(io::Error::other)?;
    atomic::write(path, bytes.get_ref(), true)
}
