//! A folder of files, on disk or inside the program.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use files::contents::{self, Contents};
use files::gzip::gunzip;
use files::{extensions, whole_file};
use tch::Kind;

use crate::Error;
use crate::blob::Blob;
use crate::files::{copy_file, write_atomically};

/// A model's folder, or that of one of its components.
#[derive(Clone, Debug)]
pub enum Folder {
    /// A folder on disk.
    Disk(DiskFolder),
    /// Files inside the program.
    Embedded(EmbeddedFolder),
}

/// A folder on disk, and which variant of its weights is read.
#[derive(Clone, Debug)]
pub struct DiskFolder {
    path: PathBuf,
    /// The variant of the weights that goes before others, as diffusers calls it: "fp16".
    variant: Option<String>,
    /// Whether the numbers of the weights must be finite.
    checked: bool,
    /// The kind of the weights of linear maps and convolutions, where it is another than that of the rest.
    weight_kind: Option<Kind>,
    /// The file in it that holds the weights, where that alone is meant.
    weights_file: Option<String>,
    /// The component that is meant, where the files of several lie in it.
    file_component: Option<&'static str>,
}

/// The part of a table of files whose names begin alike.
#[derive(Clone, Debug)]
pub struct EmbeddedFolder {
    pub(crate) files: &'static [(&'static str, &'static [u8])],
    pub(crate) prefix: String,
}

impl Folder {
    /// The folder at `path`, which must be there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let metadata = fs::metadata(&path).map_err(Error::io("open the folder", path.display()))?;
        if !metadata.is_dir() {
            let reason = io::Error::other("it is a file");
            return Err(Error::io("open the folder", path.display())(reason));
        }
        Ok(Self::on_disk(path))
    }

    pub(crate) fn on_disk(path: PathBuf) -> Self {
        Self::Disk(DiskFolder {
            path,
            variant: None,
            checked: false,
            weight_kind: None,
            weights_file: None,
            file_component: None,
        })
    }

    /// The same, of which the file called `name` holds the weights, whatever else lies there.
    pub fn with_weights_file(self, name: &str) -> Self {
        match self {
            Self::Disk(folder) => {
                Self::Disk(DiskFolder { weights_file: Some(name.to_owned()), ..folder })
            }
            embedded => embedded,
        }
    }

    /// The file in it that holds the weights, where that alone is meant.
    pub fn weights_file(&self) -> Option<&str> {
        match self {
            Self::Disk(folder) => folder.weights_file.as_deref(),
            Self::Embedded(_) => None,
        }
    }

    /// The same, of which the component called `name` is meant, whose files lie in it among those of others.
    pub fn with_file_component(self, name: &'static str) -> Self {
        match self {
            Self::Disk(folder) => Self::Disk(DiskFolder { file_component: Some(name), ..folder }),
            embedded => embedded,
        }
    }

    /// The component that is meant, where the files of several lie in it.
    pub fn file_component(&self) -> Option<&'static str> {
        match self {
            Self::Disk(folder) => folder.file_component,
            Self::Embedded(_) => None,
        }
    }

    /// The same, of whose weights those of a variant are read where there are such.
    pub fn with_variant(self, variant: &str) -> Self {
        match self {
            Self::Disk(folder) => {
                Self::Disk(DiskFolder { variant: Some(variant.to_owned()), ..folder })
            }
            embedded => embedded,
        }
    }

    /// The same, and the numbers of all weights must be finite. Those inside the program are.
    pub fn checked(self) -> Self {
        match self {
            Self::Disk(folder) => Self::Disk(DiskFolder { checked: true, ..folder }),
            embedded => embedded,
        }
    }

    /// The same, of which the weights of linear maps and convolutions are read in another kind than the rest. Those inside the
    /// program are not.
    pub fn with_weight_kind(self, weight_kind: Option<Kind>) -> Self {
        match self {
            Self::Disk(folder) => Self::Disk(DiskFolder { weight_kind, ..folder }),
            embedded => embedded,
        }
    }

    /// The kind of the weights of linear maps and convolutions, where it is another than that of the rest.
    pub(crate) fn weight_kind(&self) -> Option<Kind> {
        match self {
            Self::Disk(folder) => folder.weight_kind,
            Self::Embedded(_) => None,
        }
    }

    /// Whether the numbers of its weights must be finite.
    pub(crate) fn is_checked(&self) -> bool {
        matches!(self, Self::Disk(folder) if folder.checked)
    }

    /// The variant of the weights that goes before others.
    pub(crate) fn variant(&self) -> Option<&str> {
        match self {
            Self::Disk(folder) => folder.variant.as_deref(),
            Self::Embedded(_) => None,
        }
    }

    /// Where it lies on disk.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Disk(folder) => Some(&folder.path),
            Self::Embedded(_) => None,
        }
    }

    /// The folder that files inside the program make up, each with its name below the folder ("prior/config.json").
    pub fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Self {
        let prefix = String::new();
        Self::Embedded(EmbeddedFolder { files, prefix })
    }

    /// The folder `name` in this one, whether it is there or not.
    pub fn component(&self, name: &str) -> Self {
        match self {
            Self::Disk(folder) => Self::Disk(DiskFolder {
                path: folder.path.join(name),
                weights_file: None,
                file_component: None,
                ..folder.clone()
            }),
            Self::Embedded(EmbeddedFolder { files, prefix }) => {
                Self::Embedded(EmbeddedFolder { files, prefix: format!("{prefix}{name}/") })
            }
        }
    }

    /// The folder `name` in the folder that this one lies in, where it is there.
    pub fn beside(&self, name: &str) -> Option<Self> {
        let Self::Disk(folder) = self else {
            return None;
        };
        let beside = Self::Disk(DiskFolder {
            path: folder.path.canonicalize().ok()?.parent()?.join(name),
            weights_file: None,
            file_component: None,
            ..folder.clone()
        });
        beside.exists().then_some(beside)
    }

    /// Whether the folder itself is there.
    pub fn exists(&self) -> bool {
        match self {
            Self::Disk(folder) => folder.path.is_dir(),
            Self::Embedded(EmbeddedFolder { files, prefix }) => {
                files.iter().any(|(name, _)| name.starts_with(prefix))
            }
        }
    }

    /// Whether it holds a file called `name`.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Disk(folder) => folder.path.join(name).is_file(),
            Self::Embedded(folder) => folder.get(name).is_some(),
        }
    }

    /// The bytes of the small file called `name`, if there is one.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, Error> {
        match self {
            Self::Disk(folder) => match folder.bytes(name)? {
                Some(bytes) => Ok(Some(Cow::Owned(as_text(bytes, &folder.path.join(name))?))),
                None => Ok(None),
            },
            Self::Embedded(folder) => Ok(folder.get(name).map(Cow::Borrowed)),
        }
    }

    /// As [`Folder::read`], a file that may lie there packed by gzip instead, under its name with `.gz`.
    pub fn read_packed(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, Error> {
        let packed = format!("{name}.gz");
        match (self.read(name)?, self) {
            (None, Self::Disk(folder)) => {
                let Some(bytes) = folder.bytes(&packed)? else {
                    return Ok(None);
                };
                let path = folder.path.join(packed);
                let bytes = gunzip(&bytes, whole_file::LONGEST_TEXT);
                let bytes = bytes.map_err(Error::io("read", path.display()))?;
                Ok(Some(Cow::Owned(as_text(bytes.into_owned(), &path)?)))
            }
            (found, _) => Ok(found),
        }
    }

    /// Copies the file called `name` to `to`, byte for byte.
    pub fn copy_file(&self, name: &str, to: &Path) -> Result<(), Error> {
        match self {
            Self::Disk(folder) => copy_file(&folder.path.join(name), to, to),
            Self::Embedded(folder) => write_atomically(to, |file| {
                let bytes = folder.get(name).unwrap_or_default();
                file.write_all(bytes).map_err(Error::io("write", to.display()))
            }),
        }
    }

    /// The names of its files, in order.
    pub fn file_names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Disk(folder) => fs::read_dir(&folder.path)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path().is_file())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect(),
            Self::Embedded(EmbeddedFolder { files, prefix }) => files
                .iter()
                .filter_map(|(name, _)| name.strip_prefix(&**prefix))
                .filter(|name| !name.contains('/'))
                .map(str::to_owned)
                .collect(),
        };
        names.sort();
        names
    }

    /// The names of the folders in it, in order, hidden ones left out.
    pub fn folder_names(&self) -> Vec<String> {
        let entries = self.path().and_then(|path| fs::read_dir(path).ok());
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// The name of a file in it, for messages.
    pub fn name_of(&self, file: &str) -> String {
        match self {
            Self::Disk(folder) => folder.path.join(file).display().to_string(),
            Self::Embedded(folder) => format!("the built-in model's {}{file}", folder.prefix),
        }
    }

    pub(crate) fn blob(&self, name: &str) -> Result<Blob, Error> {
        match self {
            Self::Disk(folder) => Blob::map(&folder.path.join(name)),
            Self::Embedded(folder) => match folder.get(name) {
                Some(bytes) => Ok(Blob::copied(self.name_of(name), bytes)),
                None => Err(Error::NoFile { file: self.name_of(name) }),
            },
        }
    }
}

