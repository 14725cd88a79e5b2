//! Embeddings that were computed before, in shards: the prior learns from them without pictures.
//!
//! A folder of them holds `00000.tar`, `00001.tar` and so on, each with a `KEY.txt` and a `KEY.npy` a sample, and an
//! `embeddings.json`, which says what they were computed with and how far that has come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::data::View;
use crate::embedded::Embedded;
use crate::folder::read;
use crate::samples::Samples;
use crate::values::check_values;

/// The file that says what a folder's shards are.
pub(crate) const INDEX: &str = "embeddings.json";

/// The longest index that is read, in bytes.
const LONGEST_INDEX: u64 = 16 << 20;

/// What `embeddings.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    /// The fingerprint of the image encoder's folder.
    pub(crate) encoder: String,
    /// Numbers in an embedding.
    pub(crate) width: i64,
    /// `f16` or `f32`.
    pub(crate) numbers: String,
    /// What the pictures were, as a checkpoint remembers them.
    pub(crate) data: String,
    /// How many pictures there were, broken ones included.
    pub(crate) samples: u64,
    /// How many of them belong to a shard.
    pub(crate) shard_size: u64,
    /// The embeddings in each shard that is written.
    pub(crate) shards: BTreeMap<String, u64>,
    /// The embeddings in all of these.
    pub(crate) count: u64,
    /// Whether every shard is written.
    pub(crate) complete: bool,
}

impl Index {
    /// What the folder's says.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(INDEX);
        let bytes = read(&path, LONGEST_INDEX).map_err(Error::Data)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::Data(format!("{}: {error}", path.display())))
    }

    /// Puts this in the place of what the folder's says.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(INDEX);
        let bytes = serde_json::to_vec_pretty(self).expect("plain data");
        Ok(weights::write_atomically(&path, |out| {
            out.write_all(&bytes).map_err(weights::Error::io("write", path.display()))
        })?)
    }
}

/// Embeddings in shards.
pub struct EmbeddingCache {
    samples: Samples,
    encoder: String,
    width: i64,
}

impl EmbeddingCache {
    /// Whether a folder's shards are embeddings.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder.join(INDEX).is_file()
    }

    /// The embeddings `samples`, which lie in `folders`: an error where those are of several encoders, or
    /// unfinished, or not one can be read.
    pub(crate) fn new<'a>(
        samples: Samples,
        folders: impl Iterator<Item = &'a Path>,
    ) -> Result<Self, Error> {
        let folders: BTreeSet<&Path> = folders.collect();
        let mut of: Option<(&Path, Index)> = None;
        for folder in folders {
            let index = Index::read(folder)?;
            let shown = folder.display();
            if !index.complete {
                return Err(Error::Data(format!(
                    "the embeddings in {shown} are unfinished, {} of {} pictures: the same unclip embed goes on",
                    index.count, index.samples
                )));
            }
            match &of {
                Some((first, known))
                    if (&known.encoder, known.width) != (&index.encoder, index.width) =>
                {
                    return Err(Error::Data(format!(
                        "the embeddings in {} and in {shown} are of two image encoders",
                        first.display()
                    )));
                }
                Some(_) => {}
                None => of = Some((folder, index)),
            }
        }
        let (_, index) = of.expect("there is a sample, so there is a folder");
        let cache = Self { samples, encoder: index.encoder, width: index.width };
        cache.samples.check(|file, _| cache.vector(file))?;
        Ok(cache)
    }

    /// The samples behind them.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// What tells these embeddings from other data.
    pub(crate) fn describe(&self) -> String {
        format!("embeddings of {}", self.samples.describe())
    }

    /// An error where another image encoder made them than the one of this fingerprint, or they have another width than a
    /// model takes.
    pub(crate) fn check(&self, encoder: &str, width: i64) -> Result<(), Error> {
        let (given, short) =
            (self.samples.given(), |hash: &str| hash[..hash.len().min(12)].to_owned());
        if self.encoder != encoder {
            return Err(Error::Data(format!(
                "--data {given}: its embeddings are of the image encoder {}, and the model's is {}",
                short(&self.encoder),
                short(encoder)
            )));
        }
        if self.width != width {
            return Err(Error::Data(format!(
                "--data {given}: its embeddings have {} numbers, and the model's {width}",
                self.width
            )));
        }
        Ok(())
    }

    /// The embeddings `first .. first + count` of a leg's order: the order that the pictures would have, were none of
    /// them broken.
    pub(crate) fn draw(&self, view: View, first: u64, count: usize) -> Result<Embedded, Error> {
        let (mut rows, mut captions) = (Vec::new(), Vec::new());
        for position in first..first + count as u64 {
            let (row, caption) = self.samples.at(view, position, |file, _, _| self.vector(file))?;
            rows.push(row);
            captions.push(caption);
        }
        Ok(Embedded { embedding: Tensor::stack(&rows, 0), captions })
    }

    /// The embedding `[E]` in the bytes of a `.npy`, in f32.
    fn vector(&self, file: &[u8]) -> Result<Tensor, String> {
        let vector = weights::read_npy(file, file.len() as u64)
            .map_err(|error| format!("its .npy: {error}"))?;
        let (found, wanted) = (vector.size(), self.width);
        if vector.numel() as i64 != wanted {
            return Err(format!("its .npy is {found:?}, and embeddings are [{wanted}]"));
        }
        let vector = vector.view([-1]).to_kind(Kind::Float).to_device(Device::Cpu);
        check_embedding(&vector).map_err(|why| format!("its .npy: {why}"))?;
        Ok(vector)
    }
}

/// Refuses an embedding `[E]` that nothing can be learned from.
pub(crate) fn check_embedding(embedding: &Tensor) -> Result<(), String> {
    let values = Vec::<f32>::try_from(embedding.to_kind(Kind::Float)).map_err(|e| e.to_string())?;
    check_values(&values)
}
