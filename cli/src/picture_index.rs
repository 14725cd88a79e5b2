//! The embeddings of pictures that were searched before, in a file.
//!
//! It is a safetensors file of two tensors: `embeddings`, `[N, E]` in f32, and `pictures`, the bytes of a JSON text that
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
const PICTURES: &str = "pictures";

/// Embeddings of pictures by one encoder, each a unit vector.
pub struct PictureIndex {
    encoder: String,
    pictures: BTreeMap<PathBuf, Entry>,
    changed: bool,
}

struct Entry {
    state: State,
    /// `[E]` in f32 on the CPU.
    embedding: Tensor,
}

/// What tells a picture's file from what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    length: u64,
    /// Seconds and nanoseconds of the last change.
    seconds: i64,
    nanoseconds: i64,
}

/// What the JSON text says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    encoder: String,
    pictures: Vec<(Name, State)>,
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

impl State {
    /// What the system says of a file.
    pub fn of(file: &Metadata) -> Self {
        Self { length: file.len(), seconds: file.mtime(), nanoseconds: file.mtime_nsec() }
    }
}

impl PictureIndex {
    /// An index without pictures, for the encoder of this fingerprint.
    pub fn new(encoder: String) -> Self {
        Self { encoder, pictures: BTreeMap::new(), changed: false }
    }

    /// The index in a file, of embeddings of this width; one without pictures where there is no file, or where another
    /// encoder's embeddings are in it. A file that is anything else is refused: it may be dear to somebody.
    pub fn open(path: &Path, encoder: String, width: i64) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::new(encoder));
        }
        let read = Self::read(path);
        let index = read.with_context(|| {
            let path = path.display();
            format!("--index {path}: this is no sound index of unclip search, please remove it or name another file")
        })?;
        let fits = |entry: &Entry| entry.embedding.size() == [width];
        match index.encoder == encoder && index.pictures.values().all(fits) {
            true => Ok(index),
            false => Ok(Self::new(encoder)),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let tensors: BTreeMap<String, Tensor> =
            weights::load_safetensors(path)?.into_iter().collect();
        let both = (tensors.get(EMBEDDINGS), tensors.get(PICTURES));
        let (Some(embeddings), Some(pictures)) = both else {
            bail!("it has no tensors called {EMBEDDINGS} and {PICTURES}");
        };
        ensure!(
            embeddings.dim() == 2 && embeddings.kind() == Kind::Float,
            "its embeddings are {:?} of {:?}",
            embeddings.size(),
            embeddings.kind()
        );
        ensure!(
            pictures.dim() == 1 && pictures.kind() == Kind::Uint8,
            "its list of pictures is no text"
        );
        let told: Told = serde_json::from_slice(&Vec::<u8>::try_from(pictures)?)?;
        let (count, found) = (told.pictures.len(), embeddings.size()[0]);
        ensure!(count as i64 == found, "it lists {count} pictures and holds {found} embeddings");
        if let Some(damage) = weights::damaged_row(embeddings) {
            bail!("of its embeddings {damage}");
        }
        let entries = told.pictures.into_iter().zip(0..);
        let entries = entries.map(|((name, state), row)| {
            let embedding = embeddings.get(row);
            (name.into_path(), Entry { state, embedding })
        });
        Ok(Self { encoder: told.encoder, pictures: entries.collect(), changed: false })
    }

    /// The embedding `[E]` of a file that is as it was.
    pub fn get(&self, path: &Path, state: State) -> Option<&Tensor> {
        let entry = self.pictures.get(path)?;
        (entry.state == state).then_some(&entry.embedding)
    }

    /// Keeps the embedding `[E]` of a file.
    pub fn insert(&mut self, path: PathBuf, state: State, embedding: Tensor) {
        self.changed = true;
        self.pictures.insert(path, Entry { state, embedding });
    }

    /// Forgets the pictures under `folder` that are not in `there`; those of other folders stay.
    pub fn forget(&mut self, folder: &Path, there: impl Fn(&Path) -> bool) {
        let before = self.pictures.len();
        self.pictures.retain(|path, _| !path.starts_with(folder) || there(path));
        self.changed |= self.pictures.len() < before;
    }

    /// Writes the index where it is not what the file holds already.
    pub fn save(&self, path: &Path) -> Result<()> {
        if !self.changed || self.pictures.is_empty() {
            return Ok(());
        }
        let pictures = self.pictures.iter();
        let told = Told {
            encoder: self.encoder.clone(),
            pictures: pictures.map(|(path, e)| (Name::of(path), e.state)).collect(),
        };
        let told = Tensor::from_slice(serde_json::to_string(&told)?.as_bytes());
        let embeddings = self.pictures.values().map(|entry| &entry.embedding);
        let embeddings: Vec<&Tensor> = embeddings.collect();
        let tensors = [
            (EMBEDDINGS.to_owned(), Tensor::stack(&embeddings, 0)), // [N, E]
            (PICTURES.to_owned(), told),
        ];
        Ok(weights::save_safetensors(path, &tensors, Kind::Float)?)
    }
}
