//! Gradients: hooks that run when one is whole, and the gather whose gradient goes back to every rank.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Mutex;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::group::lock;
use crate::shim::{
    check, unclip_hook_add, unclip_hook_remove, unclip_set_gradient, unclip_with_gradient,
};
use crate::{Error, Group, Reduction};

/// Hooks on parameters that run in the backward pass, each as soon as its parameter's gradient is accumulated. They end with
/// the value, which must not be dropped while a backward pass runs.
pub struct GradientHooks {
    parameters: Vec<Tensor>,
    /// Boxed, for libtorch has its address.
    closure: Box<Closure>,
}

struct Closure {
    call: Box<dyn Fn(usize) + Send + Sync>,
    panic: Mutex<Option<String>>,
}

impl GradientHooks {
    /// Sets a hook on each of the parameters, which are leaves that require a gradient and have no other: `call` gets the
    /// parameter's index. It may run on a thread of libtorch's.
    pub fn register(
        parameters: &[Tensor],
        call: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let closure = Box::new(Closure { call: Box::new(call), panic: Mutex::default() });
        let mut hooks = Self { parameters: Vec::new(), closure };
        let context = (&raw const *hooks.closure).cast_mut().cast::<c_void>();
        for (index, parameter) in parameters.iter().enumerate() {
            // SAFETY: the tensor was made; the closure stays where it is until the hooks were removed, and may be called by any
            // thread. Those that were set before a refusal are removed as `hooks` is dropped.
            let refusal = unsafe { unclip_hook_add(parameter.as_ptr(), run_hook, context, index) };
            check(refusal).map_err(|reason| Error::Hook { reason })?;
            hooks.parameters.push(parameter.shallow_clone());
        }
        Ok(hooks)
    }

    /// The message of a hook's panic since the last call: it did not leave the backward pass.
    pub fn take_panic(&self) -> Option<String> {
        lock(&self.closure.panic).take()
    }
}

impl Drop for GradientHooks {
    fn drop(&mut self) {
        for parameter in &self.parameters {
            // SAFETY: the tensor was made, and no backward pass runs.
            unsafe { unclip_hook_remove(parameter.as_ptr()) }
        }
    }
}

extern "C" fn run_hook(context: *mut c_void, index: usize) {
    // SAFETY: it is the closure of hooks that were not removed yet.
    let closure = unsafe { &*context.cast::<Closure>() };
    // No panic enters C++.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (closure.call)(index))) {
        *lock(&closure.panic) = Some(message(&*panic));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic that says nothing").to_owned()
}

/// Sets the gradient of a parameter.
pub(crate) fn set_gradient(parameter: &Tensor, gradient: &Tensor) -> Result<(), Error> {
    // SAFETY: both tensors were made.
    check(unsafe { unclip_set_gradient(parameter.as_ptr(), gradient.as_ptr()) })
        .map_err(|reason| Error::Hook { reason })
}

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
        check(refusal).map_err(|reason| Error::Hook { reason })?;
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
