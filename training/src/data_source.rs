//! Data that a user names: folders, shards, patterns of them, or scenes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::text::excerpt;
use glob::MatchOptions;

use crate::Error;
use crate::data::Data;
use crate::embedding_cache::EmbeddingCache;
use crate::folder::PictureFolder;
use crate::layout::{Place, places_in};
use crate::metadata::METADATA;
use crate::patterns::{Braces, MOST_FILES};
use crate::pictures::Pictures;
use crate::rejects::Rejects;
use crate::samples::{Samples, Source};
use crate::shards::{Shard, Wanted};

/// What the project's own pictures are called.
const SCENES: &str = "scenes";

/// Patterns fit as in shells, where no `*` stands for the dot of a hidden name.
const AS_SHELLS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: true,
};

impl Data {
    /// The data that a user names: `scenes`, or any of folders of pictures, folders of shards, `.tar`s and patterns of
    /// them (`*`, `?`, `[a-z]`, `{00..09}`, `{a,b}`), one after the other. Without any, scenes. Half of the pictures are
    /// mirrored where `flip` wants it. An error where they do not go together or hold nothing that can be read.
    pub fn open(given: &[impl AsRef<OsStr>], flip: bool) -> Result<Self, Error> {
        let given: Vec<&OsStr> = given.iter().map(AsRef::as_ref).collect();
        if given.iter().all(|name| *name == SCENES) {
            let plain = given.len() < 2 && !flip;
            return match plain {
                true => Ok(Self::Scenes),
                false if flip => Err(wrong("scenes are not mirrored: captions name their places")),
                false => Err(wrong("scenes are named more than once")),
            };
        }
        if given.iter().any(|name| *name == SCENES) {
            return Err(wrong(
                "scenes have no end and cannot be mixed with other data: unclip scenes exports some to a folder",
            ));
        }
        let mut places = Vec::new();
        let shown: Vec<String> =
            given.iter().map(|name| excerpt(&name.display().to_string())).collect();
        for (name, shown) in given.iter().zip(&shown) {
            // A name that is no text is no pattern.
            let found = match name.to_str() {
                Some(name) => places_of(name),
                None => places_in(Path::new(name)),
            };
            let found = found.map_err(|why| match why.starts_with(shown) {
                true => wrong(format!("--data {why}")),
                false => wrong(format!("--data {shown}: {why}")),
            })?;
            places.extend(found);
        }
        refuse_repeated(&places)?;
        let named = shown.join(", ");
        let caches: Vec<bool> = places.iter().map(EmbeddingCache::is_beside).collect();
        match (caches.contains(&true), caches.contains(&false)) {
            (true, true) => Err(wrong(format!(
                "--data {named}: some of it is pictures and some embeddings, and a leg learns from one of them"
            ))),
            (true, false) if flip => Err(wrong(format!(
                "--flip: {named} holds embeddings, and pictures alone are mirrored"
            ))),
            (true, false) => {
                let samples = samples(&places, Wanted::Embeddings, named)?;
                let folders = places.iter().map(Place::folder);
                let cache = EmbeddingCache::new(samples, folders)?;
                Ok(Self::Embeddings(Arc::new(cache)))
            }
            _ => {
                let pictures = Pictures::new(samples(&places, Wanted::Pictures, named)?, flip);
                pictures.check()?;
                Ok(Self::Pictures(Arc::new(pictures)))
            }
        }
    }
}

fn wrong(why: impl Into<String>) -> Error {
    Error::Data(why.into())
}

fn samples(places: &[Place], wanted: Wanted, given: String) -> Result<Samples, Error> {
    let mut broken = Rejects::default();
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for place in places {
        sources.push(match place {
            Place::Folder(path) => Box::new(PictureFolder::open(path, &mut broken)?),
            Place::Shard(path) => Box::new(Shard::open(path, wanted, &mut broken)),
        });
    }
    Samples::new(sources, broken, given)
}

/// The same pictures twice would count twice.
fn refuse_repeated(places: &[Place]) -> Result<(), Error> {
    let mut named = BTreeSet::new();
    let mut folders = Vec::new();
    for place in places {
        let (Place::Folder(path) | Place::Shard(path)) = place;
        let real = path.canonicalize().map_err(Error::file(path))?;
        if let Place::Folder(path) = place {
            folders.push((path, real.clone()));
        }
        if !named.insert(real) {
            let path = path.display();
            return Err(wrong(format!("--data names {path} more than once")));
        }
    }
    // A table names its pictures itself; of other folders all that lies in them counts.
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

impl EmbeddingCache {
    fn is_beside(place: &Place) -> bool {
        matches!(place, Place::Shard(_)) && Self::is_in(place.folder())
    }
}

/// What a name stands for: the file or folder of that name, or else whatever fits it as a pattern.
fn places_of(name: &str) -> Result<Vec<Place>, String> {
    if Path::new(name).exists() {
        return places_in(Path::new(name));
    }
    let mut places = Vec::new();
    for name in Braces::read(name)?.names() {
        if !name.contains(['*', '?', '[']) {
            places.extend(places_in(Path::new(&name))?);
            continue;
        }
        let before = places.len();
        let paths = glob::glob_with(&name, AS_SHELLS).map_err(|error| error.to_string())?;
        for path in paths {
            places.extend(places_in(&path.map_err(|error| error.to_string())?)?);
            if places.len() > MOST_FILES {
                return Err(format!("more than {MOST_FILES} files fit"));
            }
        }
        if places.len() == before {
            return Err("no file fits".to_owned());
        }
    }
    Ok(places)
}
