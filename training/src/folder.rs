//! A folder of pictures with captions.
//!
//! It is laid out as Hugging Face's imagefolder is, with a `metadata.jsonl` or `metadata.csv` of `file_name` and `text`, or
//! each picture has its caption beside it, in a `.txt` of the same name.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;
use crate::samples::{Broken, Source, left_out};

/// The endings of pictures.
pub(crate) const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

/// The files that say what pictures show.
pub(crate) const METADATA: [&str; 2] = ["metadata.jsonl", "metadata.csv"];

/// The longest picture's file that is read: what 16-bit RGBA of the most pixels takes.
pub(crate) const LONGEST_PICTURE: u64 = 8 * images::MAX_PIXELS;

/// The longest caption's file that is read.
pub(crate) const LONGEST_CAPTION: u64 = 1 << 20;

/// Pictures in a folder, in the order of their names.
pub(crate) struct PictureFolder {
    folder: PathBuf,
    samples: Vec<Sample>,
}

struct Sample {
    picture: PathBuf,
    length: u64,
    caption: String,
}

/// A line of `metadata.jsonl` or `metadata.csv`; what else it says is passed over.
#[derive(Deserialize)]
struct Line {
    file_name: String,
    text: String,
}

impl PictureFolder {
    /// Reads which pictures there are and what their captions say. What is broken is noted and left out.
    pub(crate) fn open(folder: &Path, broken: &mut Broken) -> Result<Self, Error> {
        let [jsonl, csv] = METADATA.map(|name| folder.join(name));
        let mut found = if jsonl.is_file() {
            from_jsonl(folder, &jsonl, broken)?
        } else if csv.is_file() {
            from_csv(folder, &csv, broken)?
        } else {
            beside(folder, broken)?
        };
        found.sort();
        let mut samples = Vec::new();
        for (picture, caption) in found {
            let length = match fs::metadata(&picture) {
                Ok(_) if caption.trim().is_empty() => Err("its caption is empty".to_owned()),
                Ok(metadata) => Ok(metadata.len()),
                Err(error) => Err(error.to_string()),
            };
            match length {
                Ok(length) => samples.push(Sample {
                    picture,
                    length,
                    caption,
                }),
                Err(why) => note(broken, picture.display().to_string(), why),
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            samples,
        })
    }
}

impl Source for PictureFolder {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, n: usize) -> String {
        let picture = &self.samples[n].picture;
        let name = picture.strip_prefix(&self.folder).unwrap_or(picture);
        name.to_string_lossy().into_owned()
    }

    fn path(&self, n: usize) -> String {
        self.samples[n].picture.display().to_string()
    }

    fn lengths(&self, n: usize) -> [u64; 2] {
        let Sample {
            length, caption, ..
        } = &self.samples[n];
        [*length, caption.len() as u64]
    }

    fn caption(&self, n: usize) -> Result<String, String> {
        Ok(self.samples[n].caption.clone())
    }

    fn content(&self, n: usize) -> Result<Vec<u8>, String> {
        read(&self.samples[n].picture, LONGEST_PICTURE)
    }
}

fn note(broken: &mut Broken, path: String, why: String) {
    left_out(&path, &why);
    broken.insert(path, why);
}

/// The bytes of a file that is no longer than `longest`.
fn read(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    // One more than there may be tells a file that grows, or that has no length, from one that fits.
    file.and_then(|file| file.take(longest + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match bytes.len() as u64 > longest {
        true => Err(format!("it has more than {longest} bytes")),
        false => Ok(bytes),
    }
}

/// Pictures and captions.
type Found = Vec<(PathBuf, String)>;

fn from_jsonl(folder: &Path, metadata: &Path, broken: &mut Broken) -> Result<Found, Error> {
    let text = fs::read(metadata).map_err(Error::file(metadata))?;
    let lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let read = lines.map(|(number, line)| {
        let line = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string());
        (number, line)
    });
    Ok(named(folder, metadata, read, broken))
}

fn from_csv(folder: &Path, metadata: &Path, broken: &mut Broken) -> Result<Found, Error> {
    let reader = csv::Reader::from_path(metadata);
    let mut reader =
        reader.map_err(|error| Error::Data(format!("{}: {error}", metadata.display())))?;
    let rows = reader.deserialize::<Line>();
    let rows = (2..).zip(rows.map(|row| row.map_err(|error| error.to_string())));
    Ok(named(folder, metadata, rows, broken))
}

/// What the lines of a metadata file name. A line that cannot be read is noted under its number.
fn named(
    folder: &Path,
    metadata: &Path,
    lines: impl Iterator<Item = (u64, Result<Line, String>)>,
    broken: &mut Broken,
) -> Found {
    let sample = |(number, line): (u64, Result<Line, String>)| match line {
        Ok(line) => Some((folder.join(line.file_name), line.text)),
        Err(why) => {
            note(
                broken,
                format!("{}, line {number}", metadata.display()),
                why,
            );
            None
        }
    };
    lines.filter_map(sample).collect()
}

/// The pictures in a folder and the folders in it that have a `.txt` beside them.
fn beside(folder: &Path, broken: &mut Broken) -> Result<Found, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        if path.is_dir() {
            found.extend(beside(&path, broken)?);
        } else if is_picture(&path) {
            let caption = read(&path.with_extension("txt"), LONGEST_CAPTION);
            let text = caption.and_then(|bytes| {
                String::from_utf8(bytes).map_err(|_| "its caption is no UTF-8".to_owned())
            });
            match text {
                Ok(text) => found.push((path, text)),
                Err(why) => note(broken, path.display().to_string(), why),
            }
        }
    }
    Ok(found)
}

/// Whether a file is called as pictures are.
pub(crate) fn is_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ENDINGS.contains(&&*ending.to_ascii_lowercase())
}
