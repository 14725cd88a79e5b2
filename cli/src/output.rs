//! Files that appear whole or not at all.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use files::endings::ending;
use image::{ImageFormat, RgbImage};

use crate::interrupt::whole_files;

/// Writes a picture, in the place of another only by `force`. A PNG also holds `texts`, by their keywords.
pub fn save(path: &Path, picture: &RgbImage, texts: &[(&str, String)], force: bool) -> Result<()> {
    let bytes = match format_of(path)? {
        ImageFormat::Png => png_with(picture, texts)?,
        format => {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format)?;
            bytes.into_inner()
        }
    };
    write_whole(path, &bytes, force)
}

/// A PNG with texts in UTF-8.
fn png_with(picture: &RgbImage, texts: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    for (keyword, text) in texts {
        encoder.add_itxt_chunk((*keyword).to_owned(), text.clone())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.as_raw())?;
    writer.finish()?;
    Ok(bytes)
}

/// Puts `bytes` in a file that is whole or not there; one that is there is replaced only by `force`. Makes its folder where
/// it is not there yet.
pub fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let _whole = whole_files();
    let path = &behind_links(path);
    let folder = folder_of(path);
    fs::create_dir_all(folder).with_context(cannot)?;
    let mut file = partial(folder).with_context(cannot)?;
    file.as_file_mut().write_all(bytes).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    let placed = match force {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    placed.map_err(|failed| failed.error).with_context(cannot)?;
    Ok(())
}

/// The same for what another library writes to a path: to one beside it first.
pub fn save_through(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let path = &behind_links(path);
    let file = partial(folder_of(path)).with_context(cannot)?;
    write(file.path()).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path)
        .map_err(|failed| failed.error)
        .with_context(cannot)?;
    Ok(())
}

/// A file beside those of a run, gone again unless it is put in the place of one; readable as any new file is.
fn partial(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".unclip-")
        .suffix(".partial")
        .permissions(permissions)
        .tempfile_in(folder)
        .map_err(without_path)
}

/// The error without the name of a partial file, which nobody knows.
pub fn without_path(error: io::Error) -> io::Error {
    match error.to_string().rsplit_once(" at path \"") {
        Some((reason, _)) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

/// The file that a link leads to, so that it is replaced and the link stays.
pub fn behind_links(path: &Path) -> Cow<'_, Path> {
    match path.is_symlink() {
        true => path.canonicalize().map_or(path.into(), Cow::Owned),
        false => path.into(),
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The format that a picture's name ends in.
pub fn format_of(path: &Path) -> Result<ImageFormat> {
    match &*ending(path) {
        "png" => Ok(ImageFormat::Png),
        "jpg" | "jpeg" | "jpe" | "jfif" => Ok(ImageFormat::Jpeg),
        "webp" => Ok(ImageFormat::WebP),
        _ => Err(anyhow!(
            "--out {}: a picture's name ends in .png, .jpg, .jpeg, .jpe, .jfif or .webp",
            path.display()
        )),
    }
}
