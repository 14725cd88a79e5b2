//! Where pictures go: names from a pattern, and files that appear whole or not at all.

use std::collections::HashSet;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{ImageFormat, RgbImage};

/// The format of pictures whose name the user did not give.
const EXTENSION: &str = "png";

/// The longest part of a caption that becomes a name, in bytes; file systems allow 255 with what is added to it.
const LONGEST_SLUG: usize = 80;

/// The files of a run, one a picture.
pub struct Output {
    paths: Vec<PathBuf>,
    force: bool,
}

impl Output {
    /// The names of one picture a seed, from `pattern` or, without one, from `name`. Refuses, before anything is
    /// drawn, files that are there already (unless `force`) and folders that cannot be written to.
    pub fn plan(pattern: Option<&str>, name: &str, seeds: &[u64], force: bool) -> Result<Self> {
        let default = format!("{name}-{{seed}}.{EXTENSION}");
        let pattern = match pattern {
            None => default,
            Some("") => bail!("--out is empty: please give a file name"),
            Some(folder) if folder.ends_with('/') || Path::new(folder).is_dir() => {
                format!("{}/{default}", folder.trim_end_matches('/'))
            }
            Some(pattern) => pattern.to_owned(),
        };
        check_placeholders(&pattern)?;
        format_of(Path::new(&pattern))?;
        let pattern = if seeds.len() > 1 {
            numbered(&pattern)
        } else {
            pattern
        };
        let paths: Vec<PathBuf> = seeds
            .iter()
            .enumerate()
            .map(|(index, &seed)| PathBuf::from(fill(&pattern, index, seed)))
            .collect();

        let mut folders = HashSet::new();
        for path in &paths {
            check_file("--out", path, force)?;
            if folders.insert(folder_of(path)) {
                check_folder("--out", path)?;
            }
        }
        Ok(Self { paths, force })
    }

    /// The file of picture `index`.
    pub fn path(&self, index: usize) -> &Path {
        &self.paths[index]
    }

    /// Writes picture `index` and tells its path. A PNG also holds `texts`, by their keywords.
    pub fn save(
        &self,
        index: usize,
        picture: &RgbImage,
        texts: &[(&str, String)],
    ) -> Result<&Path> {
        let path = self.path(index);
        let bytes = match format_of(path)? {
            ImageFormat::Png => png_with(picture, texts)?,
            format => {
                let mut bytes = Cursor::new(Vec::new());
                picture.write_to(&mut bytes, format)?;
                bytes.into_inner()
            }
        };
        write_whole(path, &bytes, self.force)?;
        Ok(path)
    }
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

/// Refuses a file that is there already (unless `force`) or could not be written; `flag` named it.
pub fn check_writable(flag: &str, path: &Path, force: bool) -> Result<()> {
    check_file(flag, path, force)?;
    check_folder(flag, path)
}

fn check_file(flag: &str, path: &Path, force: bool) -> Result<()> {
    let shown = path.display();
    ensure!(!path.is_dir(), "{flag} {shown}: this is a folder");
    ensure!(
        force || path.symlink_metadata().is_err(),
        "{shown} exists already: --force overwrites it"
    );
    Ok(())
}

/// Refuses a file whose folder is not there or cannot be written to.
fn check_folder(flag: &str, path: &Path) -> Result<()> {
    let shown = path.display();
    let folder = folder_of(path);
    ensure!(
        folder.is_dir(),
        "{flag} {shown}: there is no folder {}",
        folder.display()
    );
    partial(folder).with_context(|| format!("{flag} {shown}: cannot write there"))?;
    Ok(())
}

/// Puts `bytes` in a file that is whole or not there; one that is there is replaced only by `force`.
fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = partial(folder_of(path)).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
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
    let file = partial(folder_of(path)).with_context(cannot)?;
    write(file.path()).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path)
        .map_err(|failed| failed.error)
        .with_context(cannot)?;
    Ok(())
}

/// A file beside those of a run, gone again unless it is put in the place of one; readable as any new file is.
fn partial(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".unclip-")
        .suffix(".partial")
        .permissions(permissions)
        .tempfile_in(folder)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn format_of(path: &Path) -> Result<ImageFormat> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("png") => Ok(ImageFormat::Png),
        Some("jpg" | "jpeg") => Ok(ImageFormat::Jpeg),
        Some("webp") => Ok(ImageFormat::WebP),
        _ => Err(anyhow!(
            "--out {}: a picture's name ends in .png, .jpg, .jpeg or .webp",
            path.display()
        )),
    }
}

/// Refuses `{name}`s that are no placeholders: a misspelt one would become part of the file's name.
fn check_placeholders(pattern: &str) -> Result<()> {
    let mut rest = pattern;
    while let Some(start) = rest.find('{') {
        let Some(length) = rest[start..].find('}') else {
            break;
        };
        let placeholder = &rest[start..=start + length];
        ensure!(
            matches!(placeholder, "{index}" | "{seed}"),
            "--out {pattern}: {placeholder} is no placeholder, there are {{index}} and {{seed}}"
        );
        rest = &rest[start + length + 1..];
    }
    Ok(())
}

/// A pattern that names several pictures: where it has no placeholder, the index goes before the extension.
fn numbered(pattern: &str) -> String {
    match pattern.rsplit_once('.') {
        Some((stem, extension)) if !pattern.contains("{index}") && !pattern.contains("{seed}") => {
            format!("{stem}-{{index}}.{extension}")
        }
        _ => pattern.to_owned(),
    }
}

fn fill(pattern: &str, index: usize, seed: u64) -> String {
    pattern
        .replace("{index}", &index.to_string())
        .replace("{seed}", &seed.to_string())
}

/// A caption as a file name: its letters and digits, in lower case, with single dashes between.
pub fn slug(caption: &str) -> String {
    let mut slug = String::new();
    for word in caption
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let word = word.to_lowercase();
        if slug.len() + 1 + word.len() > LONGEST_SLUG {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&word);
    }
    if slug.is_empty() {
        "picture".to_owned()
    } else {
        slug
    }
}
