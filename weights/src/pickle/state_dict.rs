//! The state dict among what a pickle made, or that of the TorchScript module or the tuple which it made.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::machine::ValueGraph;
use super::value::{ENTRY, Value};
use super::{PickleError, Views};
use crate::budget::{Budget, TENSOR};
use files::text::excerpt;

/// As many entries as a sentence names.
const NAMED: usize = 4;

/// As many modules lie in each other at most; CLIP has five.
const DEEPEST: usize = 64;

impl ValueGraph {
    /// The tensors of a dict, or of the one that it wraps, in order, or those of a module or of a tuple. Other entries are
    /// passed over.
    pub(crate) fn tensors(&self, budget: &mut Budget) -> Result<Views, PickleError> {
        match self.value(self.result) {
            Value::Module(_) => return self.module_tensors(budget),
            Value::Tuple(items) => return self.tuple_tensors(items, budget),
            _ => {}
        }
        let entries = self.state_dict()?;
        let mut tensors = Vec::new();
        // A pickle can repeat a name and a tensor in four bytes; twice is enough to report them.
        let mut seen: HashMap<Rc<str>, u8> = HashMap::new();
        for &(key, value) in entries {
            match (self.value(key), self.value(value)) {
                (Value::Text(name), Value::Tensor(view)) => {
                    let times = seen.entry(name.clone()).or_default();
                    if *times < 2 {
                        *times += 1;
                        budget.pay(TENSOR + (2 * name.len() + view.extent()) as u64)?;
                        tensors.push((name.clone(), view.clone()));
                    }
                }
                (Value::Text(name), other) => {
                    tracing::debug!(entry = excerpt(name), is = other.what(), "passed over");
                }
                (other, Value::Tensor(_)) => {
                    return Err(PickleError::NoDict(match other {
                        Value::Int(_) => "a dict with numbers for names",
                        _ => "a dict with other names than strings",
                    }));
                }
                (key, other) => {
                    tracing::debug!(key = key.what(), is = other.what(), "passed over");
                }
            }
        }
        match tensors.is_empty() && !entries.is_empty() {
            true => Err(PickleError::NoTensors(self.named(entries))),
            false => Ok(tensors),
        }
    }

    /// The tensors of a tuple that holds nothing else, by their places in it from 0.
    fn tuple_tensors(&self, items: &[u32], budget: &mut Budget) -> Result<Views, PickleError> {
        let mut tensors = Vec::new();
        for (place, &item) in items.iter().enumerate() {
            let Value::Tensor(view) = self.value(item) else {
                return Err(PickleError::NoDict("a tuple of other things than tensors"));
            };
            let name: Rc<str> = place.to_string().into();
            budget.pay(TENSOR + (2 * name.len() + view.extent()) as u64)?;
            tensors.push((name, view.clone()));
        }
        match tensors.is_empty() {
            true => Err(PickleError::NoDict("an empty tuple")),
            false => Ok(tensors),
        }
    }

    /// The tensors of a TorchScript module, and of those within it, each by the path of attributes that leads to it: the names
    /// of its state dict.
    fn module_tensors(&self, budget: &mut Budget) -> Result<Views, PickleError> {
        let mut tensors = Vec::new();
        let mut modules = vec![(String::new(), self.result, 0)];
        while let Some((path, module, depth)) = modules.pop() {
            let Value::Module(Some(attributes)) = self.value(module) else { continue };
            for &(key, value) in self.dict(*attributes)? {
                // A module can be an attribute of many, and each time its own are looked through.
                budget.pay(ENTRY as u64)?;
                let Value::Text(key) = self.value(key) else { continue };
                match self.value(value) {
                    Value::Tensor(view) => {
                        let name = format!("{path}{key}");
                        budget.pay(TENSOR + (2 * name.len() + view.extent()) as u64)?;
                        tensors.push((name.into(), view.clone()));
                    }
                    Value::Module(_) if depth == DEEPEST => {
                        return Err(PickleError::Depth(DEEPEST));
                    }
                    Value::Module(_) => {
                        let path = format!("{path}{key}.");
                        budget.pay((path.len() + 2 * ENTRY) as u64)?;
                        modules.push((path, value, depth + 1));
                    }
                    other => {
                        tracing::debug!(attribute = excerpt(key), is = other.what(), "passed over");
                    }
                }
            }
        }
        match tensors.is_empty() {
            true => Err(PickleError::NoTensors("a module without any".to_owned())),
            false => Ok(tensors),
        }
    }

    /// The dict's `state_dict`; else itself where it holds tensors, or the one dict of tensors among its entries.
    fn state_dict(&self) -> Result<&[(u32, u32)], PickleError> {
        let root = self.dict(self.result)?;
        let dict = |&(key, value): &(u32, u32)| match (self.value(key), self.value(value)) {
            (Value::Text(key), Value::Dict(entries)) => Some((&**key, value, &entries[..])),
            _ => None,
        };
        let mut dicts = root.iter().filter_map(dict);
        if let Some((_, _, entries)) = dicts.clone().find(|(key, ..)| *key == "state_dict") {
            return Ok(entries);
        }
        let tensor = |(_, value): &(u32, u32)| matches!(self.value(*value), Value::Tensor(_));
        if root.iter().any(tensor) {
            return Ok(root);
        }
        // A pickle can name one dict many times, which is looked through once.
        let mut seen = HashSet::new();
        let mut of_tensors = dicts
            .by_ref()
            .filter(|(_, place, dict)| seen.insert(*place) && dict.iter().any(tensor));
        match (of_tensors.next(), of_tensors.next()) {
            (None, _) => Ok(root),
            (Some((_, _, only)), None) => Ok(only),
            (Some((one, ..)), Some((other, ..))) => {
                Err(PickleError::SeveralDicts(excerpt(one), excerpt(other)))
            }
        }
    }

    fn named(&self, entries: &[(u32, u32)]) -> String {
        let entry = |&(key, value): &(u32, u32)| match self.value(key) {
            Value::Text(name) => format!("{} ({})", excerpt(name), self.value(value).what()),
            other => format!("{} ({})", other.what(), self.value(value).what()),
        };
        let mut named: Vec<String> = entries.iter().take(NAMED).map(entry).collect();
        if entries.len() > NAMED {
            named.push(format!("{} more", entries.len() - NAMED));
        }
        named.join(", ")
    }

    /// A value by its place.
    pub(crate) fn value(&self, place: u32) -> &Value {
        &self.values[place as usize]
    }

    fn dict(&self, value: u32) -> Result<&[(u32, u32)], PickleError> {
        match self.value(value) {
            Value::Dict(entries) => Ok(entries),
            other => Err(PickleError::NoDict(other.what())),
        }
    }
}