impl DiskFolder {
    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the small file called `name`, if there is one.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(name);
        if matches!(fs::metadata(&path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let bytes = whole_file::read(&path, whole_file::LONGEST_TEXT);
        Ok(Some(bytes.map_err(Error::io("read", path.display()))?))
    }
}

impl EmbeddedFolder {
    fn get(&self, name: &str) -> Option<&'static [u8]> {
        let expected = |(path, _): &&(&str, &[u8])| path.strip_prefix(&*self.prefix) == Some(name);
        self.files.iter().find(expected).map(|(_, bytes)| *bytes)
    }
}

/// The bytes of a text as UTF-8 without a byte order mark, or an error that names the kind of the file.
fn as_text(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, Error> {
    let expected = match extensions::extension(path) == "json" {
        true => "a JSON text",
        false => "a text",
    };
    match Contents::of(&bytes[..bytes.len().min(contents::ENOUGH)]) {
        None | Some(Contents::Json | Contents::Text) => {}
        Some(Contents::Empty) if expected == "a text" => {}
        Some(found) => {
            return Err(Error::Contents { file: path.display().to_string(), found, expected });
        }
    }
    match bytes[..] {
        [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            let text = files::text::decode(&bytes);
            let refused = |error| Error::io("read", path.display())(io::Error::other(error));
            Ok(text.map_err(refused)?.into_bytes())
        }
        _ => Ok(bytes),
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Disk(DiskFolder { path, weights_file: Some(file), .. }) => {
                write!(f, "{}", path.join(file).display())
            }
            Self::Disk(folder) => write!(f, "{}", folder.path.display()),
            Self::Embedded(EmbeddedFolder { prefix, .. }) if prefix.is_empty() => {
                f.write_str("the built-in model")
            }
            Self::Embedded(EmbeddedFolder { prefix, .. }) => {
                write!(f, "the built-in model's {prefix}")
            }
        }
    }
}
