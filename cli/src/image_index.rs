//! The search index: a file of the embeddings of images that were searched before.
//!
//! It is a safetensors file of two tensors: `embeddings`, `[N, E]` in f32, and `images`, the bytes of a JSON text that
//! says which encoder they are of, and of each picture its file, length and time of change.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The names of the tensors.
const EMBEDDINGS: &str = "embeddings";
const IMAGES: &str = "pictures";

/// Embeddings of images by one encoder, each a unit vector.
pub(crate) struct ImageIndex {
    encoder: String,
    images: BTreeMap<PathBuf, Entry>,
    changed: bool,
}

struct Entry {
    stamp: FileStamp,
    /// `[E]` in f32 on the CPU.
    embedding: Tensor,
}

/// The length and the time of change of an image's file: another stamp means another embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    length: u64,
    /// Seconds and nanoseconds of the last change.
    seconds: i64,
    nanoseconds: i64,
}

/// The JSON text beside the embeddings.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexHeader {
    encoder: String,
    #[serde(rename = "pictures")]
    images: Vec<(Name, FileStamp)>,
}

/// A file's name: text, or bytes where it is no UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Bytes(Vec<u8>),
}

impl Name {
    fn of(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }

    fn into_path(self) -> PathBuf {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }
}

impl FileStamp {
    /// The stamp of the file of these metadata.
    pub(crate) fn of(file: &Metadata) -> Self {
        Self { length: file.len(), seconds: file.mtime(), nanoseconds: file.mtime_nsec() }
    }
}

impl ImageIndex {
    /// An index without pictures, for the encoder of this fingerprint.
    pub(crate) fn new(encoder: String) -> Self {
        Self { encoder, images: BTreeMap::new(), changed: false }
    }

    /// The index in a file, of embeddings of this width; one without pictures where there is no file, or where another
    /// encoder's embeddings are in it. A file that is anything else is refused: it may be dear to somebody.
    pub(crate) fn open(path: &Path, encoder: String, width: i64) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::new(encoder));
        }
        let read = Self::read(path);
        let index = read.with_context(|| {
            let path = path.display();
            format!("--index {path}: this is no sound index of unclip search, please remove it or name another file")
        })?;
        let fits = |entry: &Entry| entry.embedding.size() == [width];
        match index.encoder == encoder && index.images.values().all(fits) {
            true => Ok(index),
            false => Ok(Self::new(encoder)),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let tensors: BTreeMap<String, Tensor> =
            weights::load_safetensors(path)?.into_iter().collect();
        let both = (tensors.get(EMBEDDINGS), tensors.get(IMAGES));
        let (Some(embeddings), Some(images)) = both else {
            bail!("it has no tensors called {EMBEDDINGS} and {IMAGES}");
        };
        ensure!(
            embeddings.dim() == 2 && embeddings.kind() == Kind::Float,
            "its embeddings are {:?} of {:?}",
            embeddings.size(),
            embeddings.kind()
        );
        ensure!(
            images.dim() == 1 && images.kind() == Kind::Uint8,
            "its list of pictures is no text"
        );
        let header: IndexHeader = serde_json::from_slice(&Vec::<u8>::try_from(images)?)?;
        let (count, found) = (header.images.len(), embeddings.size()[0]);
        ensure!(count as i64 == found, "it lists {count} pictures and holds {found} embeddings");
        if let Some(damage) = weights::damaged_row(embeddings) {
            bail!("of its embeddings {damage}");
        }
        let entries = header.images.into_iter().zip(0..);
        let entries = entries.map(|((name, stamp), row)| {
            let embedding = embeddings.get(row);
            (name.into_path(), Entry { stamp, embedding })
        });
        Ok(Self { encoder: header.encoder, images: entries.collect(), changed: false })
    }

    /// The embedding `[E]` of a file that is as it was.
    pub(crate) fn get(&self, path: &Path, stamp: FileStamp) -> Option<&Tensor> {
        let entry = self.images.get(path)?;
        (entry.stamp == stamp).then_some(&entry.embedding)
    }

    /// Keeps the embedding `[E]` of a file.
    pub(crate) fn insert(&mut self, path: PathBuf, stamp: FileStamp, embedding: Tensor) {
        self.changed = true;
        self.images.insert(path, Entry { stamp, embedding });
    }

    /// Forgets the pictures under `folder` that are not in `there`; those of other folders stay.
    pub(crate) fn forget(&mut self, folder: &Path, there: impl Fn(&Path) -> bool) {
        let before = self.images.len();
        self.images.retain(|path, _| !path.starts_with(folder) || there(path));
        self.changed |= self.images.len() < before;
    }

    /// Writes the index where it is not what the file holds already.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        if !self.changed || self.images.is_empty() {
            return Ok(());
        }
        let images = self.images.iter();
        let header = IndexHeader {
            encoder: self.encoder.clone(),
            images: images.map(|(path, e)| (Name::of(path), e.stamp)).collect(),
        };
        let header = Tensor::from_slice(serde_json::to_string(&header)?.as_bytes());
        let embeddings = self.images.values().map(|entry| &entry.embedding);
        let embeddings: Vec<&Tensor> = embeddings.collect();
        let tensors = [
            (EMBEDDINGS.to_owned(), Tensor::stack(&embeddings, 0)), // [N, E]
            (IMAGES.to_owned(), header),
        ];
        Ok(weights::save_safetensors(path, &tensors, Kind::Float)?)
    }
}
