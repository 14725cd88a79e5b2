//! Processes that train together, over PyTorch's c10d: a group of them and its collectives.
//!
//! [`Group::join`] meets the other processes of a [`launcher::Launch`] as `torch.distributed.init_process_group` does, over a
//! TCP store and Gloo, so that a group may have processes in Python too. [`Group::gather_with_gradient`] is the gather of a
//! contrastive loss.
//!
//! As PyTorch's, the store listens on all of its machine's interfaces and asks nobody who they are: groups are for networks
//! whose machines trust each other.
//!
//! With NCCL the same runs between GPUs, where libtorch has its CUDA half and the headers of NCCL and CUDA are there as this is
//! built (`NCCL_INCLUDE`). That half was compiled, but never tried: no machine of the project's tests has two GPUs.

mod error;
mod gather;
mod group;
mod host;
mod join;
mod round;
mod shim;
mod watcher;

pub use error::{Error, Ranks};
pub use group::{Group, Reduction, Work};
pub use host::StoreHost;
pub use join::JoinOptions;
