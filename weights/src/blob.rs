//! Bytes of a file in memory, and the tensors that lie in them.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use files::contents::{self, Contents};
use kernels::OutOfMemory;
use tch::{Device, Kind, TchError, Tensor};

use crate::Error;

/// A type of number as a file names it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dtype {
    /// Its name in safetensors files.
    pub name: &'static str,
    /// The size of one number.
    pub bits: usize,
    /// Its name in libtorch, where tch knows it.
    pub kind: Option<Kind>,
}

const DTYPES: [Dtype; 22] = {
    const fn dtype(name: &'static str, bits: usize, kind: Option<Kind>) -> Dtype {
        Dtype { name, bits, kind }
    }
    [
        dtype("F32", 32, Some(Kind::Float)),
        dtype("F16", 16, Some(Kind::Half)),
        dtype("BF16", 16, Some(Kind::BFloat16)),
        dtype("F64", 64, Some(Kind::Double)),
        dtype("I64", 64, Some(Kind::Int64)),
        dtype("I32", 32, Some(Kind::Int)),
        dtype("I16", 16, Some(Kind::Int16)),
        dtype("I8", 8, Some(Kind::Int8)),
        dtype("U8", 8, Some(Kind::Uint8)),
        dtype("BOOL", 8, Some(Kind::Bool)),
        dtype("U64", 64, None),
        dtype("U32", 32, None),
        dtype("U16", 16, None),
        dtype("C64", 64, None),
        dtype("F8_E4M3", 8, None),
        dtype("F8_E5M2", 8, None),
        dtype("F8_E4M3FNUZ", 8, None),
        dtype("F8_E5M2FNUZ", 8, None),
        dtype("F8_E8M0", 8, None),
        dtype("F6_E2M3", 6, None),
        dtype("F6_E3M2", 6, None),
        dtype("F4", 4, None),
    ]
};

impl Dtype {
    /// The type that safetensors calls `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        DTYPES.into_iter().find(|dtype| dtype.name == name)
    }

    /// The type that libtorch calls `kind`.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        DTYPES.into_iter().find(|dtype| dtype.kind == Some(kind))
    }

    /// Whether its numbers are floating-point ones, whether libtorch has them or not.
    pub(crate) fn is_float(self) -> bool {
        self.name.starts_with('F') || self.name.starts_with("BF")
    }

    /// The kind of a floating-point type that computes.
    pub(crate) fn float(self) -> Option<Kind> {
        let float =
            |kind: &Kind| matches!(kind, Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double);
        self.kind.filter(float)
    }
}

/// The bytes of one file, as a tensor `[length]` of u8.
///
/// A file on disk is mapped privately by libtorch: tensors made from it share its pages, keep the mapping alive for as
/// long as they live, and a write to one stays in this process. The file must not be cut short meanwhile; replacing it
/// by renaming another over it, as everything in this crate does, leaves the old one whole.
pub(crate) struct Blob {
    /// The file's name, for messages.
    pub name: String,
    bytes: Tensor,
    /// The file that is mapped.
    file: Option<File>,
}

impl Blob {
    /// Maps the file at `path`.
    pub(crate) fn map(path: &Path) -> Result<Self, Error> {
        tracing::debug!(file = %path.display(), "mapping weights");
        let name = path.display().to_string();
        let metadata = std::fs::metadata(path).map_err(Error::io("read", &name))?;
        if !metadata.is_file() {
            let kind = std::io::Error::other("it is not a plain file");
            return Err(Error::io("read", &name)(kind));
        }
        // Opening says why a file may not be read better than libtorch does.
        let file = File::open(path).map_err(Error::io("read", &name))?;
        let options = (Kind::Uint8, Device::Cpu);
        let bytes = match path.to_str() {
            _ if metadata.len() == 0 => Tensor::empty([0], options),
            Some(path) => Tensor::f_from_file(path, false, metadata.len() as i64, options)
                .map_err(|error| unmapped(&name, &error))?,
            None => Tensor::from_slice(&std::fs::read(path).map_err(Error::io("read", &name))?),
        };
        Ok(Self { name, bytes, file: Some(file) })
    }

    /// A copy of bytes that are in memory.
    pub(crate) fn copied(name: String, bytes: &[u8]) -> Self {
        let bytes = Tensor::from_slice(bytes);
        Self { name, bytes, file: None }
    }

    /// The bytes that `reader` unpacks, which must be `length`.
    pub(crate) fn unpacked(name: String, reader: &mut dyn Read, length: usize) -> io::Result<Self> {
        let kinds = [Kind::Uint8; 2];
        let bytes = read_whole(length, kinds, |_, part| reader.read_exact(part))?;
        // At the end the reader checks what it read.
        match reader.read(&mut [0])? {
            0 => Ok(Self { name, bytes, file: None }),
            _ => Err(io::Error::other("it is longer than it says")),
        }
    }

    /// The contents that its first bytes tell.
    pub(crate) fn contents(&self) -> Option<Contents> {
        Contents::of(&self.read(0, self.len().min(contents::ENOUGH)))
    }

