//! The gather whose gradient goes back to every rank.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::shim::{check, unclip_with_gradient};
use crate::{Error, Group, Reduction};

type Backward = Box<dyn Fn(&Tensor) -> Option<Tensor> + Send + Sync>;

impl Group {
    /// The embeddings of all ranks, [B, E] to [W*B, E], as a function of this rank's: its gradient is the reduce-scatter of the
    /// output's, summed over the ranks. Where each rank has the loss of its own rows and gradients are then averaged, they are
    /// those of the whole batch's loss; without the gradient of the gather they point elsewhere. All ranks run the backward
    /// pass. A failure in it is an error of `f_backward`; [`Group::failure`] says more.
    pub fn gather_with_gradient(&self, embeddings: &Tensor) -> Result<Tensor, Error> {
        if self.is_alone() {
            return Ok(embeddings.shallow_clone());
        }
        let output = self.all_gather_into(embeddings)?;
        let group = self.clone();
        let backward: Backward =
            Box::new(move |gradient| group.reduce_scatter(gradient, Reduction::Sum).ok());
        let context = Box::into_raw(Box::new(backward)).cast::<c_void>();
        let mut result = null_mut();
        // SAFETY: both tensors were made. libtorch releases the closure once, with the graph that has it or where it refuses.
        let refusal = unsafe {
            unclip_with_gradient(
                embeddings.as_ptr(),
                output.as_ptr(),
                run_backward,
                release_backward,
                context,
                &raw mut result,
            )
        };
        check(refusal).map_err(|reason| Error::Gradient { reason })?;
        // SAFETY: where nothing was refused the result is a new tensor.
        Ok(unsafe { Tensor::from_ptr(result) })
    }
}

extern "C" fn run_backward(context: *mut c_void, gradient: *mut C_tensor) -> *mut C_tensor {
    // SAFETY: it is the closure of a graph that runs, and the tensor is given to this function.
    let (backward, gradient) =
        unsafe { (&*context.cast::<Backward>(), Tensor::from_ptr(gradient)) };
    let found = catch_unwind(AssertUnwindSafe(|| backward(&gradient)));
    let Ok(Some(found)) = found else { return null_mut() };
    // SAFETY: the tensor was made, and libtorch frees the new handle of it.
    unsafe { torch_sys::at_shallow_clone(found.as_ptr().cast_mut()) }
}

extern "C" fn release_backward(context: *mut c_void) {
    // SAFETY: it was made by `Box::into_raw`, and is released once. Dropping a group panics nowhere.
    drop(unsafe { Box::from_raw(context.cast::<Backward>()) });
}
