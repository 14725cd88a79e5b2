//! The safetensors format: eight bytes that give the header's length, a JSON header that names every tensor, and the
//! tensors' bytes, without gaps.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use files::text::excerpt;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use tch::{Device, Kind, Tensor};

use crate::checkpoint::read_tensors;
use crate::files::write_atomically;
use crate::stored::{Blob, Dtype, Stored};
use crate::{Error, Problems};

/// The format's own limit on its header.
const LONGEST_HEADER: u64 = 100_000_000;
/// The key under which a header holds strings instead of a tensor.
const METADATA: &str = "__metadata__";
/// Tensors begin at a multiple of this, so that wide loads from a mapped file are aligned.
const ALIGNMENT: usize = 64;

/// What is wrong with a safetensors header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// There is not even a length.
    #[error("it has {length} bytes, and the length of a header alone takes 8")]
    NoHeader {
        /// The file's length.
        length: usize,
    },
    /// The header does not end within the file, or is longer than the format allows.
    #[error("its header claims {header} bytes and the file has {length}")]
    HeaderLength {
        /// The claimed length.
        header: u64,
        /// The file's length.
        length: usize,
    },
    /// The header is not the JSON that it should be.
    #[error("its header is damaged: {0}")]
    Header(String),
    /// A number type that nobody knows.
    #[error("tensor {tensor} is of the unknown type {dtype}")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// The type's name.
        dtype: String,
    },
    /// The product of a shape cannot be a size.
    #[error("tensor {tensor} has the impossible shape {shape:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape.
        shape: Vec<u64>,
    },
    /// The byte range is not that of the shape and type.
    #[error(
        "tensor {tensor} is {dtype} {shape:?}, which takes {wanted} bytes, and lies at {start}..{end}"
    )]
    Size {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: &'static str,
        /// Its shape.
        shape: Vec<u64>,
        /// The bytes that these take.
        wanted: u64,
        /// Where it begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// A hole before a tensor, or an overlap with the one before.
    #[error("tensor {tensor} begins at byte {start} where {wanted} is next")]
    Offset {
        /// The tensor.
        tensor: String,
        /// Where it begins.
        start: u64,
        /// Where the tensor before it ends.
        wanted: u64,
    },
    /// The file is cut short or has a tail.
    #[error("its tensors end at byte {wanted} of its data, which has {found} bytes")]
    Length {
        /// The tensors' length.
        wanted: u64,
        /// The data's length.
        found: u64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The header's entries in the file's order, with whatever occurs twice.
struct Header(Vec<(String, Info)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = Vec::new();
                let mut described = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        map.next_value::<std::collections::BTreeMap<String, String>>()?;
                        if std::mem::replace(&mut described, true) {
                            return Err(A::Error::custom("it has two __metadata__ entries"));
                        }
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The tensors of a safetensors file in the order of their bytes, duplicates included.
pub(crate) fn read(blob: &Rc<Blob>) -> Result<Vec<Stored>, Error> {
    read_header(blob).map_err(|problem| Error::Safetensors {
        file: blob.name.clone(),
        problem,
    })
}

fn read_header(blob: &Rc<Blob>) -> Result<Vec<Stored>, HeaderError> {
    let length = blob.len();
    if length < 8 {
        return Err(HeaderError::NoHeader { length });
    }
    let claimed = blob.read(0, 8).try_into().expect("eight bytes were read");
    let header = u64::from_le_bytes(claimed);
    if header > LONGEST_HEADER || header > length as u64 - 8 {
        return Err(HeaderError::HeaderLength { header, length });
    }
    let data = 8 + header as usize;
    let Header(mut entries) = serde_json::from_slice(&blob.read(8, header as usize))
        .map_err(|error| HeaderError::Header(error.to_string()))?;
    entries.sort_by_key(|(_, info)| info.data_offsets);

    let mut next = 0;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, info) in entries {
        let [start, end] = info.data_offsets;
        let dtype = match Dtype::named(&info.dtype) {
            Some(dtype) => dtype,
            None => {
                return Err(HeaderError::Dtype {
                    tensor: excerpt(&name),
                    dtype: excerpt(&info.dtype),
                });
            }
        };
        let Some(wanted) = size(&info.shape, dtype) else {
            return Err(HeaderError::Shape {
                tensor: excerpt(&name),
                shape: info.shape,
            });
        };
        if start != next {
            return Err(HeaderError::Offset {
                tensor: excerpt(&name),
                start,
                wanted: next,
            });
        }
        if end.checked_sub(start) != Some(wanted) {
            return Err(HeaderError::Size {
                tensor: excerpt(&name),
                dtype: dtype.name,
                shape: info.shape,
                wanted,
                start,
                end,
            });
        }
        next = end;
        if end > (length - data) as u64 {
            continue; // Reported below, with the length that the whole of the tensors takes.
        }
        tensors.push(Stored {
            name,
            dtype,
            shape: info.shape.iter().map(|&side| side as i64).collect(),
            strides: None,
            blob: blob.clone(),
            start: data + start as usize,
            length: wanted as usize,
        });
    }
    let found = (length - data) as u64;
    if next != found {
        return Err(HeaderError::Length {
            wanted: next,
            found,
        });
    }
    Ok(tensors)
}

/// The bytes of a tensor, if libtorch can count them: sides beside one of 0 have a product too.
fn size(shape: &[u64], dtype: Dtype) -> Option<u64> {
    let product = |bits: i64, side: &u64| bits.checked_mul(i64::try_from(*side).ok()?.max(1));
    let bits = shape.iter().try_fold(dtype.bits as i64, product)?;
    let bits = if shape.contains(&0) { 0 } else { bits };
    (bits % 8 == 0).then_some(bits as u64 / 8)
}

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
    let load = |stored: Stored| stored.tensor().map(|tensor| (stored.name, tensor.copy()));
    Ok(stored.into_iter().filter_map(load).collect())
}

/// Writes `tensors` to `path`, the floating-point ones as `kind` (f32, f16 or bf16), the others as they are.
///
/// The file appears whole or not at all, and survives a power cut from then on. A name that occurs twice, a kind that
/// the format lacks, and a finite number that `kind` cannot hold are errors.
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(String, Tensor)],
    kind: Kind,
) -> Result<(), Error> {
    let path = path.as_ref();
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
        let kind = if tensor.is_floating_point() {
            kind
        } else {
            tensor.kind()
        };
        let unknown = || problem(name, format!("the format has no {kind:?}"));
        entries.push((name, tensor, Dtype::of(kind).ok_or_else(unknown)?));
    }
    // Wide types first keep every tensor aligned; within a type the caller's order stays.
    entries.sort_by_key(|(_, _, dtype)| std::cmp::Reverse(dtype.bits));

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
        file.write_all(&(header.len() as u64).to_le_bytes())
            .map_err(io)?;
        file.write_all(&header).map_err(io)?;
        let mut bytes = Vec::new();
        for (name, tensor, dtype) in &entries {
            let kind = dtype.kind.expect("every type came from a kind");
            let cast = tensor
                .detach()
                .to_device(Device::Cpu)
                .to_kind(kind)
                .contiguous();
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

/// Whether a number that was finite no longer is.
fn overflows(before: &Tensor, after: &Tensor) -> bool {
    let finite = |tensor: &Tensor| {
        let sum = tensor.isfinite().sum(Kind::Int64);
        i64::try_from(sum).expect("a sum is one number")
    };
    finite(before) != finite(after)
}
