//! Where pictures go: names from a pattern, and files that appear whole or not at all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Cursor, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{ImageFormat, RgbImage};

use crate::interrupt::whole_files;

/// The format of pictures whose name the user did not give.
const EXTENSION: &str = "png";

/// The longest part of a caption that becomes a name, in bytes; file systems allow 255 with what is added to it.
const LONGEST_SLUG: usize = 80;

/// How the files of pictures are named.
pub struct Names {
    /// With `{name}`, where the user gave no name.
    pattern: String,
}

impl Names {
    /// Names by `out`, a pattern or a folder, or by what the pictures show. A folder that ends in a slash is made where there
    /// is none.
    pub fn new(out: Option<&str>) -> Result<Self> {
        check_placeholders(out.unwrap_or_default())?;
        let default = format!("{{name}}-{{seed}}.{EXTENSION}");
        let pattern = match out {
            None => default,
            Some("") => bail!("--out is empty: please give a file name"),
            Some(folder) if folder.ends_with('/') || Path::new(folder).is_dir() => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("--out {folder}: cannot write there"))?;
                format!("{}/{default}", folder.trim_end_matches('/'))
            }
            Some(pattern) => pattern.to_owned(),
        };
        format_of(Path::new(&pattern))?;
        Ok(Self { pattern })
    }

    /// The file of picture `index` of the `count` that are named so.
    pub fn path(&self, name: &str, index: usize, count: usize, seed: u64) -> PathBuf {
        let pattern = match count {
            1 => self.pattern.clone(),
            _ => numbered(&self.pattern),
        };
        pattern
            .replace("{index}", &index.to_string())
            .replace("{seed}", &seed.to_string())
            .replace("{name}", name)
            .into()
    }
}

/// The files of a run, none of which is written twice.
pub struct Files {
    /// Each folder, and what it is with all links followed.
    folders: HashMap<PathBuf, PathBuf>,
    files: HashMap<PathBuf, usize>,
}

impl Files {
    /// None yet.
    pub fn new() -> Self {
        Self {
            folders: HashMap::new(),
            files: HashMap::new(),
        }
    }

    /// Adds the next file, whose folder must be there and be written to; `flag` named it. Tells the number of an
    /// earlier one that is the same.
    pub fn add(&mut self, flag: &str, path: &Path) -> Result<Option<usize>> {
        let folder = folder_of(path);
        if !self.folders.contains_key(folder) {
            check_folder(flag, path)?;
            let real = folder.canonicalize();
            let real = real.with_context(|| format!("{flag} {}", path.display()))?;
            self.folders.insert(folder.to_owned(), real);
        }
        let file = self.folders[folder].join(path.file_name().unwrap_or_default());
        let number = self.files.len();
        match self.files.entry(file) {
            Entry::Occupied(earlier) => Ok(Some(*earlier.get())),
            Entry::Vacant(new) => {
                new.insert(number);
                Ok(None)
            }
        }
    }

    /// Adds the contact sheet of the pictures that were added.
    pub fn add_grid(&mut self, grid: &Path) -> Result<()> {
        ensure!(
            self.add("--grid", grid)?.is_none(),
            "--grid {}: a picture of this run has the same name",
            grid.display()
        );
        Ok(())
    }
}

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

/// Refuses a file that is there already (unless `force`) or could not be written; `flag` named it.
pub fn check_writable(flag: &str, path: &Path, force: bool) -> Result<()> {
    check_file(flag, path, force)?;
    check_folder(flag, path)
}

/// Refuses a folder, and a file that is there already unless `force`, or that cannot be; `flag` named it.
pub fn check_file(flag: &str, path: &Path, force: bool) -> Result<()> {
    let shown = path.display();
    ensure!(!path.is_dir(), "{flag} {shown}: this is a folder");
    match path.symlink_metadata() {
        Ok(_) => ensure!(force, "{shown} exists already: --force overwrites it"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // A name that is too long, say, or a file where a folder should be.
        Err(error) => return Err(error).with_context(|| format!("{flag} {shown}")),
    }
    Ok(())
}

/// The same for a contact sheet, which is always a PNG.
pub fn check_sheet(flag: &str, path: &Path, force: bool) -> Result<()> {
    ensure!(
        matches!(format_of(path), Ok(ImageFormat::Png)),
        "{flag} {}: a contact sheet is a PNG",
        path.display()
    );
    check_file(flag, path, force)
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
    let _whole = whole_files();
    partial(folder).with_context(|| format!("{flag} {shown}: cannot write there"))?;
    Ok(())
}

/// Puts `bytes` in a file that is whole or not there; one that is there is replaced only by `force`.
pub fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let _whole = whole_files();
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
