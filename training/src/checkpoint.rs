//! Checkpoints, from which a run is resumed exactly: a folder each, which is whole or not there.
//!
//! `step-000001200/` holds `state.json`, `tensors.safetensors` and, written last, `manifest.json` with the SHA-256 of
//! both. It is written under another name, flushed and renamed, and the one before it stays, so that neither a crash nor
//! a damaged file takes more than the steps since the last checkpoint. Where each process holds a part of the optimiser's state
//! it writes that as `tensors-00000-of-00002.safetensors`, say; rank 0 writes the rest. Any number of processes goes on from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use collectives::Group;
use files::atomic::{self, AtomicFolder, remove_partials};
use files::digest::sha256;
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

/// Everything beside the optimiser's tensors. The data's position is the step: batch `n` is always the same, and so are its
/// samples' random numbers.
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
    /// Names and shapes of the parameters.
    layout: Vec<(String, Vec<i64>)>,
}

/// A step, and the optimiser's tensors after it.
type SavedState = (u64, Vec<(String, Tensor)>);

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

    /// Writes a checkpoint, and removes those that are older than the one before it. To be called by all processes of the group,
    /// of which rank 0 alone writes, but for the parts of a state that is spread over them.
    pub fn save(&self, optimizer: &AdamW, group: &Group) -> Result<(), Error> {
        let name = format!("step-{:09}", optimizer.steps_taken());
        let path = self.folder.join(&name);
        if optimizer.is_sharded() {
            return self.save_shards(optimizer, group, &name);
        }
        if !group.is_first() {
            return Ok(());
        }
        let partial = AtomicFolder::create(self.folder, &name).map_err(Error::file(&path))?;
        let state = self.state(optimizer);
        write(partial.path(), &path, &[(STATE, state), (TENSORS, tensors(optimizer))], &[])?;
        self.finish(partial, &path)
    }

    /// Writes the parts of all processes, and then the rest.
    fn save_shards(&self, optimizer: &AdamW, group: &Group, name: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        let partial = group
            .is_first()
            .then(|| AtomicFolder::create(self.folder, name).map_err(Error::file(&path)))
            .transpose()?;
        // The folder is there once its name is.
        let own = partial.as_ref().and_then(|partial| partial.path().file_name());
        let own = own.map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        let names = group.all_gather_bytes(&own)?;
        let folder = self.folder.join(String::from_utf8_lossy(&names[0]).as_ref());
        let shard = shard_name(group.rank(), group.world());
        let bytes = tensors(optimizer);
        atomic::write(&folder.join(&shard), &bytes, true)
            .map_err(Error::file(path.join(&shard)))?;
        let digests = group.all_gather_bytes(sha256(&bytes).as_bytes())?;
        let Some(partial) = partial else {
            return Ok(());
        };
        let shards: Vec<(String, String)> = digests
            .iter()
            .enumerate()
            .map(|(rank, digest)| {
                let digest = String::from_utf8_lossy(digest).into_owned();
                (shard_name(rank, group.world()), digest)
            })
            .collect();
        write(partial.path(), &path, &[(STATE, self.state(optimizer))], &shards)?;
        self.finish(partial, &path)
    }

    /// The bytes of the state's file.
    fn state(&self, optimizer: &AdamW) -> Vec<u8> {
        let state = CheckpointState {
            model: self.model.to_owned(),
            upstream: self.upstream.to_owned(),
            data: self.data.to_owned(),
            step: optimizer.steps_taken(),
            layout: optimizer.layout(),
        };
        serde_json::to_vec(&state).expect("the state is plain data")
    }

    /// Gives a written checkpoint its name, and removes older ones.
    fn finish(&self, partial: AtomicFolder, path: &Path) -> Result<(), Error> {
        self.place(partial, path)?;
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

    /// Restores the newest checkpoint that is whole, after a warning for each that is not; false where there is none at all yet.
    /// To be called by all processes of the group, of which rank 0 reads.
    pub fn resume(&self, optimizer: &mut AdamW, group: &Group) -> Result<bool, Error> {
        let found = if group.is_first() { self.newest(optimizer)? } else { None };
        let step = found.as_ref().map_or(-1, |(step, _)| *step as i64);
        let mut step = Tensor::from_slice(&[step]);
        group.broadcast(&mut step, 0)?;
        let Ok(step) = u64::try_from(step.int64_value(&[0])) else {
            return Ok(false);
        };
        let tensors = found.map(|(_, tensors)| tensors).unwrap_or_default();
        optimizer.restore(step, &tensors)?;
        Ok(true)
    }

    /// The step and the tensors of the newest checkpoint that is whole.
    fn newest(&self, optimizer: &AdamW) -> Result<Option<SavedState>, Error> {
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
                    self.check(&state, &tensors, optimizer).map_err(unfit)?;
                    return Ok(Some((state.step, tensors)));
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

    /// An error unless a checkpoint is this run's.
    fn check(
        &self,
        state: &CheckpointState,
        tensors: &[(String, Tensor)],
        optimizer: &AdamW,
    ) -> Result<(), String> {
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
        if state.layout.len() != ours.len() {
            let (theirs, ours) = (state.layout.len(), ours.len());
            return Err(format!("it has {theirs} tensors where the model has {ours}"));
        }
        if let Some((theirs, ours)) = state.layout.iter().zip(&ours).find(|(a, b)| a != b) {
            return Err(format!(
                "it has {} {:?} where the model has {} {:?}",
                theirs.0, theirs.1, ours.0, ours.1
            ));
        }
        optimizer.check(tensors)
    }
}

/// The name of a process's part of the tensors.
fn shard_name(rank: usize, world: usize) -> String {
    format!("tensors-{rank:05}-of-{world:05}.safetensors")
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

/// Writes the files and then the manifest of them and of those that are `there`, with their digests, into a new folder, which is
/// called `shown` in errors, all of it flushed to the disk.
fn write(
    folder: &Path,
    shown: &Path,
    files: &[(&str, Vec<u8>)],
    there: &[(String, String)],
) -> Result<(), Error> {
    let mut manifest: Manifest =
        files.iter().map(|(name, bytes)| ((*name).to_owned(), sha256(bytes))).collect();
    manifest.extend(there.iter().cloned());
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
        if !name.starts_with("tensors") && length > LONGEST_JSON {
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
    let mut shards: Vec<&str> =
        manifest.keys().map(String::as_str).filter(|name| name.starts_with("tensors-")).collect();
    if shards.is_empty() {
        shards.push(TENSORS);
    }
    let mut parts: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
    for shard in shards {
        for (name, part) in vectors(shard, &verified(shard)?)? {
            parts.entry(name).or_default().push(part);
        }
    }
    let whole = |(name, parts): (String, Vec<Tensor>)| (name, Tensor::cat(&parts, 0));
    Ok((state, parts.into_iter().map(whole).collect()))
}

/// The tensors of a file, as vectors by name. Refuses values that cannot be resumed from.
fn vectors(shard: &str, file: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let damaged = |why: String| format!("its {shard}: {why}");
    let file = SafeTensors::deserialize(file).map_err(|error| damaged(error.to_string()))?;
    let vector = |(name, view): (&str, TensorView)| {
        let numbers = view.data().as_chunks().0.iter();
        let values: Vec<f32> = numbers.map(|&bytes| f32::from_le_bytes(bytes)).collect();
        check_values(&values).map_err(|why| damaged(format!("of `{name}`, {why}")))?;
        Ok((name.to_owned(), Tensor::from_slice(&values)))
    };
    file.iter().map(vector).collect()
}
