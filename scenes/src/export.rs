//! A folder of pictures with `metadata.jsonl`, as data sets are laid out.

use std::fs;
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

/// Writes the pictures and their `metadata.jsonl` (`file_name`, `text`, `seed` and all labels a
/// line) into a folder, which is made where it is missing. Each file appears whole or not at
/// all; `metadata.jsonl` comes last. `progress` hears of each picture: how many are done, of
/// how many.
pub fn export(
    options: &Export,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), ExportError> {
    let &Export {
        count,
        seed,
        size,
        held_out,
    } = options;
    if count == 0 || count > Split::SEEDS {
        return Err(ExportError::Count(count));
    }
    if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
        return Err(ExportError::Size(size));
    }
    prepare(out)?;
    let split = if held_out {
        Split::Evaluation(Pairs::HeldOut)
    } else {
        Split::Training
    };
    let digits = (count - 1).to_string().len().max(5);
    let mut metadata = Vec::new();
    for index in 0..count {
        let seed = seed.wrapping_add(index) % Split::SEEDS;
        let scene = Scene::draw(seed, split);
        let caption = scene.own_caption();
        let file_name = format!("{index:0digits$}.png");
        let path = out.join(&file_name);
        let mut picture = Vec::new();
        PngEncoder::new(&mut picture)
            .write_image(&scene.render(size), size, size, ExtendedColorType::Rgb8)
            .map_err(|source| ExportError::Encode {
                path: path.clone(),
                source,
            })?;
        write_whole(&path, &picture)?;
        let labels = scene.labels();
        let line = Line {
            file_name: &file_name,
            text: &caption.text,
            seed,
            labels,
        };
        serde_json::to_writer(&mut metadata, &line).expect("labels have a JSON form");
        metadata.push(b'\n');
        progress(index + 1, count);
    }
    write_whole(&out.join("metadata.jsonl"), &metadata)
}

/// Makes the folder, or sees that it is empty.
fn prepare(out: &Path) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write {
        path: out.to_owned(),
        source,
    };
    fs::create_dir_all(out).map_err(failed)?;
    match fs::read_dir(out).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(ExportError::NotEmpty(out.to_owned())),
    }
}

/// Writes beside the file and renames, so that a half-written file never has its name.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = fs::File::create(&partial)?;
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
