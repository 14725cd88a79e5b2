//! Checkpoints, from which a run is resumed exactly: a folder each, which is whole or not there.
//!
//! `step-000001200/` holds `state.json`, `tensors.safetensors` and, written last, `manifest.json` with the SHA-256 of
//! both. It is written under another name, flushed and renamed, and the one before it stays, so that neither a crash nor
//! a damaged file takes more than the steps since the last checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use files::atomic::{self, AtomicFolder, remove_partials};
use files::digest::sha256;
use noise::Generator;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::values::check_values;
use crate::{AdamW, Error};

/// The files of a checkpoint.
const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";
const MANIFEST: &str = "manifest.json";

/// The longest of the JSON files that is read, in bytes.
const LONGEST_JSON: u64 = 16 << 20;

/// How many checkpoints of a run stay.
const CHECKPOINTS: usize = 2;

/// Everything beside the optimiser's tensors. The data's position is the step: batch `n` is always the same.
#[derive(Serialize, Deserialize)]
struct CheckpointState {
    /// The model's name.
    #[serde(rename = "leg")]
    model: String,
    /// The fingerprint of the models that this one learned from.
    upstream: String,
    /// The description of the data; empty in the checkpoints of old releases.
    #[serde(default)]
    data: String,
    /// Steps taken.
    step: u64,
    /// The generator of every random choice of the objective.
    generator: Generator,
    /// Names and shapes of the parameters.
    layout: Vec<(String, Vec<i64>)>,
}

/// The SHA-256 of each file.
type Manifest = BTreeMap<String, String>;

/// The checkpoints in a run's folder.
pub struct Checkpoints<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// The model's name.
    pub model: &'a str,
    /// The fingerprint of the models that this one learns from.
    pub upstream: &'a str,
    /// The description of the data.
    pub data: &'a str,
}

impl Checkpoints<'_> {
    /// The checkpoints that are there, whole or not, the newest first.
    pub fn found(&self) -> Vec<PathBuf> {
        self.by_step().into_iter().map(|(_, path)| path).collect()
    }

    /// The step of the newest checkpoint, whole or not; 0 where there is none.
    pub fn steps_taken(&self) -> u64 {
        self.by_step().first().map_or(0, |(step, _)| *step)
    }

    fn by_step(&self) -> Vec<(u64, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.folder) else {
            return Vec::new();
        };
        let mut found: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name();
                let step = name.to_str()?.strip_prefix("step-")?.parse().ok()?;
                Some((step, entry.path()))
            })
            .collect();
        found.sort();
        found.reverse();
        found
    }

    /// Writes a checkpoint, and removes those that are older than the one before it.
    pub fn save(&self, optimizer: &AdamW, generator: &Generator) -> Result<(), Error> {
        let state = CheckpointState {
            model: self.model.to_owned(),
            upstream: self.upstream.to_owned(),
            data: self.data.to_owned(),
            step: optimizer.steps_taken(),
            generator: generator.clone(),
            layout: optimizer.layout(),
        };
        let state = serde_json::to_vec(&state).expect("the state is plain data");
        let name = format!("step-{:09}", optimizer.steps_taken());
        let path = self.folder.join(&name);
        let partial = AtomicFolder::create(self.folder, &name).map_err(Error::file(&path))?;
        let files = [(STATE, state), (TENSORS, tensors(optimizer))];
        write(partial.path(), &path, &files)?;
        self.place(partial, &path)?;
        for old in self.found().into_iter().skip(CHECKPOINTS) {
            self.remove(&old)?;
        }
        Ok(())
    }

    /// Removes a checkpoint, of which a crash leaves nothing that looks like one.
    fn remove(&self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = self.folder.join(format!(".{name}.removed"));
        fs::rename(path, &hidden).map_err(Error::file(path))?;
        fs::remove_dir_all(&hidden).map_err(Error::file(&hidden))
    }

    /// Removes what a crash left half written or half removed.
    fn tidy(&self) {
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".step-") {
                // Failure to delete is ignored; the next run retries.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        remove_partials(self.folder);
    }

    /// Gives a written checkpoint its name, in the place of a damaged one of the same step.
    fn place(&self, partial: AtomicFolder, path: &Path) -> Result<(), Error> {
        if path.exists() {
            self.remove(path)?;
        }
        partial.commit(path).map_err(Error::file(path))?;
        synchronise(self.folder)
    }

    /// Restores the newest checkpoint that is whole, after a warning for each that is not; `None` where there is none
    /// at all yet.
    pub fn resume(&self, optimizer: &mut AdamW) -> Result<Option<Generator>, Error> {
        self.tidy();
        let found = self.found();
        let mut damage = Vec::new();
        for path in &found {
            match read(path) {
                Ok((state, tensors)) => {
                    let unfit = |why| Error::Checkpoint { path: path.clone(), why };
                    if !damage.is_empty() {
                        let (damage, path) = (damage.join("; "), path.display());
                        tracing::warn!("{damage}: going on from {path}");
                    }
                    let generator = self.restore(state, &tensors, optimizer).map_err(unfit)?;
                    return Ok(Some(generator));
                }
                Err(why) => damage.push(format!("{}: {why}", path.display())),
            }
        }
        match damage.is_empty() {
            true => Ok(None),
            false => Err(Error::Checkpoint {
                path: self.folder.to_owned(),
                why: format!(
                    "no checkpoint in it is whole ({}): a new --runs folder begins anew",
                    damage.join("; ")
                ),
            }),
        }
    }

    fn restore(
        &self,
        state: CheckpointState,
        tensors: &[(String, Tensor)],
        optimizer: &mut AdamW,
    ) -> Result<Generator, String> {
        if state.model != self.model {
            let theirs = &state.model;
            return Err(format!("it belongs to `{theirs}`, not to `{}`", self.model));
        }
        if state.upstream != self.upstream {
            return Err(
                "the encoders or the tokenizer have changed since: a new --runs folder begins anew"
                    .to_owned(),
            );
        }
        if !state.data.is_empty() && state.data != self.data {
            return Err(format!(
                "it learned from other data ({}, and now {}): a new --runs folder begins anew",
                state.data, self.data
            ));
        }
        let ours = optimizer.layout();
        if let Some((theirs, ours)) = state.layout.iter().zip(&ours).find(|(a, b)| a != b) {
            return Err(format!(
                "it has {} {:?} where the model has {} {:?}",
                theirs.0, theirs.1, ours.0, ours.1
            ));
        }
        optimizer.restore(state.step, tensors)?;
        Ok(state.generator)
    }
}

