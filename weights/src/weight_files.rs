//! The files of a component's weights: diffusers' and transformers' names, whole or in shards, plain or of a variant.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use files::json;
use serde::Deserialize;
use tch::{Device, Kind};

use crate::error::listed;
use crate::{Checkpoint, Error, Folder};
use files::text::excerpt;

/// The beginnings and endings of the names of weights, the best first.
const NAMES: [(&str, &str); 4] = [
    ("diffusion_pytorch_model", "safetensors"),
    ("model", "safetensors"),
    ("diffusion_pytorch_model", "bin"),
    ("pytorch_model", "bin"),
];

/// A component's weights.
pub(crate) enum WeightFiles {
    /// The one file of this name.
    Whole(String),
    /// Those that the index of this name lists.
    Sharded(String),
}

/// Why none of a folder's files are its weights, by the names of all.
pub(crate) enum WeightFilesError {
    /// None is named like weights.
    None(Vec<String>),
    /// They are of several variants, and none was named.
    Several(BTreeSet<String>),
}

impl WeightFilesError {
    /// The error for the folder of `model`.
    pub(crate) fn of(self, folder: &Folder, model: &str) -> Error {
        let (folder, model) = (folder.to_string(), model.to_owned());
        match self {
            Self::None(files) => Error::NoWeights {
                folder,
                model,
                names: NAMES.map(|(stem, ending)| format!("{stem}.{ending}")).join(", "),
                files: listed(&files),
            },
            Self::Several(variants) => Error::Variants {
                folder,
                model,
                variants: variants.into_iter().collect::<Vec<_>>().join(" and "),
            },
        }
    }
}

impl WeightFiles {
    /// The weights among these files: of `variant` where there are such, else the plain ones, else of the only variant that
    /// is there where none was named.
    pub(crate) fn among(
        files: Vec<String>,
        variant: Option<&str>,
    ) -> Result<Self, WeightFilesError> {
        let named = variant.and_then(|variant| Self::of(&files, Some(variant)));
        if let Some(found) = named.or_else(|| Self::of(&files, None)) {
            return Ok(found);
        }
        let mut variants = variants(&files);
        match variants.pop_first() {
            Some(only) if variants.is_empty() && variant.is_none() => {
                tracing::info!(variant = excerpt(&only), "the only weights are of a variant");
                Self::of(&files, Some(&only)).ok_or(WeightFilesError::None(files))
            }
            Some(first) if variant.is_none() => {
                variants.insert(first);
                Err(WeightFilesError::Several(variants))
            }
            _ => Err(WeightFilesError::None(files)),
        }
    }

    fn of(files: &[String], variant: Option<&str>) -> Option<Self> {
        let named = |(stem, ending)| Self::named(files, stem, ending, variant);
        NAMES.into_iter().find_map(named)
    }

    /// The weights whose names begin and end so.
    fn named(files: &[String], stem: &str, ending: &str, variant: Option<&str>) -> Option<Self> {
        let has = |name: String| files.contains(&name).then_some(name);
        let (whole, indices) = match variant {
            None => {
                (format!("{stem}.{ending}"), [Some(format!("{stem}.{ending}.index.json")), None])
            }
            // Older versions of diffusers put the variant of an index elsewhere.
            Some(v) => (
                format!("{stem}.{v}.{ending}"),
                [
                    Some(format!("{stem}.{ending}.index.{v}.json")),
                    Some(format!("{stem}.{v}.{ending}.index.json")),
                ],
            ),
        };
        let index = || indices.into_iter().flatten().find_map(has).map(Self::Sharded);
        has(whole).map(Self::Whole).or_else(index)
    }
}

/// The weights of `variant` (else the plain ones) among the files of a component, in the format whose names end in `ending`:
/// one file, or an index and all of its shards, which are found by their names alone. `None` where one of them is missing.
pub fn weights_among(files: &[String], variant: Option<&str>, ending: &str) -> Option<Vec<String>> {
    let stems = NAMES.into_iter().filter(|(_, other)| *other == ending).map(|(stem, _)| stem);
    stems.into_iter().find_map(|stem| match WeightFiles::named(files, stem, ending, variant)? {
        WeightFiles::Whole(name) => Some(vec![name]),
        WeightFiles::Sharded(index) => {
            let shards = shards_among(files, stem, ending, variant)?;
            Some([index].into_iter().chain(shards).collect())
        }
    })
}

/// The shards of weights, all of them, whose variant stands before their numbers, or behind them as older versions of
/// diffusers put it.
fn shards_among(
    files: &[String],
    stem: &str,
    ending: &str,
    variant: Option<&str>,
) -> Option<Vec<String>> {
    let affixes = match variant {
        None => vec![(stem.to_owned(), format!(".{ending}"))],
        Some(v) => {
            vec![
                (format!("{stem}.{v}"), format!(".{ending}")),
                (stem.to_owned(), format!(".{v}.{ending}")),
            ]
        }
    };
    affixes.iter().find_map(|(beginning, end)| {
        let count = |file: &String| {
            let numbers = file.strip_prefix(beginning)?.strip_suffix(end)?.strip_prefix('-')?;
            let (number, count) = numbers.split_once("-of-")?;
            number.parse::<usize>().ok()?;
            count.parse::<usize>().ok()
        };
        let total = files.iter().find_map(count)?;
        let shards: Vec<String> =
            files.iter().filter(|file| count(file) == Some(total)).cloned().collect();
        (shards.len() == total).then_some(shards)
    })
}

