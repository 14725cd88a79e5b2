//! A folder of pictures with `metadata.jsonl`, as data sets are laid out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde::Serialize;

use crate::labels::Labels;
use crate::scene::{Pairs, Scene, Split};

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// How many pictures.
    pub count: u64,
    /// The first picture's seed; the next has the next seed.
    pub seed: u64,
    /// The pictures' width and height in pixels.
    pub size: u32,
    /// Held-out pairs (evaluation scenes) instead of training scenes.
    pub held_out: bool,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The number of pictures is none, or more than there are seeds.
    #[error("--count is {0}, but it must be from 1 to {max}", max = Split::SEEDS)]
    Count(u64),
    /// The pictures are too small to show anything, or absurdly large.
    #[error("--size is {0}, but it must be from {MIN_SIZE} to {MAX_SIZE} pixels")]
    Size(u32),
    /// The folder has something in it, which an export never overwrites.
    #[error("--out: the folder {} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The file or folder could not be read or written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The picture could not be encoded.
    #[error("cannot encode {}: {source}", .path.display())]
    Encode {
        /// The picture's file.
        path: PathBuf,
        /// What went wrong.
        source: image::ImageError,
    },
}

const MIN_SIZE: u32 = 16;
const MAX_SIZE: u32 = 2048;

#[derive(Serialize)]
struct Line<'a> {
    file_name: &'a str,
    text: &'a str,
    seed: u64,
    #[serde(flatten)]
    labels: Labels,
}

/// Writes the pictures and their `metadata.jsonl` (`file_name`, `text`, `seed` and all labels a line) into a folder, which is
/// made where it is missing. `progress` hears of each picture: how many are done, of how many.
pub fn export(
    options: &Export,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), ExportError> {
    let mut exporter = Exporter::new(*options, out)?;
    while exporter.export_next()? {
        progress(exporter.done(), options.count);
    }
    Ok(())
}

/// An export picture by picture. It may be ended between any two: `metadata.jsonl` has a line for every picture that is
/// there, and every picture is whole.
pub struct Exporter {
    options: Export,
    out: PathBuf,
    /// Whether the folder was not there before.
    made: bool,
    /// Opened with the first picture.
    metadata: Option<File>,
    /// Bytes of whole lines in it.
    length: u64,
    done: u64,
}

impl Exporter {
    /// Makes the folder, or sees that it is empty.
    pub fn new(options: Export, out: &Path) -> Result<Self, ExportError> {
        if options.count == 0 || options.count > Split::SEEDS {
            return Err(ExportError::Count(options.count));
        }
        if !(MIN_SIZE..=MAX_SIZE).contains(&options.size) {
            return Err(ExportError::Size(options.size));
        }
        let made = prepare(out)?;
        Ok(Self {
            options,
            out: out.to_owned(),
            made,
            metadata: None,
            length: 0,
            done: 0,
        })
    }

    /// How many pictures are written.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Draws the next picture and writes it, and then its line; false where there is none. Where the first cannot be written,
    /// no new folder stays behind.
    pub fn export_next(&mut self) -> Result<bool, ExportError> {
        let written = self.write_next();
        if written.is_err() && self.made && self.done == 0 {
            let _ = fs::remove_dir(&self.out); // Best effort: it is empty.
        }
        written
    }

    fn write_next(&mut self) -> Result<bool, ExportError> {
        let Export {
            count,
            seed,
            size,
            held_out,
        } = self.options;
        if self.done == count {
            return Ok(false);
        }
        let split = match held_out {
            true => Split::Evaluation(Pairs::HeldOut),
            false => Split::Training,
        };
        let seed = seed.wrapping_add(self.done) % Split::SEEDS;
        let scene = Scene::draw(seed, split);
        let digits = (count - 1).to_string().len().max(5);
        let file_name = format!("{:0digits$}.png", self.done);
        let path = self.out.join(&file_name);
        write_whole(&path, &png(&scene.render(size), size, &path)?)?;
        let line = Line {
            file_name: &file_name,
            text: &scene.own_caption().text,
            seed,
            labels: scene.labels(),
        };
        let mut line = serde_json::to_vec(&line).expect("labels have a JSON form");
        line.push(b'\n');
        let metadata = self.out.join("metadata.jsonl");
        let last = self.done + 1 == count;
        if let Err(source) = self.append(&metadata, &line, last) {
            let _ = fs::remove_file(&path); // Best effort: it has no line.
            return Err(ExportError::Write {
                path: metadata,
                source,
            });
        }
        self.done += 1;
        Ok(true)
    }

    /// Adds a line to the metadata at `path`: wholly, or not at all.
    fn append(&mut self, path: &Path, line: &[u8], last: bool) -> io::Result<()> {
        let file = match &mut self.metadata {
            Some(file) => file,
            none => none.insert(File::create_new(path)?),
        };
        let written = file.write_all(line).and_then(|()| match last {
            true => file.sync_all(),
            false => Ok(()),
        });
        match written {
            Ok(()) => self.length += line.len() as u64,
            Err(_) if self.length == 0 => fs::remove_file(path)?,
            Err(_) => file.set_len(self.length)?,
        }
        written
    }
}

fn png(pixels: &[u8], size: u32, path: &Path) -> Result<Vec<u8>, ExportError> {
    let mut picture = Vec::new();
    let encoder = PngEncoder::new(&mut picture);
    let encoded = encoder.write_image(pixels, size, size, ExtendedColorType::Rgb8);
    encoded.map_err(|source| ExportError::Encode {
        path: path.to_owned(),
        source,
    })?;
    Ok(picture)
}

/// Makes the folder, or sees that it is empty; tells whether it was made.
fn prepare(out: &Path) -> Result<bool, ExportError> {
    let failed = |source| ExportError::Write {
        path: out.to_owned(),
        source,
    };
    let made = !out.exists();
    fs::create_dir_all(out).map_err(failed)?;
    match fs::read_dir(out).map_err(failed)?.next() {
        None => Ok(made),
        Some(_) => Err(ExportError::NotEmpty(out.to_owned())),
    }
}

/// Writes beside the file and renames, so that a half-written file never has its name.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|source| {
        // What was written is of no use; that it cannot be removed either changes nothing.
        let _ = fs::remove_file(&partial);
        ExportError::Write {
            path: path.to_owned(),
            source,
        }
    })
}
