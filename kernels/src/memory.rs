//! Out-of-memory errors: allocations that fail inside libtorch panic, and become errors here.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Too little memory for a tensor or for a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The requested amount with its unit, where libtorch says it.
    requested: Option<String>,
    /// Whether it is a GPU's memory.
    gpu: bool,
}

/// Parts of the messages of failed allocations, in small letters: the CPU's, CUDA's, the system's, the C++ library's, and
/// oneDNN's, which says no more than that a kernel could not be made.
const FAILURES: [&str; 8] = [
    "can't allocate memory",
    "out of memory",
    "status_alloc_failed",
    "cannot allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "could not create a memory object",
    "could not create a memory storage",
];

impl OutOfMemory {
    /// The failed allocation in a message of libtorch's, if it is one.
    pub fn from_message(message: &str) -> Option<Self> {
        let small = message.to_lowercase();
        let failed = FAILURES.iter().any(|failure| small.contains(failure));
        failed.then(|| Self { requested: requested(message), gpu: small.contains("cuda") })
    }
}

/// The amount after "tried to allocate", as in "20 bytes" or "2.00 GiB".
fn requested(message: &str) -> Option<String> {
    let start = message.to_lowercase().find("tried to allocate ")?;
    let mut words = message.get(start..)?.split_whitespace().skip(3);
    let (number, unit) = (words.next()?, words.next()?);
    number.parse::<f64>().ok()?;
    Some(format!("{number} {}", unit.trim_end_matches('.')))
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let place = if self.gpu { "on the GPU" } else { "here" };
        match &self.requested {
            Some(requested) => {
                write!(f, "there is too little memory {place}: {requested} more were asked for")
            }
            None => write!(f, "there is too little memory {place}"),
        }
    }
}

impl std::error::Error for OutOfMemory {}

/// The result of `work`, or the failed allocation that ended it. Other panics go on.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, OutOfMemory> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.map_err(|panic| failure(&*panic).unwrap_or_else(|| resume_unwind(panic)))
}

/// Panics, for [`catch`] to return it as an error, where `count` numbers cannot be allocated: the standard library would
/// abort the process.
pub fn require<T>(count: usize) {
    let mut probe: Vec<T> = Vec::new();
    if probe.try_reserve_exact(count).is_err() {
        let bytes = count.saturating_mul(size_of::<T>());
        resume_unwind(Box::new(OutOfMemory {
            requested: Some(format!("{bytes} bytes")),
            gpu: false,
        }));
    }
}

/// The failed allocation that a panic carries or says, if it is one.
fn failure(panic: &(dyn Any + Send)) -> Option<OutOfMemory> {
    if let Some(failure) = panic.downcast_ref::<OutOfMemory>() {
        return Some(failure.clone());
    }
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.and_then(OutOfMemory::from_message)
}
