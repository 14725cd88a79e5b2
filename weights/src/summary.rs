//! Summaries of weights: how many numbers of which types there are, from the headers alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use files::contents::Contents;
use serde::Serialize;
use tch::{Device, Kind};

use crate::checkpoint::IGNORED;
use crate::{Checkpoint, Error};

/// Weights as their files have them. No tensor is read for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WeightSummary {
    /// The names of the files' formats.
    pub formats: Vec<&'static str>,
    /// How many tensors there are.
    pub tensors: u64,
    /// How many floating-point numbers there are.
    pub parameters: u64,
    /// The types of these numbers, as `f32`, the most frequent first.
    pub dtypes: Vec<String>,
    /// How many bytes all tensors take.
    pub bytes: u64,
}

impl Checkpoint {
    /// The summary of its tensors.
    pub fn summary(&self) -> WeightSummary {
        let (mut summary, mut counts) = (WeightSummary::default(), BTreeMap::<&str, u64>::new());
        let mut known = HashSet::new();
        for stored in self.stored() {
            let numbers: u64 = stored.shape.iter().map(|&side| side as u64).product();
            summary.tensors += 1;
            summary.bytes += numbers * stored.dtype.bits as u64 / 8;
            if stored.dtype.is_float() && !IGNORED.contains(&&*stored.name) {
                *counts.entry(stored.dtype.name).or_default() += numbers;
            }
            if known.insert(Rc::as_ptr(&stored.blob)) {
                let format = match stored.blob.contents() {
                    Some(Contents::Safetensors) => "safetensors",
                    _ => "PyTorch",
                };
                insert_new(&mut summary.formats, [format]);
            }
        }
        let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        summary.parameters = counts.iter().map(|(_, count)| count).sum();
        summary.dtypes = counts.into_iter().map(|(name, _)| name.to_lowercase()).collect();
        summary
    }
}

impl WeightSummary {
    /// That of the file of weights at `path`.
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        Ok(Checkpoint::open(path, "weights", Device::Cpu, Kind::Float)?.summary())
    }

    /// Adds another's weights.
    pub fn add(&mut self, other: &Self) {
        self.tensors += other.tensors;
        self.parameters += other.parameters;
        self.bytes += other.bytes;
        insert_new(&mut self.formats, other.formats.iter().copied());
        insert_new(&mut self.dtypes, other.dtypes.iter().cloned());
    }
}

fn insert_new<T: PartialEq>(list: &mut Vec<T>, items: impl IntoIterator<Item = T>) {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
