//! Pictures and captions that a user brings: a folder.
//!
//! It is laid out as Hugging Face's imagefolder is, with a `metadata.jsonl` or `metadata.csv` of `file_name` and `text`, or
//! each picture has its caption beside it, in a `.txt` of the same name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clip::read_picture;
use clip::resize::{Filter, resize};
use image::imageops;
use noise::Generator;
use serde::Deserialize;
use tch::Tensor;

use crate::Error;
use crate::data::{Batch, SCENES_A_LEG, stack};

/// The endings of pictures.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

/// A folder of pictures with captions.
pub struct PictureFolder {
    folder: PathBuf,
    /// In the order of their names.
    samples: Vec<Sample>,
    /// Whether half of the pictures are mirrored: not where captions tell left from right.
    flip: bool,
    found: usize,
    /// What could not be read, and why.
    broken: Mutex<BTreeMap<PathBuf, String>>,
    order: Mutex<Order>,
}

/// The order of the samples in an epoch of a leg: that which was asked for last.
#[derive(Default)]
struct Order {
    leg: u64,
    epoch: u64,
    /// Empty before the first was asked for.
    samples: Vec<u32>,
}

struct Sample {
    picture: PathBuf,
    caption: String,
}

/// A line of `metadata.jsonl` or `metadata.csv`; what else it says is passed over.
#[derive(Deserialize)]
struct Line {
    file_name: String,
    text: String,
}

impl PictureFolder {
    /// Reads which pictures there are and what their captions say. A broken caption is noted and left out; an error where
    /// no caption is left.
    pub fn open(folder: &Path, flip: bool) -> Result<Self, Error> {
        let mut broken = BTreeMap::new();
        let (jsonl, csv) = (folder.join("metadata.jsonl"), folder.join("metadata.csv"));
        let mut samples = if jsonl.is_file() {
            from_jsonl(folder, &jsonl, &mut broken)?
        } else if csv.is_file() {
            from_csv(folder, &csv, &mut broken)?
        } else {
            beside(folder, &mut broken)?
        };
        samples.retain(|Sample { picture, caption }| {
            let empty = caption.trim().is_empty();
            if empty {
                broken.insert(picture.clone(), "its caption is empty".to_owned());
            }
            !empty
        });
        if samples.is_empty() {
            return Err(Error::Data(format!(
                "{} has no picture with a caption, of {} that were found",
                folder.display(),
                broken.len()
            )));
        }
        samples.sort_by(|a, b| a.picture.cmp(&b.picture));
        Ok(Self {
            folder: folder.to_owned(),
            found: samples.len() + broken.len(),
            samples,
            flip,
            broken: Mutex::new(broken),
            order: Mutex::default(),
        })
    }

    /// How many pictures and captions were found, broken ones included.
    pub fn found(&self) -> usize {
        self.found
    }

    /// What could not be read so far, and why.
    pub fn broken(&self) -> Vec<(PathBuf, String)> {
        let broken = self.broken.lock().expect("nobody panics with it");
        broken.clone().into_iter().collect()
    }

    /// The first captions.
    pub(crate) fn captions(&self, count: usize) -> Vec<String> {
        let captions = self.samples.iter().map(|sample| sample.caption.clone());
        captions.take(count).collect()
    }

    /// The pictures `first .. first + count` of a leg's order, in which every epoch has an order of its own. In the place
    /// of a broken picture comes the next one of the epoch, so that the order depends on nothing but the folder.
    pub(crate) fn draw(
        &self,
        leg: u64,
        first: u64,
        size: u32,
        count: usize,
    ) -> Result<Batch, Error> {
        let (mut pictures, mut captions) = (Vec::new(), Vec::new());
        for position in first..first + count as u64 {
            let (picture, caption) = self.sample(leg, position, size)?;
            pictures.push(picture);
            captions.push(caption);
        }
        let same = |i: usize, j: usize| i != j && captions[i] == captions[j];
        let marks: Vec<bool> = (0..count)
            .flat_map(|i| (0..count).map(move |j| (i, j)))
            .map(|(i, j)| same(i, j))
            .collect();
        let side = count as i64;
        Ok(Batch {
            pictures: stack(&pictures, size),
            clashes: Tensor::from_slice(&marks).view([side, side]),
            captions,
        })
    }

