//! Layouts of datasets: the locations of samples that a file or folder of a user's stands for.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use files::atomic::folder_of;
use files::extensions::{extension, is_image};
use files::walk::is_hidden;

use crate::metadata::METADATA;
use crate::other_formats;

/// Words in the names of files and folders that are not all learned from, each with the split that it stands for.
const SPLITS: [(&str, &str); 10] = [
    ("train", "train"),
    ("training", "train"),
    ("val", "validation"),
    ("valid", "validation"),
    ("validation", "validation"),
    ("dev", "validation"),
    ("test", "test"),
    ("testing", "test"),
    ("eval", "test"),
    ("evaluation", "test"),
];

/// A location of samples.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DataLocation {
    Folder(PathBuf),
    Shard(PathBuf),
}

impl DataLocation {
    /// The folder itself, or the one of the shard.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Shard(path) => folder_of(path),
        }
    }
}

/// The locations that a file or folder stands for: a shard, the shards of a folder, or a folder of images; or else the one
/// data set in the folders below, as in `data/` or `train/`.
pub(crate) fn locations_in(path: &Path) -> Result<Vec<DataLocation>, String> {
    let shown = path.display();
    if path.is_file() {
        return match is_shard(path) {
            true => Ok(vec![DataLocation::Shard(path.to_owned())]),
            false => Err(unread_file(path)),
        };
    }
    if path.exists() && !path.is_dir() {
        return Err(format!("{shown} is no plain file, and a shard is read again and again"));
    }
    let contents = FolderContents::of(path)?;
    if !contents.shards.is_empty() {
        return match contents.images || contents.metadata || !contents.folders.is_empty() {
            false => {
                one_split(path, contents.shards.into_iter().map(DataLocation::Shard).collect())
            }
            true => Err(format!(
                "{shown} holds both .tar shards and pictures or folders: name {shown}/*.tar for the shards alone"
            )),
        };
    }
    if contents.metadata {
        return Ok(vec![DataLocation::Folder(path.to_owned())]);
    }
    let (mut sets, mut images) = (Vec::new(), contents.images);
    for folder in &contents.folders {
        images |= find_sets(folder, &mut sets);
    }
    sets.sort_by_key(|set| set.components().count());
    take_once(&mut sets);
    match &sets[..] {
        [] => Ok(vec![DataLocation::Folder(path.to_owned())]),
        [set] if !images => locations_in(set),
        [set] => Err(format!(
            "{shown} holds a data set in {set}, and pictures beside it: name {set} for the data set alone",
            set = set.display()
        )),
        [first, ..] => {
            let sets: Vec<String> = sets.iter().map(|set| set.display().to_string()).collect();
            Err(format!(
                "{shown} holds {} data sets, {}: name those that are learned from, as in --data {}",
                sets.len(),
                sets.join(", "),
                first.display()
            ))
        }
    }
}

/// Finds the data sets in a folder and in those in it, by their metadata and shards; tells whether there are images beside
/// them. A folder that cannot be read holds none.
fn find_sets(folder: &Path, sets: &mut Vec<PathBuf>) -> bool {
    let contents = FolderContents::of(folder).unwrap_or_default();
    if contents.is_set() {
        sets.push(folder.to_owned());
        return false;
    }
    let mut images = contents.images;
    for folder in contents.folders {
        let contents = FolderContents::of(&folder).unwrap_or_default();
        match contents.is_set() {
            true => sets.push(folder),
            false => images |= contents.images,
        }
    }
    images
}

/// Shards that nobody named one by one: an error where their names tell splits apart, of which some are meant for tests.
fn one_split(folder: &Path, locations: Vec<DataLocation>) -> Result<Vec<DataLocation>, String> {
    let shards = locations.iter().filter_map(|location| match location {
        DataLocation::Shard(path) => Some(path),
        DataLocation::Folder(_) => None,
    });
    let splits: BTreeSet<(&str, &str)> = shards.filter_map(|path| split(path)).collect();
    let different: BTreeSet<&str> = splits.iter().map(|(_, split)| *split).collect();
    let train = splits.iter().find(|(_, split)| *split == "train");
    match train.or(splits.first()) {
        Some((word, _)) if different.len() > 1 => Err(format!(
            "{} holds shards for {}: name those that are learned from, as in --data '{}/*{word}*.tar'",
            folder.display(),
            Vec::from_iter(different).join(" and "),
            folder.display(),
        )),
        _ => Ok(locations),
    }
}

/// The word in a name that says which split it is of, and the split.
fn split(path: &Path) -> Option<(&'static str, &'static str)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let words = name.split(|c: char| !c.is_alphabetic());
    let known = |word: &str| SPLITS.into_iter().find(|(known, _)| *known == word);
    words.into_iter().find_map(known)
}

/// The entries of a folder itself, but for hidden ones.
#[derive(Default)]
struct FolderContents {
    /// In the order of their names.
    shards: Vec<PathBuf>,
    metadata: bool,
    images: bool,
    /// In the order of their names.
    folders: Vec<PathBuf>,
}

impl FolderContents {
    fn of(folder: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", folder.display());
        let (mut contents, mut packed) = (Self::default(), Vec::new());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if is_hidden(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(failed)?;
            // Where a link leads may not be there.
            let is = |is_kind: bool, there: fn(&Path) -> bool| {
                is_kind || kind.is_symlink() && there(&path)
            };
            if is(kind.is_dir(), Path::is_dir) {
                contents.folders.push(path);
            } else if is_shard(&path) && is(kind.is_file(), Path::is_file) {
                contents.shards.push(path);
            } else if is_packed_shard(&path) {
                packed.push(path);
            } else {
                contents.metadata |= METADATA.iter().any(|name| path.ends_with(name));
                contents.images |= is_image(&path);
            }
        }
        // Each is named as one that cannot be read.
        let others = contents.images || contents.metadata || !contents.folders.is_empty();
        if !contents.shards.is_empty() || !others {
            contents.shards.extend(packed);
        }
        contents.folders.sort();
        contents.shards.sort();
        take_once(&mut contents.shards);
        Ok(contents)
    }

    /// Whether it is laid out as data sets are.
    fn is_set(&self) -> bool {
        self.metadata || !self.shards.is_empty()
    }
}

/// Keeps the first path of everything that links give several.
fn take_once(paths: &mut Vec<PathBuf>) {
    let mut known = HashMap::new();
    paths.retain(|path| {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        match known.entry(real) {
            Entry::Vacant(new) => {
                new.insert(path.clone());
                true
            }
            Entry::Occupied(first) => {
                let (path, first) = (path.display(), first.get().display());
                tracing::warn!("{path}: it is {first} again, which is taken once");
                false
            }
        }
    });
}

fn is_shard(path: &Path) -> bool {
    extension(path) == "tar"
}

/// Whether a name is a tar's that is packed, which cannot be read at any place.
fn is_packed_shard(path: &Path) -> bool {
    let packed = matches!(&*extension(path), "gz" | "bz2" | "xz" | "zst");
    extension(path) == "tgz"
        || packed && path.file_stem().is_some_and(|stem| is_shard(Path::new(stem)))
}

/// Why a file is no data.
fn unread_file(path: &Path) -> String {
    let shown = path.display();
    let folder = folder_of(path).display();
    if METADATA.iter().any(|name| path.ends_with(name)) || is_image(path) {
        return format!("{shown} lies in a folder of pictures: name the folder, {folder}");
    }
    other_formats::advice(path).unwrap_or_else(|| {
        format!("{shown} is neither a folder nor a .tar, and no other file is read")
    })
}
