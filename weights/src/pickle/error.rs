//! Errors of state dicts.

use crate::budget::OverBudget;

/// Why a PyTorch file is no state dict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// It is neither of the formats of torch.save.
    #[error("it is not what torch.save writes")]
    NotTorch,
    /// The frame around its tensors is damaged.
    #[error("it is damaged or cut short: {0}")]
    Archive(String),
    /// Two readers may find different files in the archive.
    #[error("its archive can be read in two ways, and only what torch.save writes is read: {0}")]
    Ambiguous(String),
    /// A file in the archive is not what was put into it.
    #[error(
        "its file {file} is damaged: its CRC-32 is {found:08x}, and its archive says {expected:08x}"
    )]
    Checksum {
        /// The file.
        file: String,
        /// The CRC-32 of its bytes.
        found: u32,
        /// The CRC-32 in the archive.
        expected: u32,
    },
    /// A file in the archive is packed in a way that PyTorch cannot unpack either.
    #[error("its file {0} is encrypted, or packed otherwise than by deflate")]
    Compressed(String),
    /// More would come out of the archive than its budget of memory.
    #[error(
        "its file {file} unpacks to {length} bytes, and {most} are left for an archive of this length: unpack the archive and pack it again with zip -0"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Its length.
        length: u64,
        /// The bytes that may still be made of the archive.
        most: u64,
    },
    /// Its modules lie in each other without end, or nearly so.
    #[error("its modules are nested more than {0} deep")]
    Depth(usize),
    /// It was written on a big-endian machine.
    #[error("its numbers are not in little-endian order")]
    ByteOrder,
    /// The archive has no pickle.
    #[error("its archive holds no data.pkl, which torch.save writes")]
    NoProgram,
    /// The pickle asks for a function or class that no tensor needs.
    #[error("it asks for {0}, and only tensors are read")]
    Global(String),
    /// The pickle has an instruction that no tensor needs.
    #[error("it has the pickle instruction {0}, and only tensors are read")]
    Opcode(String),
    /// The file describes more than its budget of memory.
    #[error(
        "what it describes takes more than {0} bytes of memory, and no state dict of its length does"
    )]
    Memory(u64),
    /// The pickle makes no sense.
    #[error("its pickle is damaged at byte {at}: {reason}")]
    Program {
        /// The place in the pickle.
        at: usize,
        /// The problem.
        reason: String,
    },
    /// The pickle is sound and holds something else.
    #[error("it holds {0} where a dict of tensors is wanted")]
    NoDict(&'static str),
    /// The dict has entries, and no tensor among them.
    #[error(
        "it holds no tensor, only {0}: what is wanted is a state dict, or a dict that holds one"
    )]
    NoTensors(String),
    /// The dict holds several dicts of tensors, of which none is called `state_dict`.
    #[error(
        "it holds several dicts of tensors, as {0} and {1}: the one that is the model must be saved by itself"
    )]
    SeveralDicts(String, String),
    /// A tensor's description contradicts its storage.
    #[error("tensor {tensor} is damaged: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// The problem.
        reason: String,
    },
}

impl From<OverBudget> for PickleError {
    fn from(OverBudget { most, .. }: OverBudget) -> Self {
        Self::Memory(most)
    }
}