    /// The file's length.
    pub(crate) fn len(&self) -> usize {
        self.bytes.size()[0] as usize
    }

    /// The numbers in `length` bytes from `start` on, which are of the first kind, in the second. Of a mapped file they are read, and
    /// its pages are not brought into memory too.
    fn numbers(&self, start: usize, length: usize, kinds: [Kind; 2]) -> io::Result<Tensor> {
        match &self.file {
            Some(file) => {
                read_whole(length, kinds, |at, part| file.read_exact_at(part, (start + at) as u64))
            }
            None => read_whole(length, kinds, |at, part| {
                self.read_into(start + at, part);
                Ok(())
            }),
        }
    }

    /// The bytes of `range`, which must be within the file, as a reader.
    pub(crate) fn part(&self, range: Range<usize>) -> Part<'_> {
        Part { blob: self, range }
    }

    /// A copy of `length` bytes from `start` on, which must be within the file.
    pub(crate) fn read(&self, start: usize, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read_into(start, &mut bytes);
        bytes
    }

    /// Fills `buffer` from `start` on; as many bytes must be within the file.
    pub(crate) fn read_into(&self, start: usize, buffer: &mut [u8]) {
        let part = self.bytes.narrow(0, start as i64, buffer.len() as i64);
        part.copy_data_u8(buffer, buffer.len());
    }
}

/// The numbers in so many bytes, of which `read` fills one part after another, each from its place on: they are of the kind `from`,
/// and become `to` part by part, so that they are in memory once.
fn read_whole(
    length: usize,
    [from, to]: [Kind; 2],
    mut read: impl FnMut(usize, &mut [u8]) -> io::Result<()>,
) -> io::Result<Tensor> {
    const PART: usize = 1 << 20;
    let size = from.elt_size_in_bytes();
    let numbers = Tensor::empty([(length / size) as i64], (to, Device::Cpu));
    let mut part = vec![0; PART];
    for start in (0..length).step_by(PART) {
        let part = &mut part[..PART.min(length - start)];
        read(start, part)?;
        let place = [start, part.len()].map(|bytes| (bytes / size) as i64);
        let bytes = Tensor::from_slice(part);
        numbers.narrow(0, place[0], place[1]).copy_(&bytes.view_dtype(from));
    }
    Ok(numbers)
}

/// A part of a file's bytes as a reader.
pub(crate) struct Part<'a> {
    blob: &'a Blob,
    range: Range<usize>,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.range.len());
        if length > 0 {
            self.blob.read_into(self.range.start, &mut buffer[..length]);
        }
        self.range.start += length;
        Ok(length)
    }
}

/// The error for a file that libtorch cannot map.
fn unmapped(name: &str, error: &TchError) -> Error {
    let message = error.to_string();
    match OutOfMemory::from_message(&message) {
        Some(problem) => Error::Memory { file: name.to_owned(), problem },
        None => Error::io("map", name)(io::Error::other(message)),
    }
}

/// One tensor of a file.
pub(crate) struct StoredTensor {
    /// Its name in the file.
    pub name: String,
    /// Its type in the file.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its strides in numbers, where it is not contiguous.
    pub strides: Option<Vec<i64>>,
    /// The file.
    pub blob: Rc<Blob>,
    /// Where its first number lies in the file, checked against the file's length.
    pub start: usize,
    /// How many bytes from there on belong to it, a whole number of numbers.
    pub length: usize,
}

impl StoredTensor {
    /// The tensor in the file's kind: the file's own pages where they are aligned, a copy where not. `None` if
    /// libtorch has no such kind.
    pub(crate) fn tensor(&self) -> Option<Tensor> {
        let bytes = self.blob.bytes.narrow(0, self.start as i64, self.length as i64);
        let kind = self.dtype.kind?;
        let aligned = self.start.is_multiple_of(kind.elt_size_in_bytes());
        let bytes = if aligned { bytes } else { bytes.copy() };
        Some(self.shaped(match kind {
            // A byte other than 0 and 1 is no bool; this makes it one.
            Kind::Bool => bytes.ne(0),
            _ => bytes.view_dtype(kind),
        }))
    }

    /// A copy of a tensor of floating-point numbers in `kind`, or else in that of the file. `None` for others.
    pub(crate) fn copy(&self, kind: Option<Kind>) -> Result<Option<Tensor>, Error> {
        let Some(own) = self.dtype.float() else { return Ok(None) };
        let numbers = self.blob.numbers(self.start, self.length, [own, kind.unwrap_or(own)]);
        Ok(Some(self.shaped(numbers.map_err(Error::io("read", &self.blob.name))?)))
    }

    /// The tensor of its numbers.
    fn shaped(&self, numbers: Tensor) -> Tensor {
        match &self.strides {
            Some(strides) => numbers.as_strided(&self.shape, strides, None),
            None => numbers.view(&self.shape[..]),
        }
    }
}
