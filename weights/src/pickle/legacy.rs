//! The format of torch.save before PyTorch 1.6: five pickles, of which the fourth is the state dict and the fifth the list
//! of its storages, and the storages' numbers one after the other, each after its count in eight bytes.

use std::collections::HashMap;
use std::rc::Rc;

use super::machine::{self, ValueGraph};
use super::program::Program;
use super::value::Value;
use super::{PickleError, Span, StateDict};
use crate::blob::Blob;
use crate::budget::Budget;
use files::text::excerpt;

/// The number that the first pickle is, as the protocols from 2 on and those before write it.
const MAGIC: [&[u8]; 2] =
    [b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", b"119547037146038801333356"];
/// The second: the format's version.
const VERSION: i64 = 1001;

/// The tensors of a state dict, and where their numbers lie.
pub(super) fn read(blob: &Rc<Blob>) -> Result<StateDict, PickleError> {
    let begins = blob.read(0, blob.len().min(64));
    let has = |magic: &&[u8]| begins.windows(magic.len()).any(|bytes| bytes == *magic);
    if !MAGIC.iter().any(has) {
        return Err(PickleError::NotTorch);
    }
    let mut program = Program::new(blob, 0, blob.len());
    let mut budget = Budget::of(blob.len());
    let mut run = || machine::run(&mut program, &mut budget);
    run()?;
    let version = run()?;
    match version.value(version.result) {
        Value::Int(VERSION) => {}
        _ => return Err(PickleError::NotTorch),
    }
    // The third tells of the machine that wrote it; numbers are in little-endian order on each.
    run()?;
    let made = run()?;
    let keys = run()?;
    Ok(StateDict {
        tensors: made.tensors(&mut budget)?,
        spans: spans(blob, program.at(), &made, &keys)?,
    })
}

fn spans(
    blob: &Rc<Blob>,
    mut at: usize,
    made: &ValueGraph,
    keys: &ValueGraph,
) -> Result<HashMap<Rc<str>, Span>, PickleError> {
    let Value::List(places) = keys.value(keys.result) else {
        return Err(PickleError::NotTorch);
    };
    let mut spans = HashMap::new();
    for place in places {
        let Value::Text(key) = keys.value(*place) else {
            return Err(PickleError::NotTorch);
        };
        let Some(storage) = made.storages.get(key) else {
            return Err(PickleError::Archive(format!(
                "storage {} belongs to no tensor",
                excerpt(key)
            )));
        };
        let short = || {
            PickleError::Archive(format!(
                "it ends at byte {} before storage {} does",
                blob.len(),
                excerpt(key)
            ))
        };
        let left = blob.len() - at;
        if left < 8 {
            return Err(short());
        }
        let count = blob.read(at, 8).try_into().expect("eight bytes were read");
        let length = usize::try_from(i64::from_le_bytes(count)).ok();
        let length = length.and_then(|count| count.checked_mul(storage.dtype.bits / 8));
        let length = length.filter(|length| *length <= left - 8);
        let length = length.ok_or_else(short)?;
        let span = Span { blob: blob.clone(), start: at + 8, length };
        at += 8 + length;
        if spans.insert(key.clone(), span).is_some() {
            let key = excerpt(key);
            return Err(PickleError::Archive(format!("storage {key} is there twice")));
        }
    }
    match blob.len() - at {
        0 => Ok(spans),
        more => Err(PickleError::Archive(format!("{more} bytes follow its last storage"))),
    }
}
