//! The safetensors format: eight bytes that give the header's length, a JSON header that names every tensor, and the
//! tensors' bytes, without gaps.

mod error;
mod header;

use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::blob::{Blob, Dtype, StoredTensor};
use crate::checkpoint::read_tensors;
use crate::files::write_atomically;
use crate::{Error, Problems};

pub use error::HeaderError;
pub(crate) use header::read;

/// The key under which a header holds strings instead of a tensor.
const METADATA: &str = "__metadata__";
/// Tensors begin at a multiple of this, so that wide loads from a mapped file are aligned.
const ALIGNMENT: usize = 64;

/// Every tensor of the file at `path` with its name, in the file's order and kinds, each a copy of its own
/// on the CPU. A name that occurs twice is an error.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>, Error> {
    let stored = read_tensors(&Rc::new(Blob::map(path.as_ref())?))?;
    let mut problems = Problems::default();
    let mut seen = HashSet::new();
    for tensor in &stored {
        if !seen.insert(&tensor.name) {
            problems.duplicate.push(tensor.name.clone());
        }
        if tensor.dtype.kind.is_none() {
            let found = (tensor.name.clone(), tensor.dtype.name);
            problems.mistyped.push(found);
        }
    }
    if !problems.is_empty() {
        return Err(Error::Tensors {
            file: path.as_ref().display().to_string(),
            model: "a list of tensors".to_owned(),
            problems: Box::new(problems),
        });
    }
    let load = |stored: StoredTensor| stored.tensor().map(|tensor| (stored.name, tensor.copy()));
    Ok(stored.into_iter().filter_map(load).collect())
}

/// Writes `tensors` to `path`, the floating-point ones as `kind` (f32, f16 or bf16), the others and without a kind all as they
/// are.
///
/// The file appears whole or not at all, and survives a power cut from then on. A name that occurs twice, a kind that
/// the format lacks, and a finite number that `kind` cannot hold are errors.
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(String, Tensor)],
    kind: impl Into<Option<Kind>>,
) -> Result<(), Error> {
    let (path, wanted) = (path.as_ref(), kind.into());
    let problem = |tensor: &str, reason: String| Error::Save {
        file: path.display().to_string(),
        tensor: tensor.to_owned(),
        reason,
    };
    let mut entries = Vec::with_capacity(tensors.len());
    let mut names = HashSet::new();
    for (name, tensor) in tensors {
        if !names.insert(name) || name == METADATA {
            return Err(problem(name, "the name is taken already".to_owned()));
        }
        let wanted = wanted.filter(|_| tensor.is_floating_point());
        let kind = wanted.unwrap_or_else(|| tensor.kind());
        let unknown = || problem(name, format!("the format has no {kind:?}"));
        entries.push((name, tensor, Dtype::of(kind).ok_or_else(unknown)?));
    }
    // Whole lines of the processor's cache first, then wide types: so every tensor begins as aligned as it can be, and kernels,
    // which round by alignment, give what they give for PyTorch's files. Otherwise the caller's order stays.
    entries.sort_by_key(|(_, tensor, dtype)| {
        let is_whole = (tensor.numel() * dtype.bits / 8) % ALIGNMENT == 0;
        (!is_whole, std::cmp::Reverse(dtype.bits))
    });

    let mut header = serde_json::Map::new();
    header.insert(METADATA.to_owned(), serde_json::json!({ "format": "pt" }));
    let mut end = 0;
    for (name, tensor, dtype) in &entries {
        let start = end;
        end += tensor.numel() * dtype.bits / 8;
        header.insert(
            (*name).clone(),
            serde_json::json!({ "dtype": dtype.name, "shape": tensor.size(), "data_offsets": [start, end] }),
        );
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize((8 + header.len()).next_multiple_of(ALIGNMENT) - 8, b' ');

    write_atomically(path, |file| {
        let io = |source| Error::io("write", path.display())(source);
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
        file.write_all(&header).map_err(io)?;
        let mut bytes = Vec::new();
        for (name, tensor, dtype) in &entries {
            let kind = dtype.kind.expect("every type came from a kind");
            let cast = tensor.detach().to_device(Device::Cpu).to_kind(kind).contiguous();
            if kind == Kind::Half && tensor.kind() != Kind::Half && overflows(tensor, &cast) {
                let reason = "it holds numbers beyond 65504, the largest of f16".to_owned();
                return Err(problem(name, reason));
            }
            bytes.resize(tensor.numel() * dtype.bits / 8, 0);
            let flat = cast.view([-1]).view_dtype(Kind::Uint8);
            flat.copy_data_u8(&mut bytes, flat.numel());
            file.write_all(&bytes).map_err(io)?;
        }
        Ok(())
    })
}

/// Whether a finite number became infinite.
fn overflows(before: &Tensor, after: &Tensor) -> bool {
    let finite = |tensor: &Tensor| {
        let sum = tensor.isfinite().sum(Kind::Int64);
        i64::try_from(sum).expect("a sum is one number")
    };
    finite(before) != finite(after)
}
