//! PyTorch's state dicts (`.bin`, `.pt`, `.pth`, `.ckpt`): a zip archive that holds one file per storage, and a pickle
//! that says which tensors they are.
//!
//! A pickle is a program. [`machine`] runs the few instructions that build tensors, dicts, lists, tuples, numbers and
//! strings; whatever else a pickle asks for is refused by its name, so no code of a file's ever runs.

mod archive;
mod error;
mod machine;
mod opcodes;
mod value;

pub use error::PickleError;

use std::rc::Rc;

use crate::Error;
use crate::error::shown;
use crate::stored::{Blob, Stored};
use archive::Archive;
use value::View;

/// The endings of PyTorch's files; everything else is safetensors.
const ENDINGS: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];

/// Whether the file is named as PyTorch's are.
pub(crate) fn recognises(blob: &Blob) -> bool {
    ENDINGS.iter().any(|ending| blob.name.ends_with(ending))
}

/// The tensors of a state dict, duplicates included.
pub(crate) fn read(blob: &Rc<Blob>) -> Result<Vec<Stored>, Error> {
    read_archive(blob).map_err(|problem| Error::Pickle {
        file: blob.name.clone(),
        problem,
    })
}

fn read_archive(blob: &Rc<Blob>) -> Result<Vec<Stored>, PickleError> {
    let archive = Archive::open(blob)?;
    let views = machine::run(&archive.program()?)?;
    views
        .into_iter()
        .map(|(name, view)| place(&archive, blob, name.to_string(), view))
        .collect()
}

/// Where in the file a view of a storage lies, all sizes checked.
fn place(
    archive: &Archive,
    blob: &Rc<Blob>,
    name: String,
    view: View,
) -> Result<Stored, PickleError> {
    let damaged = |reason: &str| PickleError::Tensor {
        tensor: shown(&name),
        reason: reason.to_owned(),
    };
    let storage = &view.storage;
    let (start, length) = archive
        .storage(&storage.key)
        .ok_or_else(|| damaged("its storage is not in the archive"))?;
    let bytes = storage.dtype.bits / 8;
    let claimed = usize::try_from(storage.count)
        .ok()
        .and_then(|count| count.checked_mul(bytes));
    if claimed != Some(length) {
        let count = storage.count;
        let reason =
            format!("its storage of {count} numbers of {bytes} bytes is a file of {length} bytes");
        return Err(damaged(&reason));
    }
    let span = view
        .span()
        .ok_or_else(|| damaged("its sizes are impossible"))?;
    let end = view.offset.checked_add(span);
    if view.offset < 0 || end.is_none_or(|end| end > storage.count) {
        let (shape, strides, offset) = (&view.shape, &view.strides, view.offset);
        let reason = format!(
            "{shape:?} with strides {strides:?} from {offset} on leaves its storage of {} numbers",
            storage.count
        );
        return Err(damaged(&reason));
    }
    // A tensor that repeats its numbers could be as large as a file says, however small the file.
    if view.count().is_none_or(|count| count > storage.count) {
        return Err(damaged("it has more numbers than its storage"));
    }
    let contiguous = view.is_contiguous();
    Ok(Stored {
        dtype: storage.dtype,
        start: start + view.offset as usize * bytes,
        length: span as usize * bytes,
        strides: (!contiguous).then_some(view.strides),
        shape: view.shape,
        blob: blob.clone(),
        name,
    })
}
