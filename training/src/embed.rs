//! Computes the embeddings of a data set once and writes them to shards: see [`crate::embedding_cache`].

use std::collections::btree_map::Entry;
use std::fs;
use std::ops::Range;
use std::path::Path;

use files::atomic::remove_partials;
use files::lock::FolderLock;
use tar::{Builder, Header};
use tch::{Kind, Tensor};

use crate::Error;
use crate::ahead::Ahead;
use crate::data::{Data, SCENES_A_LEG, stack};
use crate::embedding_cache::{EmbeddingCache, INDEX, Index, check_embedding};
use crate::encoders::PictureEncoder;
use crate::legs::PRIOR_LEG;
use crate::rejects::Rejects;
use crate::scene_data;
use crate::shards::{Shard, Wanted};

/// Pictures that are encoded at once.
const AT_ONCE: u64 = 64;

/// What is embedded, with what, and where to.
pub struct Embed<'a> {
    /// Pictures, which are cut in the middle and not mirrored. Of scenes, those that the prior sees first.
    pub data: &'a Data,
    /// How many scenes; what a user brings is embedded whole.
    pub scenes: u64,
    /// The network.
    pub encoder: &'a PictureEncoder,
    /// The fingerprint of the network's folder.
    pub fingerprint: String,
    /// The folder of the shards: new or empty, or one that the same work began.
    pub folder: &'a Path,
    /// Pictures a shard.
    pub shard_size: u64,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Pictures that are done, broken ones included.
    pub done: u64,
    /// Pictures in all.
    pub pictures: u64,
    /// Embeddings in the shards.
    pub embeddings: u64,
}

/// Pictures with their numbers and captions.
type Pictures = Vec<(u64, Vec<u8>, String)>;

