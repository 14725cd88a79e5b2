//! A folder of files, on disk or inside the program.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tch::{Device, Kind};

use crate::stored::Blob;
use crate::{Checkpoint, Error};

/// A model's folder, or that of one of its components.
#[derive(Clone, Debug)]
pub enum Folder {
    /// A folder on disk.
    Disk(PathBuf),
    /// Files inside the program.
    Embedded(EmbeddedFolder),
}

/// The part of a table of files whose names begin alike.
#[derive(Clone, Debug)]
pub struct EmbeddedFolder {
    files: &'static [(&'static str, &'static [u8])],
    prefix: String,
}

/// Where a component's weights may be, the best first: safetensors, then pickles, each whole or in shards.
const WEIGHTS: [&str; 4] = [
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
];

/// A larger configuration or vocabulary is refused before it is read.
const LARGEST_TEXT: u64 = 1 << 28;

impl Folder {
    /// The folder at `path`, which must be there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let metadata = fs::metadata(&path).map_err(Error::io("open the folder", path.display()))?;
        if !metadata.is_dir() {
            let reason = std::io::Error::other("it is a file");
            return Err(Error::io("open the folder", path.display())(reason));
        }
        Ok(Self::Disk(path))
    }

    /// The folder that files inside the program make up, each with its name below the folder ("prior/config.json").
    pub fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Self {
        let prefix = String::new();
        Self::Embedded(EmbeddedFolder { files, prefix })
    }

    /// The folder `name` in this one, whether it is there or not.
    pub fn component(&self, name: &str) -> Self {
        match self {
            Self::Disk(path) => Self::Disk(path.join(name)),
            Self::Embedded(EmbeddedFolder { files, prefix }) => Self::Embedded(EmbeddedFolder {
                files,
                prefix: format!("{prefix}{name}/"),
            }),
        }
    }

    /// Whether the folder itself is there.
    pub fn exists(&self) -> bool {
        match self {
            Self::Disk(path) => path.is_dir(),
            Self::Embedded(EmbeddedFolder { files, prefix }) => {
                files.iter().any(|(name, _)| name.starts_with(prefix))
            }
        }
    }

    /// Whether it holds a file called `name`.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Disk(path) => path.join(name).is_file(),
            Self::Embedded(folder) => folder.get(name).is_some(),
        }
    }

    /// The bytes of the small file called `name`, if there is one.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, Error> {
        let path = match self {
            Self::Disk(path) => path.join(name),
            Self::Embedded(folder) => return Ok(folder.get(name).map(Cow::Borrowed)),
        };
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(Error::io("read", path.display()))?,
        };
        let refusal = match metadata.len() {
            _ if !metadata.is_file() => Some("it is not a plain file".to_owned()),
            length if length > LARGEST_TEXT => {
                Some(format!("its {length} bytes are more than {LARGEST_TEXT}"))
            }
            _ => None,
        };
        if let Some(reason) = refusal {
            return Err(Error::io("read", path.display())(std::io::Error::other(
                reason,
            )));
        }
        let bytes = fs::read(&path).map_err(Error::io("read", path.display()))?;
        Ok(Some(Cow::Owned(bytes)))
    }

    /// The name of a file in it, for messages.
    pub fn name_of(&self, file: &str) -> String {
        match self {
            Self::Disk(path) => path.join(file).display().to_string(),
            Self::Embedded(folder) => format!("the built-in model's {}{file}", folder.prefix),
        }
    }

    /// A SHA-256 that tells models apart without reading gigabytes: of every file's name and length, its first and its
    /// last 64 KiB.
    pub fn fingerprint(&self) -> Result<String, Error> {
        const ENDS: usize = 1 << 16;
        let mut hash = Sha256::new();
        let mut add = |name: &str, length: u64, ends: [&[u8]; 2]| {
            hash.update(format!("{name}\0{length}\0"));
            ends.into_iter().for_each(|end| hash.update(end));
        };
        match self {
            Self::Embedded(EmbeddedFolder { files, prefix }) => {
                let mut files: Vec<_> = files
                    .iter()
                    .filter_map(|(name, bytes)| Some((name.strip_prefix(&**prefix)?, *bytes)))
                    .collect();
                files.sort();
                for (name, bytes) in files {
                    let first = &bytes[..bytes.len().min(ENDS)];
                    let last = &bytes[bytes.len().saturating_sub(ENDS)..];
                    add(name, bytes.len() as u64, [first, last]);
                }
            }
            Self::Disk(root) => {
                let mut names = Vec::new();
                names_under(root, "", &mut names)?;
                names.sort();
                for name in names {
                    let path = root.join(&name);
                    let read = || {
                        let mut file = fs::File::open(&path)?;
                        let length = file.metadata()?.len();
                        let mut end = |start: u64| {
                            let mut bytes = Vec::new();
                            file.seek(SeekFrom::Start(start))?;
                            file.by_ref().take(ENDS as u64).read_to_end(&mut bytes)?;
                            std::io::Result::Ok(bytes)
                        };
                        let (first, last) = (end(0)?, end(length.saturating_sub(ENDS as u64))?);
                        std::io::Result::Ok((length, first, last))
                    };
                    let (length, first, last) =
                        read().map_err(Error::io("read", path.display()))?;
                    add(&name, length, [&first, &last]);
                }
            }
        }
        Ok(hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// The component's weights, as the checkpoint of `model` (with its article, for messages).
    pub fn checkpoint(&self, model: &str, device: Device, kind: Kind) -> Result<Checkpoint, Error> {
        for name in WEIGHTS {
            if self.has(name) {
                let blob = self.blob(name)?;
                return Checkpoint::of_blobs(blob.name.clone(), vec![blob], model, device, kind);
            }
            let index = format!("{name}.index.json");
            if let Some(bytes) = self.read(&index)? {
                let shards = self.shards(&index, &bytes)?;
                let blobs = shards.iter().map(|shard| self.blob(shard));
                let blobs = blobs.collect::<Result<_, _>>()?;
                return Checkpoint::of_blobs(self.name_of(&index), blobs, model, device, kind);
            }
        }
        Err(Error::NoWeights {
            folder: self.to_string(),
            model: model.to_owned(),
            names: WEIGHTS.join(", "),
        })
    }

    /// As [`Folder::checkpoint`], the weights in the one file called `name`.
    pub fn checkpoint_in(
        &self,
        name: &str,
        model: &str,
        device: Device,
        kind: Kind,
    ) -> Result<Checkpoint, Error> {
        if !self.has(name) {
            return Err(Error::NoFile {
                file: self.name_of(name),
            });
        }
        let blob = self.blob(name)?;
        Checkpoint::of_blobs(blob.name.clone(), vec![blob], model, device, kind)
    }

    /// The files that an index names.
    fn shards(&self, index: &str, bytes: &[u8]) -> Result<BTreeSet<String>, Error> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: std::collections::HashMap<String, String>,
        }
        let problem = |reason: String| Error::Index {
            file: self.name_of(index),
            reason,
        };
        let Index { weight_map } =
            serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
        let shards: BTreeSet<String> = weight_map.into_values().collect();
        // An index must not lead out of its folder.
        let plain = |name: &str| Path::new(name).file_name() == Some(name.as_ref());
        match shards.iter().find(|name| !plain(name)) {
            Some(other) => Err(problem(format!(
                "{other:?} is not the name of a file beside it"
            ))),
            None => Ok(shards),
        }
    }

    fn blob(&self, name: &str) -> Result<Blob, Error> {
        match self {
            Self::Disk(path) => Blob::map(&path.join(name)),
            Self::Embedded(folder) => match folder.get(name) {
                Some(bytes) => Ok(Blob::copied(self.name_of(name), bytes)),
                None => Err(Error::NoFile {
                    file: self.name_of(name),
                }),
            },
        }
    }
}

impl EmbeddedFolder {
    fn get(&self, name: &str) -> Option<&'static [u8]> {
        let wanted = |(path, _): &&(&str, &[u8])| path.strip_prefix(&*self.prefix) == Some(name);
        self.files.iter().find(wanted).map(|(_, bytes)| *bytes)
    }
}

/// The names of all files under a folder, as they are called from `root`'s place.
fn names_under(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), Error> {
    let failed = || Error::io("read", folder.display());
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            names_under(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Disk(path) => write!(f, "{}", path.display()),
            Self::Embedded(EmbeddedFolder { prefix, .. }) if prefix.is_empty() => {
                f.write_str("the built-in model")
            }
            Self::Embedded(EmbeddedFolder { prefix, .. }) => {
                write!(f, "the built-in model's {prefix}")
            }
        }
    }
}
