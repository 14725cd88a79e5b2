//! Computes the embeddings of a dataset once and writes them to shards: see [`crate::embedding_cache`].

use std::collections::btree_map::Entry;
use std::fs;
use std::ops::ControlFlow;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use files::atomic::{self, remove_partials};
use files::lock::{FolderLock, LockError};
use tar::{Builder, Header};
use tch::{Kind, Tensor};

use crate::Error;
use crate::data::{CaptionedImages, Data, SUBSET_SIZE, stack};
use crate::embedding_cache::{CacheIndex, EmbeddingCache, INDEX_FILE, check_embedding};
use crate::encoders::FrozenImageEncoder;
use crate::prefetch::Prefetch;
use crate::rejects::Rejects;
use crate::shards::{SampleKind, Shard};
use crate::trainer::PRIOR_SUBSET;

/// Images that are encoded at once.
const BATCH: u64 = 64;

/// The longest time that a process waits for another's lock.
const LOCK_TIME: Duration = Duration::from_secs(600);

/// The work of embedding a dataset.
pub struct Embed<'a> {
    /// Images, which are cropped at the centre and not mirrored. Of a synthetic dataset, those that the prior sees first.
    pub data: &'a Data,
    /// How many images of a synthetic dataset; files are embedded whole.
    pub synthetic: u64,
    /// The network.
    pub encoder: &'a FrozenImageEncoder,
    /// The fingerprint of the network's folder.
    pub fingerprint: String,
    /// The folder of the shards: new or empty, or one that the same work began.
    pub folder: &'a Path,
    /// Images a shard.
    pub shard_size: u64,
    /// The number of this process and of all that share the work: shards are dealt out in turn, and each is written by one.
    pub part: (u64, u64),
}

/// The progress of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedProgress {
    /// Images that are done, broken ones included.
    pub done: u64,
    /// Images in all.
    pub images: u64,
    /// Embeddings in the shards.
    pub embeddings: u64,
}

/// An image of the dataset.
struct NumberedImage {
    number: u64,
    pixels: Vec<u8>,
    caption: String,
}

