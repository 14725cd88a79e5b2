//! Problems of a safetensors header.

/// A problem of a safetensors header.
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
    /// It describes more than memory is given for.
    #[error(
        "its header describes more than {0} bytes of memory bear, and no file of its length does"
    )]
    Memory(u64),
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
        "tensor {tensor} is {dtype} {shape:?}, which takes {expected} bytes, and lies at {start}..{end}"
    )]
    Size {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: &'static str,
        /// Its shape.
        shape: Vec<u64>,
        /// The bytes that these take.
        expected: u64,
        /// Where it begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// A hole before a tensor, or an overlap with the one before.
    #[error("tensor {tensor} begins at byte {start} where {expected} is next")]
    Offset {
        /// The tensor.
        tensor: String,
        /// Where it begins.
        start: u64,
        /// Where the tensor before it ends.
        expected: u64,
    },
    /// The file is cut short or has a tail.
    #[error("its tensors end at byte {expected} of its data, which has {found} bytes")]
    Length {
        /// The tensors' length.
        expected: u64,
        /// The data's length.
        found: u64,
    },
}