/// The optimiser's vectors as a safetensors file.
fn tensors(optimizer: &AdamW) -> Vec<u8> {
    let bytes: Vec<(&str, Vec<u8>)> = optimizer
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            let values = Vec::<f32>::try_from(&tensor).expect("the state is f32 vectors");
            (name, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, b)| {
        let view = TensorView::new(Dtype::F32, vec![b.len() / 4], b).expect("four bytes a number");
        (*name, view)
    });
    safetensors::serialize(views, None).expect("names are distinct")
}

/// Writes the files and then their manifest into a new folder, which is called `shown` in errors, all of it flushed to the
/// disk.
fn write(folder: &Path, shown: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), Error> {
    let manifest: Manifest =
        files.iter().map(|(name, bytes)| ((*name).to_owned(), sha256(bytes))).collect();
    let manifest = serde_json::to_vec_pretty(&manifest).expect("names and hashes");
    for (name, bytes) in files.iter().chain([&(MANIFEST, manifest)]) {
        let result = atomic::write(&folder.join(name), bytes, true);
        result.map_err(Error::file(shown.join(name)))?;
    }
    synchronise(folder)
}

fn synchronise(folder: &Path) -> Result<(), Error> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder))
}

/// The state and the tensors of a whole checkpoint, or what is wrong with it.
fn read(folder: &Path) -> Result<(CheckpointState, Vec<(String, Tensor)>), String> {
    let file = |name: &str| {
        let path = folder.join(name);
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        if name != TENSORS && length > LONGEST_JSON {
            return Err(format!(
                "its {name} has {length} bytes, and at most {LONGEST_JSON} are read"
            ));
        }
        fs::read(path).map_err(|error| format!("its {name} cannot be read ({error})"))
    };
    let damaged = |name: &str| format!("its {name} is damaged");
    let manifest: Manifest =
        serde_json::from_slice(&file(MANIFEST)?).map_err(|_| damaged(MANIFEST))?;
    let verified = |name: &str| {
        let bytes = file(name)?;
        match manifest.get(name) {
            Some(hash) if *hash == sha256(&bytes) => Ok(bytes),
            _ => Err(damaged(name)),
        }
    };
    let state = serde_json::from_slice(&verified(STATE)?).map_err(|_| damaged(STATE))?;
    Ok((state, vectors(&verified(TENSORS)?)?))
}

/// The tensors of a file, as vectors by name. Refuses values that cannot be resumed from.
fn vectors(file: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let damaged = |why: String| format!("its {TENSORS}: {why}");
    let file = SafeTensors::deserialize(file).map_err(|error| damaged(error.to_string()))?;
    let vector = |(name, view): (&str, TensorView)| {
        let numbers = view.data().as_chunks().0.iter();
        let values: Vec<f32> = numbers.map(|&bytes| f32::from_le_bytes(bytes)).collect();
        check_values(&values).map_err(|why| damaged(format!("of `{name}`, {why}")))?;
        Ok((name.to_owned(), Tensor::from_slice(&values)))
    };
    file.iter().map(vector).collect()
}
