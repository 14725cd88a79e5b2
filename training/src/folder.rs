//! A folder of images with captions.
//!
//! It is laid out as Hugging Face's imagefolder is, with a `metadata.jsonl` or `metadata.csv`, or each image has its caption
//! beside it, in a `.txt` of the same name.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use files::contents::ENOUGH;
use files::extensions::{extension, is_image, is_unsupported_image};
use files::names::{composed, locate};
use files::walk::{is_hidden, walk};
use images::MAX_FILE_BYTES;
use images::formats::FileKind;

use crate::Error;
use crate::dataset::SampleSource;
use crate::metadata::{METADATA, read as read_table};
use crate::other_formats;
use crate::rejects::{Rejects, decode_caption};

/// The longest caption's file that is read.
pub(crate) const LONGEST_CAPTION: u64 = 1 << 20;

const NO_PLAIN_FILE: &str = "it is no plain file, which can be read again and again";

/// Images in a folder, in the order of their names.
pub(crate) struct ImageFolder {
    folder: PathBuf,
    samples: Vec<FolderSample>,
}

/// An image and its caption, ordered by the image's path.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct FolderSample {
    image: PathBuf,
    caption: String,
    /// The lengths in bytes of the image's file and of the caption as it is stored.
    lengths: [u64; 2],
}

impl ImageFolder {
    /// Finds the images and reads their captions. Broken ones are noted and left out.
    pub(crate) fn open(folder: &Path, broken: &mut Rejects) -> Result<Self, Error> {
        let mut tables = METADATA.iter().map(|name| folder.join(name));
        let mut samples = match tables.find(|table| table.is_file()) {
            Some(table) => from_table(folder, &table, broken)?,
            None => beside(folder, broken)?,
        };
        samples.sort();
        Ok(Self { folder: folder.to_owned(), samples })
    }
}

impl SampleSource for ImageFolder {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, n: usize) -> String {
        let image = &self.samples[n].image;
        let name = image.strip_prefix(&self.folder).unwrap_or(image);
        name.to_string_lossy().into_owned()
    }

    fn path(&self, n: usize) -> String {
        self.samples[n].image.display().to_string()
    }

    fn lengths(&self, n: usize) -> [u64; 2] {
        self.samples[n].lengths
    }

    fn caption(&self, n: usize) -> Result<String, String> {
        Ok(self.samples[n].caption.clone())
    }

    fn content(&self, n: usize) -> Result<Vec<u8>, String> {
        read(&self.samples[n].image, MAX_FILE_BYTES)
    }
}

/// The bytes of a file that is no longer than `longest`.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // Whoever opens a fifo waits for its writer.
    if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(format!("{}: {NO_PLAIN_FILE}", path.display()));
    }
    let file = File::open(path);
    // One more than there may be tells a file that grows, or that has no length, from one that fits.
    file.and_then(|file| file.take(longest + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match bytes.len() as u64 > longest {
        true => Err(format!("{} has more than {longest} bytes", path.display())),
        false => Ok(bytes),
    }
}

/// An image with this caption, which has `length` bytes where it is stored; noted and none where it is broken.
fn sample(
    image: PathBuf,
    caption: String,
    length: u64,
    broken: &mut Rejects,
) -> Option<FolderSample> {
    let why = match fs::metadata(&image) {
        Ok(metadata) if !metadata.is_file() => NO_PLAIN_FILE.to_owned(),
        Ok(_) if caption.trim().is_empty() => "its caption is empty".to_owned(),
        Ok(metadata) => {
            return Some(FolderSample { image, caption, lengths: [metadata.len(), length] });
        }
        Err(error) => error.to_string(),
    };
    broken.note(image.display().to_string(), why);
    None
}

/// The images that a table names. A line that cannot be read is noted under its number.
fn from_table(
    folder: &Path,
    table: &Path,
    broken: &mut Rejects,
) -> Result<Vec<FolderSample>, Error> {
    let mut samples = Vec::new();
    for (line, row) in read_table(table)? {
        match row {
            Ok((name, caption)) => {
                let length = caption.len() as u64;
                samples.extend(sample(locate(folder, &name), caption, length, broken));
            }
            Err(why) => broken.note(format!("{}, line {line}", table.display()), why),
        }
    }
    Ok(samples)
}

/// The images in a folder and the folders in it that have a `.txt` beside them.
fn beside(folder: &Path, broken: &mut Rejects) -> Result<Vec<FolderSample>, Error> {
    let found = walk(folder, |path| is_image(path) || is_unsupported_image(path));
    broken.note_walk(&found);
    let (mut samples, mut captions) = (Vec::new(), Captions::default());
    for image in found.files.into_iter().map(|file| file.path) {
        let readable = match is_unsupported_image(&image) {
            true => check_kind(&image),
            false => Ok(()),
        };
        match readable.and_then(|()| captions.of(&image)) {
            Ok((caption, length)) => samples.extend(sample(image, caption, length, broken)),
            Err(why) => broken.note(image.display().to_string(), why),
        }
    }
    if samples.is_empty()
        && let Some(why) = other_formats::captions(folder)
    {
        let folder = folder.display();
        return Err(Error::Data(format!("{folder} has no picture with a caption: {why}")));
    }
    Ok(samples)
}

/// Refuses an image that is not read, by its first bytes, or by its name where these say too little.
fn check_kind(image: &Path) -> Result<(), String> {
    let mut first = Vec::new();
    let file = File::open(image);
    file.and_then(|file| file.take(ENOUGH as u64).read_to_end(&mut first))
        .map_err(|error| error.to_string())?;
    match FileKind::of(&first, image) {
        Some(kind) => Err(format!("it is {kind}")),
        None => Ok(()),
    }
}

/// Captions beside images.
#[derive(Default)]
struct Captions {
    /// For each folder that was looked into, its `.txt`s by their names without the ending, composed.
    folders: HashMap<PathBuf, HashMap<Vec<u8>, PathBuf>>,
}

impl Captions {
    /// An image's caption, and how many bytes it is stored in.
    fn of(&mut self, image: &Path) -> Result<(String, u64), String> {
        let exact = image.with_extension("txt");
        let path = match exact.exists() {
            true => Some(&exact),
            false => self.folder(image.parent().unwrap_or(Path::new(""))).get(&stem(image)),
        };
        let Some(path) = path else {
            let name = exact.file_name().unwrap_or_default();
            return Err(format!("there is no {} beside it", name.display()));
        };
        let bytes = read(path, LONGEST_CAPTION)?;
        Ok((decode_caption(&bytes)?, bytes.len() as u64))
    }

    fn folder(&mut self, folder: &Path) -> &HashMap<Vec<u8>, PathBuf> {
        self.folders.entry(folder.to_owned()).or_insert_with(|| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let shown = entries.filter(|entry| !is_hidden(&entry.file_name()));
            let paths = shown.map(|entry| entry.path());
            paths.filter(|path| extension(path) == "txt").map(|path| (stem(&path), path)).collect()
        })
    }
}

/// A name without its ending, composed.
fn stem(path: &Path) -> Vec<u8> {
    composed(path.file_stem().unwrap_or_default())
}
