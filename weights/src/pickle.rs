//! PyTorch's state dicts (`.bin`, `.pt`, `.pth`, `.ckpt`), its tuples of tensors (`.th`), and those of TorchScript modules
//! (`.pt`): a pickle that says which tensors there are, and the storages that hold their numbers, together in a zip archive
//! or, before PyTorch 1.6, one after the other.
//!
//! A pickle is a program. `machine` runs the few instructions that build tensors, dicts, lists, tuples, numbers and
//! strings (`scalars`, `containers`, `calls`); whatever else a pickle asks for is refused by its name, so no code of a file's
//! ever runs.

mod archive;
mod calls;
mod containers;
mod directory;
mod error;
mod legacy;
mod machine;
mod opcodes;
mod program;
mod scalars;
mod state_dict;
mod value;

pub use error::PickleError;

use std::collections::HashMap;
use std::rc::Rc;

use files::contents::Contents;
use files::text::excerpt;

use crate::Error;
use crate::blob::{Blob, StoredTensor};
use value::View;

/// Bytes of a file.
struct Span {
    blob: Rc<Blob>,
    start: usize,
    length: usize,
}

/// Tensors with their names, in a file's order.
type Views = Vec<(Rc<str>, Rc<View>)>;

/// The tensors of a file, and where their storages lie.
struct StateDict {
    tensors: Views,
    spans: HashMap<Rc<str>, Span>,
}

/// The tensors of a state dict, duplicates included.
pub(crate) fn read(blob: &Rc<Blob>) -> Result<Vec<StoredTensor>, Error> {
    read_state_dict(blob).map_err(|problem| Error::Pickle { file: blob.name.clone(), problem })
}

/// The names of the tensors in an archive, of which no more than the pickle is read.
pub(crate) fn names(blob: &Rc<Blob>) -> Result<Vec<String>, Error> {
    let names = archive::read_names(blob);
    names.map_err(|problem| Error::Pickle { file: blob.name.clone(), problem })
}

fn read_state_dict(blob: &Rc<Blob>) -> Result<Vec<StoredTensor>, PickleError> {
    let StateDict { tensors, spans } = match blob.contents() {
        Some(Contents::Zip) => archive::read(blob)?,
        _ => legacy::read(blob)?,
    };
    let place = |(name, view): (Rc<str>, Rc<View>)| {
        place(spans.get(&view.storage.key), name.to_string(), &view)
    };
    tensors.into_iter().map(place).collect()
}

/// Where in the file a view of a storage lies, all sizes checked.
fn place(span: Option<&Span>, name: String, view: &View) -> Result<StoredTensor, PickleError> {
    let damaged =
        |reason: &str| PickleError::Tensor { tensor: excerpt(&name), reason: reason.to_owned() };
    let storage = &view.storage;
    let Span { blob, start, length } =
        span.ok_or_else(|| damaged("its storage is not in the file"))?;
    let bytes = storage.dtype.bits / 8;
    let claimed = usize::try_from(storage.count).ok().and_then(|count| count.checked_mul(bytes));
    if claimed != Some(*length) {
        let count = storage.count;
        let reason = format!("its storage of {count} numbers of {bytes} bytes has {length} bytes");
        return Err(damaged(&reason));
    }
    let span = view.span().ok_or_else(|| damaged("its sizes are impossible"))?;
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
    Ok(StoredTensor {
        dtype: storage.dtype,
        start: start + view.offset as usize * bytes,
        length: span as usize * bytes,
        strides: (!contiguous).then(|| view.strides.clone()),
        shape: view.shape.clone(),
        blob: blob.clone(),
        name,
    })
}