impl Embed<'_> {
    /// Writes the shards that are not there yet, each whole or not at all. `observe` is called with the number of images that
    /// are done before every few of them, and at the end; `Break` ends the work, and the shard that is computed then is lost.
    pub fn run(
        &self,
        observe: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<EmbedProgress, Error> {
        if let Data::Embeddings(_) = self.data {
            self.data.check_images("embed")?;
        }
        fs::create_dir_all(self.folder).map_err(Error::file(self.folder))?;
        let lock = self.lock()?;
        let mut index = self.open_index()?;
        // Several hold the lock for a moment only.
        let _alone = self.is_alone().then_some(lock);
        let missing = self.missing(&mut index)?;
        let missing: Vec<(String, Range<u64>)> =
            missing.into_iter().filter(|(_, range)| self.owns(range)).collect();
        let left: u64 = missing.iter().map(|(_, range)| length(range)).sum();
        let mut progress = EmbedProgress {
            done: self.images() - left,
            images: self.images(),
            embeddings: index.shards.values().sum(),
        };
        let batches: Vec<Range<u64>> =
            missing.iter().flat_map(|(_, range)| parts(range.clone(), BATCH)).collect();
        let (data, size) = (self.data.clone(), self.encoder.size() as u32);
        let count = batches.len() as u64;
        let images =
            Prefetch::new(0..count, move |n| read(&data, batches[n as usize].clone(), size));
        for (name, range) in missing {
            let path = self.folder.join(&name);
            let mut shard = Builder::new(Vec::new());
            let mut embeddings = 0;
            for part in parts(range, BATCH) {
                if observe(progress.done).is_break() {
                    return Ok(progress);
                }
                let images = images.next().expect("there are as many as parts");
                embeddings += images.len() as u64;
                self.add(&mut shard, &images, &path)?;
                progress.done += length(&part);
            }
            let bytes = shard.into_inner().map_err(Error::file(&path))?;
            atomic::write(&path, &bytes, true).map_err(Error::write(&path))?;
            index.shards.insert(name, embeddings);
            if self.is_alone() {
                self.save(&mut index)?;
            }
            progress.embeddings = index.shards.values().sum();
        }
        let _ = observe(progress.done); // there is nothing left to end
        if !self.is_alone() {
            // The last process to come here finds all shards. Most are looked into without the lock.
            self.missing(&mut index)?;
            let _lock = self.lock()?;
            let known = std::mem::take(&mut index.shards);
            index = self.open_index()?;
            index.shards.extend(known);
            self.missing(&mut index)?;
            self.save(&mut index)?;
            progress.embeddings = index.count;
            return Ok(progress);
        }
        self.save(&mut index)?;
        progress.embeddings = index.count;
        Ok(progress)
    }

    fn is_alone(&self) -> bool {
        self.part.1 == 1
    }

    /// Whether the shard of these images is this process's.
    fn owns(&self, range: &Range<u64>) -> bool {
        range.start / self.shard_size % self.part.1 == self.part.0
    }

    /// The lock on the folder. Processes that share the work wait for each other, and hold it for a moment.
    fn lock(&self) -> Result<FolderLock, Error> {
        let begun = Instant::now();
        loop {
            match FolderLock::take(self.folder) {
                Err(LockError::Held { .. }) if !self.is_alone() && begun.elapsed() < LOCK_TIME => {
                    thread::sleep(Duration::from_millis(20));
                }
                taken => return taken.map_err(Error::lock(self.folder)),
            }
        }
    }

    /// How many images there are, broken ones included.
    pub fn images(&self) -> u64 {
        self.data.dataset().map_or(self.synthetic, |dataset| dataset.count() as u64)
    }

    /// The folder's index: a new one in an empty folder, or what earlier work of the same kind left.
    fn open_index(&self) -> Result<CacheIndex, Error> {
        let folder = self.folder;
        if self.is_alone() {
            remove_partials(folder);
        }
        let half = self.encoder.kind == Kind::Half;
        let new = CacheIndex {
            encoder: self.fingerprint.clone(),
            width: self.encoder.embedding(),
            numbers: if half { "f16" } else { "f32" }.to_owned(),
            data: self.data.describe(),
            samples: self.images(),
            shard_size: self.shard_size,
            shards: Default::default(),
            count: 0,
            complete: false,
        };
        if EmbeddingCache::is_in(folder) {
            let old = CacheIndex::read(folder)?;
            return match difference(&old, &new) {
                None => Ok(old),
                Some((what, theirs, ours)) => Err(Error::Data(format!(
                    "--shards {}: the embeddings in it have {what} {theirs}, and now {ours} is asked for: another folder begins anew",
                    folder.display()
                ))),
            };
        }
        let mut entries = fs::read_dir(folder).map_err(Error::file(folder))?;
        if entries.next().is_some() {
            return Err(Error::Data(format!(
                "--shards {}: the folder is not empty, and holds no {INDEX_FILE}",
                folder.display()
            )));
        }
        new.write(folder)?;
        Ok(new)
    }

    /// The shards that are not there, by name and images. A shard that is there is entered in the index, where a crash came
    /// between the two.
    fn missing(&self, index: &mut CacheIndex) -> Result<Vec<(String, Range<u64>)>, Error> {
        let mut missing = Vec::new();
        for (number, range) in (0..).zip(parts(0..self.images(), self.shard_size)) {
            let name = format!("{number:05}.tar");
            let path = self.folder.join(&name);
            if !path.exists() {
                index.shards.remove(&name);
                missing.push((name, range));
            } else if let Entry::Vacant(unknown) = index.shards.entry(name) {
                let mut broken = Rejects::default();
                let shard = Shard::open(&path, SampleKind::Embeddings, &mut broken);
                let keys: Vec<Option<u64>> = shard.keys().map(|key| key.parse().ok()).collect();
                let ours = |key: &Option<u64>| key.is_some_and(|key| range.contains(&key));
                if keys.is_empty() || broken.len() > 0 || !keys.iter().all(ours) {
                    return Err(Error::Data(format!(
                        "{} is in the place of a shard, and is none of this work's",
                        path.display()
                    )));
                }
                unknown.insert(keys.len() as u64);
            }
        }
        Ok(missing)
    }

    fn save(&self, index: &mut CacheIndex) -> Result<(), Error> {
        index.count = index.shards.values().sum();
        index.complete = index.shards.len() as u64 == self.images().div_ceil(self.shard_size);
        index.write(self.folder)
    }

    /// Encodes images and adds them to a shard, at `path` later.
    fn add(
        &self,
        shard: &mut Builder<Vec<u8>>,
        images: &[NumberedImage],
        path: &Path,
    ) -> Result<(), Error> {
        if images.is_empty() {
            return Ok(());
        }
        let pixels: Vec<&[u8]> = images.iter().map(|image| &image.pixels[..]).collect();
        let embeddings = self.encoder.encode(&stack(&pixels, self.encoder.size() as u32)); // [B, E]
        let kind = match self.encoder.kind {
            Kind::Half => Kind::Half,
            _ => Kind::Float,
        };
        let rows: Vec<Tensor> = embeddings.to_kind(kind).unbind(0);
        for (NumberedImage { number, caption, .. }, row) in images.iter().zip(rows) {
            check_embedding(&row).map_err(|why| {
                Error::Data(format!(
                    "the image encoder's embedding of picture {number} cannot be learned from: {why}"
                ))
            })?;
            let members = [("txt", caption.clone().into_bytes()), ("npy", weights::npy(&row))];
            for (ending, bytes) in members {
                let mut header = Header::new_ustar();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                let name = format!("{number:09}.{ending}");
                let result = shard.append_data(&mut header, name, &bytes[..]);
                result.map_err(Error::file(path))?;
            }
        }
        Ok(())
    }
}

