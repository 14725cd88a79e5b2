//! c10d's store, backend and work, through `shim.cpp`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::slice;
use std::time::Duration;

use tch::Tensor;
use torch_sys::C_tensor;

/// The reason why no process can join another with this build, if there is one.
pub(crate) const MISSING: Option<&str> = option_env!("UNCLIP_COLLECTIVES_MISSING");

/// Declares the functions of `shim.cpp`, and where it was not compiled functions that refuse.
macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $of:ty),* $(,)?) $(-> $output:ty)?;)*) => {
        #[cfg(not(alone))]
        unsafe extern "C" {
            $(pub(crate) fn $name($($argument: $of),*) $(-> $output)?;)*
        }
        $(#[cfg(alone)]
        pub(crate) unsafe fn $name($(_: $of),*) $(-> $output)? {
            $(let refusal: $output = c"this build has no process groups".as_ptr();
            refusal)?
        })*
    };
}

/// A message that stands until this thread's next call, or null.
type Refusal = *const c_char;

functions! {
    fn unclip_c10d_quiet();
    fn unclip_store_new(
        host: Refusal,
        port: u16,
        is_server: bool,
        workers: usize,
        timeout: i64,
        store: *mut *mut c_void,
    ) -> Refusal;
    fn unclip_store_prefix(store: *mut c_void, prefix: Refusal, out: *mut *mut c_void) -> Refusal;
    fn unclip_store_set(store: *mut c_void, key: Refusal, value: *const u8, length: usize) -> Refusal;
    fn unclip_store_get(
        store: *mut c_void,
        key: Refusal,
        value: *mut *const u8,
        length: *mut usize,
    ) -> Refusal;
    fn unclip_store_free(store: *mut c_void);
    fn unclip_backend_new(
        store: *mut c_void,
        is_nccl: bool,
        rank: c_int,
        world: c_int,
        timeout: i64,
        backend: *mut *mut c_void,
    ) -> Refusal;
    fn unclip_backend_set_timeout(backend: *mut c_void, timeout: i64) -> Refusal;
    fn unclip_backend_free(backend: *mut c_void);
    fn unclip_all_reduce(
        backend: *mut c_void,
        values: *const C_tensor,
        reduction: c_int,
        work: *mut *mut c_void,
    ) -> Refusal;
    fn unclip_all_gather(
        backend: *mut c_void,
        output: *const C_tensor,
        input: *const C_tensor,
        work: *mut *mut c_void,
    ) -> Refusal;
    fn unclip_reduce_scatter(
        backend: *mut c_void,
        output: *const C_tensor,
        input: *const C_tensor,
        reduction: c_int,
        work: *mut *mut c_void,
    ) -> Refusal;
    fn unclip_broadcast(
        backend: *mut c_void,
        values: *const C_tensor,
        root: c_int,
        work: *mut *mut c_void,
    ) -> Refusal;
    fn unclip_barrier(backend: *mut c_void, work: *mut *mut c_void) -> Refusal;
    fn unclip_work_wait(work: *mut c_void, is_nccl: bool, timeout: i64, is_done: *mut bool) -> Refusal;
    fn unclip_work_free(work: *mut c_void);
    fn unclip_with_gradient(
        input: *const C_tensor,
        output: *const C_tensor,
        call: extern "C" fn(*mut c_void, *mut C_tensor) -> *mut C_tensor,
        release: extern "C" fn(*mut c_void),
        context: *mut c_void,
        result: *mut *mut C_tensor,
    ) -> Refusal;
}

/// An error where `refusal`, a function's answer, is a message: its first line.
pub(crate) fn check(refusal: Refusal) -> Result<(), String> {
    if refusal.is_null() {
        return Ok(());
    }
    // SAFETY: what is returned is null or a text that stands until this thread's next call.
    let text = unsafe { CStr::from_ptr(refusal) }.to_string_lossy();
    Err(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Keeps c10d's warnings off standard error.
pub(crate) fn quiet() {
    // SAFETY: it reads the environment and writes one number of libtorch's.
    unsafe { unclip_c10d_quiet() }
}

/// Milliseconds, at least one: zero is c10d's word for no limit.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX / 2_000_000)
        .clamp(1, i64::MAX / 2_000_000)
}

fn c_text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} has a NUL"))
}

/// A server for the store's clients, an address of one, or a part of a store whose keys have a prefix.
pub(crate) struct Store(*mut c_void);

// SAFETY: c10d's stores depend on no thread; one at a time has this one.
unsafe impl Send for Store {}

/// Where a store is and who waits for whom.
pub(crate) struct Address<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// Whether this process hosts it.
    pub(crate) is_server: bool,
    /// The number of clients that the host waits for, of which this is one; 0 where it is not.
    pub(crate) workers: usize,
}

impl Store {
    /// Connects with a store, within a time.
    pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Self, String> {
        let mut store = Self(null_mut());
        let host = c_text(address.host)?;
        // SAFETY: the pointer is written to where null is returned, and stays null otherwise.
        check(unsafe {
            unclip_store_new(
                host.as_ptr(),
                address.port,
                address.is_server,
                address.workers,
                millis(timeout),
                &raw mut store.0,
            )
        })?;
        Ok(store)
    }

