//! Files that appear whole or not at all.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use files::atomic::{self, behind_links, folder_of};
use files::extensions::extension;
use image::{ImageFormat, RgbImage};

/// Writes a picture, in the place of another only by `force`. A PNG also holds `texts`, by their keywords.
pub fn save(path: &Path, image: &RgbImage, texts: &[(&str, String)], force: bool) -> Result<()> {
    let bytes = match format_of(path)? {
        ImageFormat::Png => png_with(image, texts)?,
        format => {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, format)?;
            bytes.into_inner()
        }
    };
    write_whole(path, &bytes, force)
}

/// A PNG with texts in UTF-8.
fn png_with(image: &RgbImage, texts: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    for (keyword, text) in texts {
        encoder.add_itxt_chunk((*keyword).to_owned(), text.clone())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    writer.finish()?;
    Ok(bytes)
}

/// Puts `bytes` in a file that is whole or not there; one that is there is replaced only by `force`. Makes its folder where
/// it is not there yet.
pub fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let folder = fs::create_dir_all(folder_of(&behind_links(path)));
    folder
        .and_then(|()| atomic::write(path, bytes, force))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The format that a picture's name ends in.
pub fn format_of(path: &Path) -> Result<ImageFormat> {
    match &*extension(path) {
        "png" => Ok(ImageFormat::Png),
        "jpg" | "jpeg" | "jpe" | "jfif" => Ok(ImageFormat::Jpeg),
        "webp" => Ok(ImageFormat::WebP),
        _ => Err(anyhow!(
            "--out {}: a picture's name ends in .png, .jpg, .jpeg, .jpe, .jfif or .webp",
            path.display()
        )),
    }
}
