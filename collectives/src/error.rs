//! Failures of a group of processes, which name the ranks that are missing.

use std::fmt;

/// Failures of a group of processes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This build has no process groups.
    #[error("no process can be joined by this build: {reason}")]
    Build {
        /// The reason.
        reason: String,
    },
    /// Nothing says where rank 0 is.
    #[error("MASTER_ADDR is not set: it names the machine of rank 0, where all processes meet")]
    NoHost,
    /// The store's port could not be opened.
    #[error("the store cannot be hosted at {address}: {reason}")]
    Host {
        /// The host and the port.
        address: String,
        /// The reason in libtorch's words.
        reason: String,
    },
    /// The store did not answer.
    #[error("{host} did not answer at {address} within {seconds} s: {reason}")]
    NoStore {
        /// Whoever hosts the store.
        host: String,
        /// The host and the port.
        address: String,
        /// The time that was waited.
        seconds: u64,
        /// The reason in libtorch's words.
        reason: String,
    },
    /// Ranks did not join.
    #[error("{ranks} did not come within {seconds} s")]
    Absent {
        /// The ranks.
        ranks: Ranks,
        /// The time that was waited.
        seconds: u64,
    },
    /// Ranks answer no more.
    #[error("{ranks} left the group, or did not answer within {seconds} s: {operation}")]
    Left {
        /// The ranks.
        ranks: Ranks,
        /// The time that an operation may take.
        seconds: u64,
        /// The operation that failed.
        operation: &'static str,
    },
    /// Ranks run, but did not call the operation.
    #[error("{ranks} did not come to {operation} within {seconds} s, but still ran")]
    Late {
        /// The ranks.
        ranks: Ranks,
        /// The operation.
        operation: &'static str,
        /// The time that an operation may take.
        seconds: u64,
    },
    /// The process with the store is gone.
    #[error("{host}, which hosts the store, is gone: {operation}")]
    StoreGone {
        /// Whoever hosts the store.
        host: String,
        /// The operation that failed.
        operation: &'static str,
    },
    /// An operation failed, though all ranks answer.
    #[error("{operation}: {reason}")]
    Operation {
        /// The operation.
        operation: &'static str,
        /// The reason in libtorch's words.
        reason: String,
    },
    /// A tensor that the operation has no meaning for.
    #[error("{operation} of {of}: {reason}")]
    Tensor {
        /// The operation.
        operation: &'static str,
        /// The tensor's dtype and shape.
        of: String,
        /// The reason.
        reason: &'static str,
    },
    /// A gradient could not be made to go through a gather.
    #[error("the gradient of a gather: {reason}")]
    Gradient {
        /// The reason.
        reason: String,
    },
}

/// Ranks of a group, as a sentence names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// The ranks, in order.
    pub ranks: Vec<usize>,
    /// The number of processes in the group.
    pub world: usize,
}

/// The most ranks that a sentence names one by one.
const MOST: usize = 8;

impl fmt::Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<String> = self.ranks.iter().map(usize::to_string).collect();
        match &names[..] {
            [] => write!(f, "no rank")?,
            [one] => write!(f, "rank {one}")?,
            [first @ .., last] if names.len() <= MOST => {
                write!(f, "ranks {} and {last}", first.join(", "))?;
            }
            _ => {
                write!(f, "ranks {} and {} others", names[..MOST].join(", "), names.len() - MOST)?;
            }
        }
        write!(f, " of {}", self.world)
    }
}
