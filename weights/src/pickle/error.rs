//! What can be wrong with a state dict.

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
    /// A file in the archive is packed in a way that PyTorch cannot unpack either.
    #[error("its file {0} is encrypted, or packed otherwise than by deflate")]
    Compressed(String),
    /// More would come out of the archive than memory is given for.
    #[error(
        "its file {file} unpacks to {length} bytes, and {most} are left for what is packed: unpack the archive and pack it again with zip -0"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Its length.
        length: u64,
        /// The bytes that may still be unpacked.
        most: u64,
    },
    /// It is a program, not a state dict.
    #[error(
        "it is a TorchScript archive, which is a program; its weights must be saved as a state dict"
    )]
    TorchScript,
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
    /// The pickle makes more than memory is given for.
    #[error("its pickle makes more than {0} values, and no state dict does")]
    Values(usize),
    /// The pickle makes no sense.
    #[error("its pickle is damaged at byte {at}: {reason}")]
    Program {
        /// The place in the pickle.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The pickle is sound and holds something else.
    #[error("it holds {0} where a dict of tensors is wanted")]
    NoDict(&'static str),
    /// The dict has entries, and no tensor among them.
    #[error(
        "it holds no tensor, only {0}: what is wanted is a state dict, or a dict whose state_dict is one"
    )]
    NoTensors(String),
    /// A tensor's description contradicts its storage.
    #[error("tensor {tensor} is damaged: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
}
