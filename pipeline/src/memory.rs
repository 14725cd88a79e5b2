//! Too little memory for a network's work, which ends the request and not the process.

use tch::no_grad_guard;

use crate::Error;

/// The result of `work` without gradients, or an error where libtorch finds no memory for it.
pub(crate) fn within_memory<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Unlike `no_grad`, a guard brings gradients back after a panic too.
    let _no_grad = no_grad_guard();
    kernels::memory::catch(work)?
}
