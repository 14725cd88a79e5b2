//! Files that appear whole or not at all.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use files::atomic::{self, behind_links, folder_of};
use images::{EncoderFormat, RgbImage, encode};

/// Writes a picture, in the place of another only by `force`. A PNG also holds `texts`, by their keywords.
pub(crate) fn save(
    path: &Path,
    image: &RgbImage,
    texts: &[(&str, String)],
    force: bool,
) -> Result<()> {
    write_whole(path, &encode(image, format_of(path)?, texts)?, force)
}

/// Puts `bytes` in a file that is whole or not there; one that is there is replaced only by `force`. Makes its folder where
/// it is not there yet.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let folder = fs::create_dir_all(folder_of(&behind_links(path)));
    folder
        .and_then(|()| atomic::write(path, bytes, force))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The format that the extension of an image's file promises.
pub(crate) fn format_of(path: &Path) -> Result<EncoderFormat> {
    EncoderFormat::of(path).with_context(|| {
        let path = path.display();
        format!("--out {path}: a picture's name ends in .png, .jpg, .jpeg, .jpe, .jfif or .webp")
    })
}
