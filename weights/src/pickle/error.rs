//! What can be wrong with a state dict.

/// Why a PyTorch file is no state dict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// It was written by `torch.save` before its zip format.
    #[error(
        "it is in PyTorch's format from before version 1.6; load it in PyTorch and save it again, best as safetensors"
    )]
    Legacy,
    /// It is no zip archive.
    #[error("it is not a zip archive")]
    NoArchive,
    /// It is a damaged zip archive.
    #[error("its zip archive is damaged: {0}")]
    Archive(String),
    /// A file in the archive is compressed or encrypted.
    #[error("its file {0} is compressed or encrypted, which PyTorch never does")]
    Compressed(String),
    /// It is a program, not a state dict.
    #[error(
        "it is a TorchScript archive, which is a program; its weights must be saved as a state dict"
    )]
    TorchScript,
    /// It was written on a big-endian machine.
    #[error("its numbers are not in little-endian order")]
    ByteOrder,
    /// The archive has no pickle.
    #[error("its archive holds no data.pkl of a plausible size")]
    NoProgram,
    /// The pickle asks for a function or class that no tensor needs.
    #[error("it asks for {0}, and only tensors are read")]
    Global(String),
    /// The pickle has an instruction that no tensor needs.
    #[error("it has the pickle instruction {0}, and only tensors are read")]
    Opcode(String),
    /// The pickle makes no sense.
    #[error("its pickle is damaged at byte {at}: {reason}")]
    Program {
        /// The place in `data.pkl`.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The pickle is sound and holds something else.
    #[error("it holds {0} where a dict of tensors is wanted")]
    NoDict(&'static str),
    /// An entry of the dict is no tensor.
    #[error("its entry {entry} is {found} where a tensor is wanted")]
    NoTensor {
        /// The entry's name.
        entry: String,
        /// What it is.
        found: &'static str,
    },
    /// A tensor's description contradicts its storage.
    #[error("tensor {tensor} is damaged: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
}