/// The images of a range, but for broken ones.
fn read(data: &Data, range: Range<u64>, size: u32) -> Vec<NumberedImage> {
    match data {
        Data::Synthetic(dataset) => {
            let first = PRIOR_SUBSET * SUBSET_SIZE + range.start;
            let CaptionedImages { images, captions, .. } =
                dataset.draw(first, length(&range) as usize, size, false);
            let images = range.zip(images).zip(captions);
            images
                .map(|((number, pixels), caption)| NumberedImage { number, pixels, caption })
                .collect()
        }
        Data::Images(images) => {
            let crops = images.center_crops(range.start as usize..range.end as usize, size);
            let numbered = |(number, image, caption): (usize, image::RgbImage, String)| {
                NumberedImage { number: number as u64, pixels: image.into_raw(), caption }
            };
            crops.into_iter().map(numbered).collect()
        }
        Data::Embeddings(_) => unreachable!("they are refused before"),
    }
}

/// The first difference of two plans, the old one first.
fn difference(old: &CacheIndex, new: &CacheIndex) -> Option<(&'static str, String, String)> {
    let fields = |index: &CacheIndex| {
        [
            ("the encoder", index.encoder.clone()),
            ("numbers of", index.numbers.clone()),
            ("the data", index.data.clone()),
            ("a number of pictures of", index.samples.to_string()),
            ("a --shard-size of", index.shard_size.to_string()),
        ]
    };
    let pairs = fields(old).into_iter().zip(fields(new));
    pairs.filter(|(old, new)| old.1 != new.1).map(|((what, old), (_, new))| (what, old, new)).next()
}

/// A range in parts of this length, the last of which may be shorter.
fn parts(range: Range<u64>, length: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(length as usize).map(move |start| start..end.min(start.saturating_add(length)))
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}
