//! Arrays of floats as numpy stores them (`.npy`, numpy's NEP 1).

use std::io::{self, Read};

use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};
use tch::{Device, Kind, Tensor};

/// The longest header that is read: numpy's are of 128 bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// Brackets of an array of floats: those of the dict, and of the shape.
const MOST_BRACKETS: usize = 2;

/// Why bytes are no array of floats.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// They cannot be read, or begin otherwise.
    #[error(transparent)]
    Damaged(#[from] io::Error),
    /// It claims a header that no writer writes.
    #[error("its header claims {0} bytes, and at most {LONGEST_HEADER} are read")]
    Header(usize),
    /// Its header is no array of floats'.
    #[error("its header has {0} brackets, and an array of floats has two")]
    Nested(usize),
    /// Something else than floats.
    #[error("it holds {0}")]
    Values(String),
    /// More numbers than the bytes can hold.
    #[error("its shape is {shape:?}, and the file has {length} bytes")]
    Shape {
        /// The header's shape.
        shape: Vec<u64>,
        /// All of the file.
        length: u64,
    },
    /// Not as many numbers as the shape says.
    #[error("its shape is {shape:?}, which takes {expected} bytes, and {found} follow its header")]
    Length {
        /// The header's shape.
        shape: Vec<u64>,
        /// The bytes of that.
        expected: u64,
        /// The bytes that there are.
        found: u64,
    },
    /// Columns first.
    #[error("it is stored by columns: numpy.ascontiguousarray makes it readable")]
    Columns,
    /// Cut short.
    #[error("the file ends before its {count} numbers do: {error}")]
    Short {
        /// As many as the shape says.
        count: u64,
        /// The reader's message.
        error: io::Error,
    },
}

/// The array in `length` bytes: floats of 2, 4 or 8 bytes in any order that numpy writes, as f32. Nothing larger than
/// the bytes is asked of the memory.
pub fn read_npy(mut bytes: impl Read, length: u64) -> Result<Tensor, NpyError> {
    let start = start(&mut bytes)?;
    let header = start.len() as u64;
    let file = NpyFile::new(start.as_slice().chain(bytes))?;
    let shape = file.shape().to_vec();
    let dtype = file.dtype();
    let width = match &dtype {
        DType::Plain(plain) if plain.type_char() == TypeChar::Float => plain.size_field(),
        other => return Err(NpyError::Values(other.descr())),
    };
    let expected = shape.iter().try_fold(width, |product, &side| product.checked_mul(side.max(1)));
    if !matches!(expected, Some(expected) if expected <= length) {
        return Err(NpyError::Shape { shape, length });
    }
    if file.order() != Order::C {
        return Err(NpyError::Columns);
    }
    let count: u64 = shape.iter().product();
    let (expected, found) = (count * width, length.saturating_sub(header));
    if expected != found {
        return Err(NpyError::Length { shape, expected, found });
    }
    let values = floats(file, width).map_err(|error| NpyError::Short { count, error })?;
    let shape: Vec<i64> = shape.into_iter().map(|side| side as i64).collect();
    Ok(Tensor::from_slice(&values).view(&shape[..]))
}

/// The magic, the version, the header's length and the header, of which versions after the first claim up to 4 GB.
fn start(bytes: &mut impl Read) -> Result<Vec<u8>, NpyError> {
    let mut start = vec![0; 10];
    bytes.read_exact(&mut start)?;
    if start[6] > 1 {
        start.resize(12, 0);
        bytes.read_exact(&mut start[10..])?;
    }
    let claimed = &start[8..];
    let claimed = claimed.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
    if claimed > LONGEST_HEADER {
        return Err(NpyError::Header(claimed));
    }
    let header = start.len();
    start.resize(header + claimed, 0);
    bytes.read_exact(&mut start[header..])?;
    // The crate that parses it takes twice the time for each further bracket.
    let brackets = start[header..].iter().filter(|byte| b"([{".contains(byte));
    match brackets.count() {
        ..=MOST_BRACKETS => Ok(start),
        many => Err(NpyError::Nested(many)),
    }
}

fn floats(file: NpyFile<impl Read>, width: u64) -> io::Result<Vec<f32>> {
    Ok(match width {
        2 => {
            let values = file.into_vec::<half::f16>()?;
            values.into_iter().map(f32::from).collect()
        }
        4 => file.into_vec()?,
        _ => {
            let values = file.into_vec::<f64>()?;
            values.into_iter().map(|value| value as f32).collect()
        }
    })
}

/// A tensor as a whole file: of f16 where `tensor` is, else of f32.
pub fn npy(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    let shape: Vec<u64> = tensor.size().iter().map(|&side| side as u64).collect();
    let values = tensor.to_device(Device::Cpu).to_kind(Kind::Float);
    let values = Vec::<f32>::try_from(values.flatten(0, -1)).expect("floats");
    let written = match tensor.kind() {
        Kind::Half => write(&mut bytes, &shape, values.into_iter().map(half::f16::from_f32)),
        _ => write(&mut bytes, &shape, values.into_iter()),
    };
    written.expect("memory takes what is written");
    spell_as_numpy(&mut bytes);
    bytes
}

/// Spells the shape as numpy does, `(24,)` or `(1, 20)`, for readers that know no other way; the header stays as long.
fn spell_as_numpy(bytes: &mut [u8]) {
    const SPELT: &[u8] = b", )";
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let header = &mut bytes[..end];
    let spelt = header.windows(SPELT.len()).position(|part| part == SPELT);
    let Some(comma) = spelt else { return };
    let mut shape = header[..comma].iter().rev().take_while(|&&byte| byte != b'(');
    // One side alone is followed by a comma.
    let left_out = match shape.all(u8::is_ascii_digit) {
        true => comma + 1..comma + 2,
        false => comma..comma + 2,
    };
    let count = left_out.len();
    header.copy_within(left_out.end.., left_out.start);
    header[end - count..].fill(b' ');
}

fn write<T: npyz::AutoSerialize>(
    bytes: &mut Vec<u8>,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> io::Result<()> {
    let options = npyz::WriteOptions::new().default_dtype();
    let mut writer = options.shape(shape).writer(bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}
