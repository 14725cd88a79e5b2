//! Data sources that a user names: folders, shards, and patterns of them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::text::excerpt;
use glob::MatchOptions;

use crate::Error;
use crate::data::Data;
use crate::dataset::{Dataset, SampleSource};
use crate::embedding_cache::EmbeddingCache;
use crate::folder::ImageFolder;
use crate::image_dataset::ImageDataset;
use crate::layout::{DataLocation, locations_in};
use crate::metadata::METADATA;
use crate::patterns::{Braces, MOST_FILES};
use crate::rejects::Rejects;
use crate::shards::{SampleKind, Shard};

/// Patterns fit as in shells, where no `*` stands for the dot of a hidden name.
const AS_SHELLS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: true,
};

impl Data {
    /// The data that a user names: folders of images, folders of shards, `.tar`s and patterns of them (`*`, `?`, `[a-z]`,
    /// `{00..09}`, `{a,b}`), one after the other. Half of the images are mirrored with `flip`. An error where they do not go
    /// together or hold nothing that can be read.
    pub fn open(names: &[impl AsRef<OsStr>], flip: bool) -> Result<Self, Error> {
        let mut locations = Vec::new();
        let mut excerpts = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            let shown = excerpt(&name.display().to_string());
            // A name that is no text is no pattern.
            let of_name = match name.to_str() {
                Some(name) => locations_of(name),
                None => locations_in(Path::new(name)),
            };
            locations.extend(of_name.map_err(|why| match why.starts_with(&shown) {
                true => wrong(format!("--data {why}")),
                false => wrong(format!("--data {shown}: {why}")),
            })?);
            excerpts.push(shown);
        }
        refuse_repeated(&locations)?;
        let arguments = excerpts.join(", ");
        let caches = locations.iter().filter(|location| is_cache(location)).count();
        if caches == 0 {
            let dataset = dataset(&locations, SampleKind::Images, arguments)?;
            return Ok(Self::Images(Arc::new(ImageDataset::new(dataset, flip)?)));
        }
        if caches < locations.len() {
            return Err(wrong(format!(
                "--data {arguments}: some of it is pictures and some embeddings, and a model learns from one of them"
            )));
        }
        if flip {
            return Err(wrong(format!(
                "--flip: {arguments} holds embeddings, and pictures alone are mirrored"
            )));
        }
        let dataset = dataset(&locations, SampleKind::Embeddings, arguments)?;
        let folders = locations.iter().map(DataLocation::folder);
        Ok(Self::Embeddings(Arc::new(EmbeddingCache::new(dataset, folders)?)))
    }
}

fn wrong(why: impl Into<String>) -> Error {
    Error::Data(why.into())
}

fn dataset(
    locations: &[DataLocation],
    kind: SampleKind,
    arguments: String,
) -> Result<Dataset, Error> {
    let mut broken = Rejects::default();
    let mut sources: Vec<Box<dyn SampleSource>> = Vec::new();
    for location in locations {
        sources.push(match location {
            DataLocation::Folder(path) => Box::new(ImageFolder::open(path, &mut broken)?),
            DataLocation::Shard(path) => Box::new(Shard::open(path, kind, &mut broken)),
        });
    }
    Dataset::new(sources, broken, arguments)
}

/// Refuses locations that are named twice: their images would count twice.
fn refuse_repeated(locations: &[DataLocation]) -> Result<(), Error> {
    let mut paths = BTreeSet::new();
    let mut folders = Vec::new();
    for location in locations {
        let (DataLocation::Folder(path) | DataLocation::Shard(path)) = location;
        let real = path.canonicalize().map_err(Error::file(path))?;
        if let DataLocation::Folder(path) = location {
            folders.push((path, real.clone()));
        }
        if !paths.insert(real) {
            let path = path.display();
            return Err(wrong(format!("--data names {path} more than once")));
        }
    }
    // A table names its images itself; of other folders all that lies in them counts.
    let whole = |folder: &Path| !METADATA.iter().any(|table| folder.join(table).is_file());
    for (outer, real) in folders.iter().filter(|(folder, _)| whole(folder)) {
        let inside = |(folder, inner): &&(&PathBuf, PathBuf)| {
            whole(folder) && inner != real && inner.starts_with(real)
        };
        if let Some((inner, _)) = folders.iter().find(inside) {
            let (inner, outer) = (inner.display(), outer.display());
            return Err(wrong(format!(
                "--data names {inner}, which lies in {outer}, and names that too: its pictures would count twice"
            )));
        }
    }
    Ok(())
}

/// Whether a location is a shard of embeddings.
fn is_cache(location: &DataLocation) -> bool {
    matches!(location, DataLocation::Shard(_)) && EmbeddingCache::is_in(location.folder())
}

/// The locations that a name stands for: the file or folder of that name, or else all that match it as a pattern.
fn locations_of(name: &str) -> Result<Vec<DataLocation>, String> {
    if Path::new(name).exists() {
        return locations_in(Path::new(name));
    }
    let mut locations = Vec::new();
    for name in Braces::read(name)?.names() {
        if !name.contains(['*', '?', '[']) {
            locations.extend(locations_in(Path::new(&name))?);
            continue;
        }
        let before = locations.len();
        let paths = glob::glob_with(&name, AS_SHELLS).map_err(|error| error.to_string())?;
        for path in paths {
            locations.extend(locations_in(&path.map_err(|error| error.to_string())?)?);
            if locations.len() > MOST_FILES {
                return Err(format!("more than {MOST_FILES} files fit"));
            }
        }
        if locations.len() == before {
            return Err("no file fits".to_owned());
        }
    }
    Ok(locations)
}
