//! CUDA graphs, through `cuda_graph.cpp`.

use std::any::Any;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use tch::Tensor;

use crate::{Error, Graph, GraphCapture};

unsafe extern "C" {
    // Each returns null, or a message that stands until this thread's next such call.
    fn unclip_graph_new(device: c_int, graph: *mut *mut c_void) -> *const c_char;
    fn unclip_graph_begin(graph: *mut c_void) -> *const c_char;
    fn unclip_graph_end(graph: *mut c_void) -> *const c_char;
    fn unclip_graph_leave(graph: *mut c_void) -> *const c_char;
    fn unclip_graph_replay(graph: *mut c_void) -> *const c_char;
    fn unclip_graph_free(graph: *mut c_void);
    static unclip_graph_symbols: [*const c_char; SYMBOLS];
}

/// Captures CUDA graphs on one GPU.
pub struct CudaGraphs {
    /// The GPU's number.
    pub device: usize,
}

impl GraphCapture for CudaGraphs {
    fn warm_up(&self, f: &dyn Fn() -> Tensor) -> Result<Tensor, Error> {
        let graph = CudaGraph::enter(self.device)?;
        let output = f();
        graph.leave()?;
        Ok(output)
    }

    fn capture(&self, f: &dyn Fn() -> Tensor) -> Result<(Tensor, Box<dyn Graph>), Error> {
        let graph = CudaGraph::enter(self.device)?;
        // SAFETY: the graph was made, and nothing is being captured.
        graph.check(unsafe { unclip_graph_begin(graph.pointer) })?;
        // tch panics where libtorch refuses, as it does what no graph can hold. The graph is freed then.
        let output = catch_unwind(AssertUnwindSafe(f))
            .map_err(|panic| Error::Cuda { device: self.device, reason: message(&*panic) })?;
        // SAFETY: the capture was begun.
        graph.check(unsafe { unclip_graph_end(graph.pointer) })?;
        graph.leave()?;
        Ok((output, Box::new(graph)))
    }
}

/// libtorch's CUDA graph, during its capture on a stream of its own and after it.
struct CudaGraph {
    pointer: *mut c_void,
    device: usize,
}

// SAFETY: of the functions behind the pointer only those of a capture depend on the thread, and a capture begins and ends
// within `CudaGraphs::capture`, before the graph is given away; afterwards one thread at a time has it.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Switches the thread to a stream on which a capture is possible.
    fn enter(device: usize) -> Result<Self, Error> {
        let mut graph = Self { pointer: null_mut(), device };
        let number = c_int::try_from(device).unwrap_or(c_int::MAX);
        // SAFETY: the pointer is written to where null is returned, and stays null otherwise.
        let refused = unsafe { unclip_graph_new(number, &raw mut graph.pointer) };
        graph.check(refused)?;
        Ok(graph)
    }

    /// Switches back to the stream before, after all that this one was given.
    fn leave(&self) -> Result<(), Error> {
        // SAFETY: the graph was made.
        self.check(unsafe { unclip_graph_leave(self.pointer) })
    }

    /// An error where `reason`, a function's answer, is a message.
    fn check(&self, reason: *const c_char) -> Result<(), Error> {
        if reason.is_null() {
            return Ok(());
        }
        // SAFETY: what is returned is null or a text.
        let reason = unsafe { CStr::from_ptr(reason) }.to_string_lossy();
        Err(Error::Cuda {
            device: self.device,
            reason: reason.lines().next().unwrap_or_default().to_owned(),
        })
    }
}

impl Graph for CudaGraph {
    fn replay(&mut self, _: &dyn Fn() -> Tensor) -> Result<(), Error> {
        // SAFETY: the graph was captured.
        self.check(unsafe { unclip_graph_replay(self.pointer) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: nobody else has the graph; null is freed too, and a capture in progress is ended first.
        unsafe { unclip_graph_free(self.pointer) }
    }
}

/// The number of symbols of libtorch_cuda.so that are used.
const SYMBOLS: usize = 5;

/// The symbols of libtorch_cuda.so that are used, which the linker does not see.
pub fn symbols() -> [&'static CStr; SYMBOLS] {
    // SAFETY: they are constants.
    unsafe { unclip_graph_symbols.map(|name| CStr::from_ptr(name)) }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("it cannot be captured").replace("\\n", "\n");
    text.lines().next().unwrap_or_default().to_owned()
}