    /// The keys that begin with a prefix, by what follows it. c10d puts a slash in between.
    pub(crate) fn prefixed(&self, prefix: &str) -> Result<Self, String> {
        let mut store = Self(null_mut());
        let prefix = c_text(prefix)?;
        // SAFETY: this store was made, and the new one keeps it in memory.
        check(unsafe { unclip_store_prefix(self.0, prefix.as_ptr(), &raw mut store.0) })?;
        Ok(store)
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), String> {
        let key = c_text(key)?;
        // SAFETY: the store was made, and the value is read within the call.
        check(unsafe { unclip_store_set(self.0, key.as_ptr(), value.as_ptr(), value.len()) })
    }

    /// The value of a key, none where there is no such key yet.
    pub(crate) fn get(&self, key: &str) -> Result<Option<String>, String> {
        let key = c_text(key)?;
        let (mut value, mut length) = (null(), 0);
        // SAFETY: the store was made, and both are written to before null is returned.
        check(unsafe { unclip_store_get(self.0, key.as_ptr(), &raw mut value, &raw mut length) })?;
        if value.is_null() {
            return Ok(None);
        }
        // SAFETY: the value has this length, and stands until this thread's next call.
        let value = unsafe { slice::from_raw_parts(value, length) };
        Ok(Some(String::from_utf8_lossy(value).into_owned()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer; null is freed too.
        unsafe { unclip_store_free(self.0) }
    }
}

/// The backend of a group: Gloo's or NCCL's.
pub(crate) struct Backend {
    pointer: *mut c_void,
    pub(crate) is_nccl: bool,
}

// SAFETY: c10d's backends are given work from any thread, one at a time.
unsafe impl Send for Backend {}

impl Backend {
    /// Connects with all other ranks, within a time.
    pub(crate) fn new(
        store: &Store,
        is_nccl: bool,
        (rank, world): (usize, usize),
        timeout: Duration,
    ) -> Result<Self, String> {
        let number = |n: usize| c_int::try_from(n).map_err(|_| format!("{n} processes"));
        let (rank, world) = (number(rank)?, number(world)?);
        let mut backend = Self { pointer: null_mut(), is_nccl };
        let pointer = &raw mut backend.pointer;
        // SAFETY: the store was made, and the pointer is written to where null is returned.
        check(unsafe {
            unclip_backend_new(store.0, is_nccl, rank, world, millis(timeout), pointer)
        })?;
        Ok(backend)
    }

    /// Sets how long each operation may take from now on.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> Result<(), String> {
        // SAFETY: the backend was made.
        check(unsafe { unclip_backend_set_timeout(self.pointer, millis(timeout)) })
    }

    fn start(
        &self,
        call: impl FnOnce(*mut c_void, *mut *mut c_void) -> Refusal,
    ) -> Result<Handle, String> {
        let mut handle = Handle { pointer: null_mut(), is_nccl: self.is_nccl };
        check(call(self.pointer, &raw mut handle.pointer))?;
        Ok(handle)
    }

    pub(crate) fn all_reduce(&self, values: &Tensor, reduction: c_int) -> Result<Handle, String> {
        // SAFETY: the backend and the tensor were made; the work keeps the tensor's memory.
        self.start(|backend, work| unsafe {
            unclip_all_reduce(backend, values.as_ptr(), reduction, work)
        })
    }

    pub(crate) fn all_gather(&self, output: &Tensor, input: &Tensor) -> Result<Handle, String> {
        // SAFETY: as above.
        self.start(|backend, work| unsafe {
            unclip_all_gather(backend, output.as_ptr(), input.as_ptr(), work)
        })
    }

    pub(crate) fn reduce_scatter(
        &self,
        output: &Tensor,
        input: &Tensor,
        reduction: c_int,
    ) -> Result<Handle, String> {
        // SAFETY: as above.
        self.start(|backend, work| unsafe {
            unclip_reduce_scatter(backend, output.as_ptr(), input.as_ptr(), reduction, work)
        })
    }

    pub(crate) fn broadcast(&self, values: &Tensor, root: usize) -> Result<Handle, String> {
        let root = c_int::try_from(root).map_err(|_| format!("rank {root}"))?;
        // SAFETY: as above.
        self.start(|backend, work| unsafe {
            unclip_broadcast(backend, values.as_ptr(), root, work)
        })
    }

    pub(crate) fn barrier(&self) -> Result<Handle, String> {
        // SAFETY: the backend was made.
        self.start(|backend, work| unsafe { unclip_barrier(backend, work) })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer; null is freed too.
        unsafe { unclip_backend_free(self.pointer) }
    }
}

/// An operation that a backend works on.
pub(crate) struct Handle {
    pointer: *mut c_void,
    is_nccl: bool,
}

// SAFETY: c10d's works are waited for from any thread.
unsafe impl Send for Handle {}

impl Handle {
    /// Waits for at most `timeout`: whether the operation is done.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<bool, String> {
        let mut is_done = false;
        // SAFETY: the work was made.
        check(unsafe {
            unclip_work_wait(self.pointer, self.is_nccl, millis(timeout), &raw mut is_done)
        })?;
        Ok(is_done)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer; the backend keeps the work as long as it runs.
        unsafe { unclip_work_free(self.pointer) }
    }
}