impl Folder {
    /// The component's weights, as the checkpoint of `model` (with its article, for messages).
    pub fn checkpoint(&self, model: &str, device: Device, kind: Kind) -> Result<Checkpoint, Error> {
        let files = self.weight_files_of(model)?;
        let checkpoint = match files {
            WeightFiles::Whole(name) => {
                let blob = self.blob(&name)?;
                Checkpoint::of_blobs(blob.name.clone(), vec![blob], model, device, kind)
            }
            WeightFiles::Sharded(index) => {
                let bytes = self.read(&index)?.unwrap_or_default();
                let shards = self.shards(&index, &bytes)?;
                let files: BTreeSet<&String> = shards.values().collect();
                let blobs = files.into_iter().map(|shard| self.blob(shard));
                let blobs = blobs.collect::<Result<_, _>>()?;
                let file = self.name_of(&index);
                let checkpoint = Checkpoint::of_blobs(file, blobs, model, device, kind)?;
                self.check_shards(&index, shards, &checkpoint)?;
                Ok(checkpoint)
            }
        };
        Ok(checkpoint?.checked(self.is_checked()).with_weight_kind(self.weight_kind()))
    }

    /// The names of the files that [`Folder::checkpoint`] reads, and of their index.
    pub fn weight_files(&self, model: &str) -> Result<Vec<String>, Error> {
        match self.weight_files_of(model)? {
            WeightFiles::Whole(name) => Ok(vec![name]),
            WeightFiles::Sharded(index) => {
                let bytes = self.read(&index)?.unwrap_or_default();
                let shards: BTreeSet<String> = self.shards(&index, &bytes)?.into_values().collect();
                Ok([index].into_iter().chain(shards).collect())
            }
        }
    }

    fn weight_files_of(&self, model: &str) -> Result<WeightFiles, Error> {
        if let Some(file) = self.weights_file() {
            return Ok(WeightFiles::Whole(file.to_owned()));
        }
        let files = WeightFiles::among(self.file_names(), self.variant());
        files.map_err(|problem| problem.of(self, model))
    }

    /// Refuses a variant that no part of this model has weights of.
    pub fn check_variant(&self, variant: &str) -> Result<(), Error> {
        let parts = self.folder_names();
        let parts = parts.iter().map(|part| self.component(part).file_names());
        let mut found = variants(&self.file_names());
        parts.for_each(|files| found.extend(variants(&files)));
        if found.contains(variant) {
            return Ok(());
        }
        let found: Vec<String> = found.into_iter().collect();
        Err(Error::NoVariant {
            folder: self.to_string(),
            variant: variant.to_owned(),
            found: match found.is_empty() {
                true => "all of its weights are plain".to_owned(),
                false => format!("there is {}", listed(&found)),
            },
        })
    }

    /// Refuses an index that puts a tensor elsewhere than it is, or leaves one out.
    fn check_shards(
        &self,
        index: &str,
        mut shards: HashMap<String, String>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        let problem = |reason: String| Error::Index { file: self.name_of(index), reason };
        for (tensor, file) in checkpoint.locations() {
            let said = shards.remove(tensor).map(|shard| self.name_of(&shard));
            if said.as_deref() == Some(file) {
                continue;
            }
            let said =
                said.map_or("in no file".to_owned(), |said| format!("in {}", excerpt(&said)));
            let tensor = excerpt(tensor);
            return Err(problem(format!(
                "it says that tensor {tensor} is {said}, and it is in {file}"
            )));
        }
        match shards.into_iter().min() {
            None => Ok(()),
            Some((tensor, shard)) => Err(problem(format!(
                "it says that tensor {} is in {}, and it is not",
                excerpt(&tensor),
                excerpt(&shard)
            ))),
        }
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
            return Err(Error::NoFile { file: self.name_of(name) });
        }
        let blob = self.blob(name)?;
        let checkpoint = Checkpoint::of_blobs(blob.name.clone(), vec![blob], model, device, kind);
        Ok(checkpoint?.checked(self.is_checked()).with_weight_kind(self.weight_kind()))
    }

    /// The file that an index puts each tensor into.
    fn shards(&self, index: &str, bytes: &[u8]) -> Result<HashMap<String, String>, Error> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: HashMap<String, String>,
        }
        let problem = |reason: String| Error::Index { file: self.name_of(index), reason };
        let Index { weight_map } = json::parse(bytes, json::VOCABULARY)
            .map_err(|error| problem(excerpt(&error.to_string())))?;
        // An index must not lead out of its folder.
        let plain = |name: &str| Path::new(name).file_name() == Some(name.as_ref());
        match weight_map.values().find(|name| !plain(name)) {
            Some(other) => {
                Err(problem(format!("{:?} is not the name of a file beside it", excerpt(other))))
            }
            None => Ok(weight_map),
        }
    }
}

/// The variants of the weights among these files, which are those of a component: "fp16".
pub fn variants(files: &[String]) -> BTreeSet<String> {
    files.iter().filter_map(|file| variant(file)).collect()
}

fn variant(file: &str) -> Option<String> {
    NAMES.into_iter().find_map(|(stem, ending)| {
        let rest = file.strip_prefix(stem)?.strip_prefix('.')?;
        let index = format!("{ending}.index.");
        let variant = match rest.strip_prefix(&index) {
            Some(rest) => rest.strip_suffix(".json")?,
            None => rest
                .strip_suffix(&format!(".{index}json"))
                .or_else(|| rest.strip_suffix(ending)?.strip_suffix('.'))?,
        };
        // A numbered file is a shard, which its index names.
        let plain = !variant.is_empty() && !variant.contains('.') && !variant.contains("-of-");
        plain.then(|| variant.to_owned())
    })
}
