//! Pictures that a user brings.

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use pipeline::read_picture;

use crate::output::slug;

/// Reads a picture; says on standard error where only a part of the file is used.
pub fn open_picture(path: &Path) -> Result<RgbImage> {
    let read = read_picture(path)?;
    if read.animated {
        eprintln!(
            "unclip: {} is animated: its first frame is used",
            path.display()
        );
    }
    Ok(read.picture)
}

/// A file's name without its ending, as a part of other names.
pub fn stem(path: &Path) -> String {
    slug(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// Whether a word ends as the files of pictures do.
pub fn names_a_picture(given: &str) -> bool {
    let ending = Path::new(given).extension().unwrap_or_default();
    let ending = ending.to_string_lossy().to_ascii_lowercase();
    ["png", "jpg", "jpeg", "webp", "gif"].contains(&&*ending)
}