    fn sample(&self, leg: u64, position: u64, size: u32) -> Result<(Vec<u8>, String), Error> {
        let count = self.samples.len() as u64;
        let (epoch, start) = (position / count, position % count);
        // As scenes' numbers, no two legs' are the same.
        let generator = &mut Generator::new(leg * SCENES_A_LEG + position);
        for place in (start..count).chain(0..start) {
            let Sample { picture, caption } = &self.samples[self.at(leg, epoch, place)];
            if self.is_broken(picture) {
                continue;
            }
            match read_picture(picture) {
                Ok(read) => {
                    let square = self.square(&read.picture, size, generator);
                    return Ok((square.into_raw(), caption.clone()));
                }
                Err(error) => {
                    tracing::warn!("{error}: it is left out");
                    let mut broken = self.broken.lock().expect("nobody panics with it");
                    broken.insert(picture.clone(), error.to_string());
                }
            }
        }
        Err(Error::Data(format!(
            "none of the {count} pictures in {} can be read",
            self.folder.display()
        )))
    }

    fn is_broken(&self, picture: &Path) -> bool {
        let broken = self.broken.lock().expect("nobody panics with it");
        broken.contains_key(picture)
    }

    /// The number of the sample at a place of an epoch.
    fn at(&self, leg: u64, epoch: u64, place: u64) -> usize {
        let mut order = self.order.lock().expect("nobody panics with it");
        if order.samples.is_empty() || (order.leg, order.epoch) != (leg, epoch) {
            let mut samples: Vec<u32> = (0..self.samples.len() as u32).collect();
            // Far from the generators of pictures, which lie below 8 * SCENES_A_LEG.
            Generator::new((8 + leg) * SCENES_A_LEG + epoch).shuffle(&mut samples);
            *order = Order {
                leg,
                epoch,
                samples,
            };
        }
        order.samples[place as usize] as usize
    }

    /// The shorter side resized to `size`, and of the longer one a random part (2103.00020, section 2.4).
    fn square(
        &self,
        picture: &image::RgbImage,
        size: u32,
        generator: &mut Generator,
    ) -> image::RgbImage {
        let (width, height) = picture.dimensions();
        let short = width.min(height);
        let (slack_x, slack_y) = (width - short, height - short);
        let part = generator.uniform();
        let at = |slack: u32| (f64::from(slack + 1) * part) as u32;
        // Cut before it is enlarged: a picture may be very long.
        let cut = imageops::crop_imm(picture, at(slack_x), at(slack_y), short, short).to_image();
        let square = resize(&cut, size, size, Filter::Bicubic);
        match self.flip && generator.uniform() < 0.5 {
            true => imageops::flip_horizontal(&square),
            false => square,
        }
    }
}

type Broken = BTreeMap<PathBuf, String>;

fn from_jsonl(folder: &Path, metadata: &Path, broken: &mut Broken) -> Result<Vec<Sample>, Error> {
    let text = fs::read(metadata).map_err(Error::file(metadata))?;
    let lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let read = lines.map(|(number, line)| {
        let line = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string());
        (number, line)
    });
    Ok(samples(folder, metadata, read, broken))
}

fn from_csv(folder: &Path, metadata: &Path, broken: &mut Broken) -> Result<Vec<Sample>, Error> {
    let reader = csv::Reader::from_path(metadata);
    let mut reader =
        reader.map_err(|error| Error::Data(format!("{}: {error}", metadata.display())))?;
    let rows = reader.deserialize::<Line>();
    let rows = (2..).zip(rows.map(|row| row.map_err(|error| error.to_string())));
    Ok(samples(folder, metadata, rows, broken))
}

/// The samples that the lines of a metadata file name. A line that cannot be read is noted under its number.
fn samples(
    folder: &Path,
    metadata: &Path,
    lines: impl Iterator<Item = (u64, Result<Line, String>)>,
    broken: &mut Broken,
) -> Vec<Sample> {
    let sample = |(number, line): (u64, Result<Line, String>)| match line {
        Ok(line) => Some(Sample {
            picture: folder.join(line.file_name),
            caption: line.text,
        }),
        Err(why) => {
            let place = format!("{}, line {number}", metadata.display());
            tracing::warn!("{place}: {why}: it is left out");
            broken.insert(PathBuf::from(place), why);
            None
        }
    };
    lines.filter_map(sample).collect()
}

/// The pictures in a folder and the folders in it that have a `.txt` beside them.
fn beside(folder: &Path, broken: &mut Broken) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            samples.extend(beside(&path, broken)?);
        } else if ENDINGS.contains(&&*ending.to_ascii_lowercase()) {
            let caption = path.with_extension("txt");
            match fs::read_to_string(&caption) {
                Ok(text) => samples.push(Sample {
                    picture: path,
                    caption: text.trim().to_owned(),
                }),
                Err(error) => {
                    let why = format!("{}: {error}", caption.display());
                    tracing::warn!("{why}: {} is left out", path.display());
                    broken.insert(path, why);
                }
            }
        }
    }
    Ok(samples)
}
