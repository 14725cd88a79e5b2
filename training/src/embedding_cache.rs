//! The embedding cache: image embeddings in shards, computed once, from which a prior learns without images.
//!
//! A folder of them holds `00000.tar`, `00001.tar` and so on, each with a `KEY.txt` and a `KEY.npy` a sample, and an
//! `embeddings.json`, which says how they were computed and how far that has come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use files::atomic;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::data::SampleRequest;
use crate::dataset::Dataset;
use crate::embedding_dataset::EmbeddingBatch;
use crate::folder::read;
use crate::values::check_values;

/// The file that describes a folder's shards.
pub(crate) const INDEX_FILE: &str = "embeddings.json";

/// The longest index that is read, in bytes.
const LONGEST_INDEX: u64 = 16 << 20;

/// The contents of `embeddings.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheIndex {
    /// The fingerprint of the image encoder's folder.
    pub(crate) encoder: String,
    /// Numbers in an embedding.
    pub(crate) width: i64,
    /// `f16` or `f32`.
    pub(crate) numbers: String,
    /// A description of the images' data, as in a checkpoint.
    pub(crate) data: String,
    /// How many images there were, broken ones included.
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

impl CacheIndex {
    /// Reads the folder's.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(INDEX_FILE);
        let bytes = read(&path, LONGEST_INDEX).map_err(Error::Data)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::Data(format!("{}: {error}", path.display())))
    }

    /// Replaces the folder's.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(INDEX_FILE);
        let bytes = serde_json::to_vec_pretty(self).expect("plain data");
        atomic::write(&path, &bytes, true).map_err(Error::write(&path))
    }
}

/// Embeddings in shards.
pub struct EmbeddingCache {
    dataset: Dataset,
    encoder: String,
    width: i64,
}

impl EmbeddingCache {
    /// Whether a folder's shards are embeddings.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder.join(INDEX_FILE).is_file()
    }

    /// The embeddings of `dataset`, which lie in `folders`: an error where those are of several encoders, or
    /// unfinished, or not one can be read.
    pub(crate) fn new<'a>(
        dataset: Dataset,
        folders: impl Iterator<Item = &'a Path>,
    ) -> Result<Self, Error> {
        let folders: BTreeSet<&Path> = folders.collect();
        let mut known: Option<(&Path, CacheIndex)> = None;
        for folder in folders {
            let index = CacheIndex::read(folder)?;
            let shown = folder.display();
            if !index.complete {
                return Err(Error::Data(format!(
                    "the embeddings in {shown} are unfinished, {} of {} pictures: the same unclip embed goes on",
                    index.count, index.samples
                )));
            }
            match &known {
                Some((first, of_first))
                    if (&of_first.encoder, of_first.width) != (&index.encoder, index.width) =>
                {
                    return Err(Error::Data(format!(
                        "the embeddings in {} and in {shown} are of two image encoders",
                        first.display()
                    )));
                }
                Some(_) => {}
                None => known = Some((folder, index)),
            }
        }
        let (_, index) = known.expect("there is a sample, so there is a folder");
        let cache = Self { dataset, encoder: index.encoder, width: index.width };
        cache.dataset.check(|file, _| cache.vector(file))?;
        Ok(cache)
    }

    /// The files behind the embeddings.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Tells these embeddings from other data.
    pub(crate) fn describe(&self) -> String {
        format!("embeddings of {}", self.dataset.describe())
    }

    /// An error where another image encoder made them than the one of this fingerprint, or they have another width than a
    /// model takes.
    pub(crate) fn check(&self, encoder: &str, width: i64) -> Result<(), Error> {
        let (arguments, short) =
            (self.dataset.arguments(), |hash: &str| hash[..hash.len().min(12)].to_owned());
        if self.encoder != encoder {
            return Err(Error::Data(format!(
                "--data {arguments}: its embeddings are of the image encoder {}, and the model's is {}",
                short(&self.encoder),
                short(encoder)
            )));
        }
        if self.width != width {
            return Err(Error::Data(format!(
                "--data {arguments}: its embeddings have {} numbers, and the model's {width}",
                self.width
            )));
        }
        Ok(())
    }

    /// The embeddings `first .. first + count` of a request's order: the order that the images would have, were none of
    /// them broken.
    pub(crate) fn draw(
        &self,
        request: SampleRequest,
        first: u64,
        count: usize,
    ) -> Result<EmbeddingBatch, Error> {
        let row = |position| self.dataset.at(request, position, |file, _, _| self.vector(file));
        let rows = (first..first + count as u64).map(row).collect::<Result<Vec<_>, Error>>()?;
        let (rows, captions): (Vec<Tensor>, Vec<String>) = rows.into_iter().unzip();
        Ok(EmbeddingBatch { embedding: Tensor::stack(&rows, 0), captions })
    }

    /// The embedding `[E]` in the bytes of a `.npy`, in f32.
    fn vector(&self, file: &[u8]) -> Result<Tensor, String> {
        let vector = weights::read_npy(file, file.len() as u64)
            .map_err(|error| format!("its .npy: {error}"))?;
        let (found, width) = (vector.size(), self.width);
        if vector.numel() as i64 != width {
            return Err(format!("its .npy is {found:?}, and embeddings are [{width}]"));
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
