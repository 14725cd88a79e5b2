//! Export to a folder of images with `metadata.jsonl`, the layout of an imagefolder data set.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use files::atomic::{self, AtomicFile};
use files::lock::{FolderLock, LockError};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::resume::{self, ResumePoint};
use crate::scene::{Pairs, Scene, Split};

/// The arguments of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// How many images.
    pub count: u64,
    /// The first image's seed; the next has the next seed.
    pub seed: u64,
    /// The images' width and height in pixels.
    pub size: u32,
    /// Held-out pairs (evaluation scenes) instead of training scenes.
    pub held_out: bool,
}

impl fmt::Display for Export {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Self { count, seed, size, held_out } = self;
        let held_out = if *held_out { " --held-out" } else { "" };
        write!(to, "--count {count} --seed {seed} --size {size}{held_out}")
    }
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The number of images is none, or more than there are seeds.
    #[error("--count is {0}, but it must be from 1 to {max}", max = Split::SEEDS)]
    Count(u64),
    /// The seeds go beyond those that there are.
    #[error(
        "--seed is {seed}: {count} pictures have the seeds from it to {}, and seeds end at {}",
        .seed.saturating_add(.count - 1),
        Split::SEEDS - 1
    )]
    Seed {
        /// The first image's.
        seed: u64,
        /// How many images.
        count: u64,
    },
    /// The images are too small to show anything, or absurdly large.
    #[error("--size is {0}, but it must be from {MIN_SIZE} to {MAX_SIZE} pixels")]
    Size(u32),
    /// The folder has something in it, which an export never overwrites.
    #[error("--out: the folder {} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The folder holds a part of another export.
    #[error(
        "--out: the folder {} holds a part of {begun}, and now {new} is asked for: that command goes on with it, another folder begins anew",
        .folder.display()
    )]
    Another {
        /// The folder.
        folder: PathBuf,
        /// The export that was begun in it.
        begun: Export,
        /// The new one.
        new: Export,
    },
    /// The file that says which export was begun in a folder says nothing.
    #[error("{} does not say which export was begun here ({source}): another folder begins anew", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: io::Error,
    },
    /// Another process exports to the folder.
    #[error("--out {}: {source}", .folder.display())]
    Lock {
        /// The folder.
        folder: PathBuf,
        /// Who does.
        source: LockError,
    },
    /// The file or folder could not be read or written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The image could not be encoded.
    #[error("cannot encode {}: {source}", .path.display())]
    Encode {
        /// The image's file.
        path: PathBuf,
        /// The reason.
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

/// Writes the images and their `metadata.jsonl` (`file_name`, `text`, `seed` and all labels a line) into a folder, which is made
/// where it is missing. It may be ended between any two images, and goes on where it was: every image that is there is whole
/// and has a line.
pub struct Exporter {
    options: Export,
    out: PathBuf,
    /// Whether the folder was not there before.
    made: bool,
    /// Opened with the first image.
    metadata: Option<File>,
    /// Bytes of whole lines in it.
    length: u64,
    done: u64,
    _alone: FolderLock,
}

impl Exporter {
    /// Makes the folder, or sees that it is empty or one that the same export began.
    pub fn new(options: Export, out: &Path) -> Result<Self, ExportError> {
        options.check()?;
        let made = !out.exists();
        fs::create_dir_all(out).map_err(write_error(out))?;
        let alone = FolderLock::take(out)
            .map_err(|source| ExportError::Lock { folder: out.to_owned(), source })?;
        let mut exporter = Self {
            options,
            out: out.to_owned(),
            made,
            metadata: None,
            length: 0,
            done: 0,
            _alone: alone,
        };
        match resume::is_begun(out, &options)? {
            true => exporter.recover()?,
            false => exporter.begin()?,
        }
        Ok(exporter)
    }

    fn begin(&self) -> Result<(), ExportError> {
        let failed = || write_error(&self.out);
        if fs::read_dir(&self.out).map_err(failed())?.next().is_some() {
            return Err(ExportError::NotEmpty(self.out.clone()));
        }
        resume::begin(&self.out, &self.options).map_err(|error| {
            self.clear();
            failed()(error)
        })
    }

    fn recover(&mut self) -> Result<(), ExportError> {
        atomic::remove_partials(&self.out);
        let metadata = self.metadata_path();
        let recovered = resume::recover(&metadata, |number| {
            let name = self.options.file_name(number);
            let path = self.out.join(&name);
            (name, path)
        });
        if let Some(ResumePoint { file, length, done }) =
            recovered.map_err(write_error(&metadata))?
        {
            (self.metadata, self.length, self.done) = (Some(file), length, done);
        }
        Ok(())
    }

    /// How many images are written.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Draws the next image and writes it, and then its line; false where there is none. Where the first cannot be written,
    /// no new folder stays behind.
    pub fn export_next(&mut self) -> Result<bool, ExportError> {
        if self.done >= self.options.count {
            resume::end(&self.out).map_err(write_error(&self.out))?;
            return Ok(false);
        }
        let written = self.write_next();
        if written.is_err() && self.done == 0 {
            self.clear();
        }
        written.map(|()| true)
    }

    /// Removes what says that something was begun. Best effort: the folder is empty otherwise.
    fn clear(&self) {
        let _ = resume::end(&self.out);
        if self.made {
            let _ = fs::remove_dir(&self.out);
        }
    }

    fn write_next(&mut self) -> Result<(), ExportError> {
        let Export { count, seed, size, held_out } = self.options;
        let split = match held_out {
            true => Split::Evaluation(Pairs::HeldOut),
            false => Split::Training,
        };
        let seed = seed + self.done;
        let scene = Scene::draw(seed, split);
        let file_name = self.options.file_name(self.done);
        let path = self.out.join(&file_name);
        let image = png(&scene.render(size), size, &path)?;
        let line = Line {
            file_name: &file_name,
            text: &scene.own_caption().text,
            seed,
            labels: scene.labels(),
        };
        let mut line = serde_json::to_vec(&line).expect("labels have a JSON form");
        line.push(b'\n');
        let last = self.done + 1 == count;
        let mut appended = Ok(());
        let placed = AtomicFile::create(&path).and_then(|mut file| {
            file.write_all(&image)?;
            file.commit_then(true, || {
                appended = self.append(&line, last);
                if appended.is_err() {
                    let _ = fs::remove_file(&path); // Best effort: it has no line.
                }
                Ok(())
            })
        });
        placed.map_err(write_error(&path))?;
        appended.map_err(write_error(&self.metadata_path()))?;
        self.done += 1;
        Ok(())
    }

    fn metadata_path(&self) -> PathBuf {
        self.out.join("metadata.jsonl")
    }

    /// Adds a line to the metadata: wholly, or not at all.
    fn append(&mut self, line: &[u8], last: bool) -> io::Result<()> {
        let path = self.metadata_path();
        let file = match &mut self.metadata {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).create_new(true).open(&path)?),
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

impl Export {
    fn check(&self) -> Result<(), ExportError> {
        let Self { count, seed, size, .. } = *self;
        if count == 0 || count > Split::SEEDS {
            return Err(ExportError::Count(count));
        }
        if seed.saturating_add(count) > Split::SEEDS {
            return Err(ExportError::Seed { seed, count });
        }
        match (MIN_SIZE..=MAX_SIZE).contains(&size) {
            true => Ok(()),
            false => Err(ExportError::Size(size)),
        }
    }

    /// The name of an image's file, by its number.
    fn file_name(&self, number: u64) -> String {
        let digits = (self.count - 1).to_string().len().max(5);
        format!("{number:0digits$}.png")
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> ExportError + use<> {
    let path = path.to_owned();
    move |source| ExportError::Write { path, source }
}

fn png(pixels: &[u8], size: u32, path: &Path) -> Result<Vec<u8>, ExportError> {
    let mut image = Vec::new();
    let encoder = PngEncoder::new(&mut image);
    let encoded = encoder.write_image(pixels, size, size, ExtendedColorType::Rgb8);
    encoded.map_err(|source| ExportError::Encode { path: path.to_owned(), source })?;
    Ok(image)
}
