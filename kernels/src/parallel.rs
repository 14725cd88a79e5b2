//! A fork-join team of threads, and pointers that it shares.

use std::ops::Range;

/// Splits `0..count` into one range a thread and runs `work` on them in parallel, each with its element of `threads`. All
/// lengths but the last are multiples of `step`.
pub(crate) fn parallel_for<T: Send>(
    threads: &mut [T],
    count: usize,
    step: usize,
    work: impl Fn(&mut T, Range<usize>) + Sync,
) {
    let part = count.div_ceil(step).div_ceil(threads.len()) * step;
    let parts = count.div_ceil(part.max(1));
    let first = SharedPtr(threads.as_mut_ptr());
    team::run(parts, &|n| {
        // SAFETY: no two threads have the same number.
        let own = unsafe { first.slice_mut(n, 1) };
        work(&mut own[0], n * part..((n + 1) * part).min(count));
    });
}

/// A fork-join team of threads.
#[cfg(target_os = "linux")]
mod team {
    use std::ffi::{CStr, c_int, c_uint, c_void};
    use std::mem::transmute;
    use std::sync::LazyLock;

    /// Functions of libgomp's interface to compilers, which starts libtorch's own threads. Those spin for some milliseconds
    /// before they sleep, so that threads of our own would have to share the processors with them.
    struct Gomp {
        parallel: Parallel,
        number: Count,
        count: Count,
    }

    type Parallel = unsafe extern "C" fn(Body, *mut c_void, c_uint, c_uint);
    type Count = unsafe extern "C" fn() -> c_int;
    type Body = unsafe extern "C" fn(*mut c_void);

    static GOMP: LazyLock<Option<Gomp>> = LazyLock::new(|| {
        // SAFETY: the names end in NUL, and the functions are declared as libgomp documents them.
        unsafe {
            let found = |name: &CStr| {
                let symbol = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
                (!symbol.is_null()).then_some(symbol)
            };
            Some(Gomp {
                parallel: transmute::<*mut c_void, Parallel>(found(c"GOMP_parallel")?),
                number: transmute::<*mut c_void, Count>(found(c"omp_get_thread_num")?),
                count: transmute::<*mut c_void, Count>(found(c"omp_get_num_threads")?),
            })
        }
    });

    /// The work that a team shares, and how many numbers it is for.
    struct TeamWork<'a> {
        work: &'a (dyn Fn(usize) + Sync),
        numbers: usize,
        gomp: &'a Gomp,
    }

    unsafe extern "C" fn body(shared: *mut c_void) {
        // SAFETY: `run` waits for all threads before what it shares with them goes.
        let shared = unsafe { &*shared.cast::<TeamWork>() };
        // SAFETY: they take nothing.
        let (own, all) = unsafe { ((shared.gomp.number)(), (shared.gomp.count)()) };
        for number in (own as usize..shared.numbers).step_by(all as usize) {
            (shared.work)(number);
        }
    }

    /// Runs `work` with each of `0..numbers`, one a thread.
    pub(crate) fn run(numbers: usize, work: &(dyn Fn(usize) + Sync)) {
        match &*GOMP {
            Some(gomp) if numbers > 1 => {
                let mut shared = TeamWork { work, numbers, gomp };
                // SAFETY: as said at `body`; a panic there ends the process.
                unsafe { (gomp.parallel)(body, (&raw mut shared).cast(), numbers as c_uint, 0) };
            }
            _ => (0..numbers).for_each(work),
        }
    }
}

/// A fork-join team of threads.
#[cfg(not(target_os = "linux"))]
mod team {
    /// Runs `work` with each of `0..numbers`, one a thread.
    pub fn run(numbers: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for number in 1..numbers {
                scope.spawn(move || work(number));
            }
            work(0);
        });
    }
}

/// A pointer into a contiguous tensor or a buffer that threads share, each reading or writing its own part.
pub(crate) struct SharedPtr<T>(pub *mut T);

impl<T> Clone for SharedPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedPtr<T> {}

// SAFETY: the tensors outlive the threads, and no two threads write the same numbers.
unsafe impl<T> Send for SharedPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for SharedPtr<T> {}

impl<T: tch::kind::Element> SharedPtr<T> {
    /// A pointer to the first element of a contiguous tensor of this kind.
    pub(crate) fn of(tensor: &tch::Tensor) -> Self {
        assert!(tensor.is_contiguous() && tensor.kind() == T::KIND);
        Self(tensor.data_ptr().cast())
    }
}

impl<T> SharedPtr<T> {
    /// The elements `start..start + length`, to read.
    ///
    /// # Safety
    /// They lie in the tensor or the buffer, and no thread writes them at this time.
    pub(crate) unsafe fn slice<'a>(self, start: usize, length: usize) -> &'a [T] {
        // SAFETY: the caller keeps to the above.
        unsafe { std::slice::from_raw_parts(self.0.add(start), length) }
    }

    /// The elements `start..start + length`, to write.
    ///
    /// # Safety
    /// They lie in the tensor or the buffer, and no other thread reads or writes them at this time.
    pub(crate) unsafe fn slice_mut<'a>(self, start: usize, length: usize) -> &'a mut [T] {
        // SAFETY: the caller keeps to the above.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}