impl Embed<'_> {
    /// Writes the shards that are not there yet, each whole or not at all. `told` hears how many pictures are done;
    /// `stopped` is asked before every few pictures, and what of a shard is computed then is lost.
    pub fn run(
        &self,
        told: &mut dyn FnMut(u64),
        stopped: &dyn Fn() -> bool,
    ) -> Result<Reached, Error> {
        if let Data::Embeddings(_) = self.data {
            self.data.check_pictures("embed")?;
        }
        fs::create_dir_all(self.folder).map_err(Error::file(self.folder))?;
        let _alone = FolderLock::take(self.folder).map_err(Error::lock(self.folder))?;
        let mut index = self.begin()?;
        let missing = self.missing(&mut index)?;
        let kept = self.pictures() - missing.iter().map(|(_, range)| length(range)).sum::<u64>();
        let mut progress = Reached {
            done: kept,
            pictures: self.pictures(),
            embeddings: index.shards.values().sum(),
        };
        told(progress.done);
        let chunks: Vec<Range<u64>> =
            missing.iter().flat_map(|(_, range)| parts(range.clone(), AT_ONCE)).collect();
        let (data, size) = (self.data.clone(), self.encoder.size() as u32);
        let count = chunks.len() as u64;
        let pictures = Ahead::new(0..count, move |n| read(&data, chunks[n as usize].clone(), size));
        for (name, range) in missing {
            let mut shard = Builder::new(Vec::new());
            let mut embeddings = 0;
            for part in parts(range, AT_ONCE) {
                if stopped() {
                    return Ok(progress);
                }
                let pictures = pictures.next().expect("there are as many as parts");
                embeddings += pictures.len() as u64;
                self.add(&mut shard, &pictures, &self.folder.join(&name))?;
                progress.done += length(&part);
                told(progress.done);
            }
            let path = self.folder.join(&name);
            let bytes = shard.into_inner().map_err(Error::file(&path))?;
            weights::write_atomically(&path, |out| {
                out.write_all(&bytes).map_err(weights::Error::io("write", path.display()))
            })?;
            index.shards.insert(name, embeddings);
            self.save(&mut index)?;
            progress.embeddings = index.count;
        }
        self.save(&mut index)?;
        progress.embeddings = index.count;
        Ok(progress)
    }

    /// How many pictures there are, broken ones included.
    pub fn pictures(&self) -> u64 {
        match self.data.samples() {
            Some(samples) => samples.count() as u64,
            None => self.scenes,
        }
    }

    /// The folder's index: a new one in an empty folder, or what earlier work of the same kind left.
    fn begin(&self) -> Result<Index, Error> {
        let folder = self.folder;
        remove_partials(folder);
        let half = self.encoder.kind == Kind::Half;
        let new = Index {
            encoder: self.fingerprint.clone(),
            width: self.encoder.embedding(),
            numbers: if half { "f16" } else { "f32" }.to_owned(),
            data: self.data.describe(),
            samples: self.pictures(),
            shard_size: self.shard_size,
            shards: Default::default(),
            count: 0,
            complete: false,
        };
        if EmbeddingCache::is_in(folder) {
            let old = Index::read(folder)?;
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
                "--shards {}: the folder is not empty, and holds no {INDEX}",
                folder.display()
            )));
        }
        new.write(folder)?;
        Ok(new)
    }

    /// The shards that are not there, by name and pictures. What is there is entered in the index, where a crash came
    /// between the two.
    fn missing(&self, index: &mut Index) -> Result<Vec<(String, Range<u64>)>, Error> {
        let mut missing = Vec::new();
        for (number, range) in (0..).zip(parts(0..self.pictures(), self.shard_size)) {
            let name = format!("{number:05}.tar");
            let path = self.folder.join(&name);
            if !path.exists() {
                index.shards.remove(&name);
                missing.push((name, range));
            } else if let Entry::Vacant(unknown) = index.shards.entry(name) {
                let mut broken = Rejects::default();
                let shard = Shard::open(&path, Wanted::Embeddings, &mut broken);
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

    fn save(&self, index: &mut Index) -> Result<(), Error> {
        index.count = index.shards.values().sum();
        let wanted = self.pictures().div_ceil(self.shard_size);
        index.complete = index.shards.len() as u64 == wanted;
        index.write(self.folder)
    }

    /// Encodes pictures and adds them to a shard, at `path` later.
    fn add(
        &self,
        shard: &mut Builder<Vec<u8>>,
        pictures: &Pictures,
        path: &Path,
    ) -> Result<(), Error> {
        if pictures.is_empty() {
            return Ok(());
        }
        let squares: Vec<&[u8]> = pictures.iter().map(|(_, square, _)| &square[..]).collect();
        let embeddings = self.encoder.encode(&stack(&squares, self.encoder.size() as u32)); // [B, E]
        let kept = match self.encoder.kind {
            Kind::Half => Kind::Half,
            _ => Kind::Float,
        };
        let rows: Vec<Tensor> = embeddings.to_kind(kept).unbind(0);
        for ((number, _, caption), row) in pictures.iter().zip(rows) {
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
                let added = shard.append_data(&mut header, name, &bytes[..]);
                added.map_err(Error::file(path))?;
            }
        }
        Ok(())
    }
}

/// The pictures of a range, but for broken ones.
fn read(data: &Data, range: Range<u64>, size: u32) -> Pictures {
    match data {
        Data::Pictures(pictures) => {
            let middles = pictures.middles(range.start as usize..range.end as usize, size);
            let raw = |(n, picture, caption): (usize, image::RgbImage, String)| {
                (n as u64, picture.into_raw(), caption)
            };
            middles.into_iter().map(raw).collect()
        }
        _ => {
            let first = PRIOR_LEG * SCENES_A_LEG;
            let scene = |n| {
                let (picture, caption) = scene_data::one(first + n, size);
                (n, picture, caption)
            };
            range.map(scene).collect()
        }
    }
}

/// What sets two plans apart, the old one first.
fn difference(old: &Index, new: &Index) -> Option<(&'static str, String, String)> {
    let fields = |index: &Index| {
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
fn parts(range: Range<u64>, of: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(of as usize).map(move |start| start..end.min(start.saturating_add(of)))
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}
