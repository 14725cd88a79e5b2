//! SIMD vectors of 16 f32 and a fork-join team of threads, which our CPU kernels share.

use std::ops::Range;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// A SIMD vector: as many f32 as an AVX-512 register holds.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct F32x16(pub [f32; LANES]);

pub(crate) const ZERO: F32x16 = F32x16([0.0; LANES]);

impl F32x16 {
    /// The number in every lane.
    #[inline(always)]
    pub(crate) fn splat(number: f32) -> Self {
        Self([number; LANES])
    }

    /// The horizontal sum of the lanes.
    #[inline(always)]
    pub(crate) fn sum(mut self) -> f32 {
        for half in [8, 4, 2, 1] {
            for n in 0..half {
                self.0[n] += self.0[n + half];
            }
        }
        self.0[0]
    }

    /// The fused `a * b + self`, in registers of `WIDTH` bits.
    #[inline(always)]
    pub(crate) fn fma<const WIDTH: usize>(mut self, a: &Self, b: &Self) -> Self {
        #[cfg(target_arch = "x86_64")]
        if WIDTH == 512 {
            use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_load_ps, _mm512_store_ps};
            // SAFETY: the processor has such registers, and lanes are aligned for them.
            unsafe {
                let [sum, a, b] = [&self, a, b].map(|lanes| _mm512_load_ps(lanes.0.as_ptr()));
                _mm512_store_ps(self.0.as_mut_ptr(), _mm512_fmadd_ps(a, b, sum));
            }
            return self;
        }
        for ((sum, a), b) in self.0.iter_mut().zip(a.0).zip(b.0) {
            *sum = match cfg!(target_arch = "aarch64") || WIDTH > 0 {
                true => a.mul_add(b, *sum),
                false => a * b + *sum,
            };
        }
        self
    }
}

/// Code that is compiled once for each width of registers.
pub(crate) trait SimdKernel {
    /// Runs it in registers of `WIDTH` bits, or of any width where that is 0. Implementations are `#[inline(always)]`, so that
    /// the caller's target features apply.
    fn run<const WIDTH: usize>(self);
}

/// Whether a vector fits one register of this processor.
pub(crate) fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Runs `kernel` with the widest registers of this processor.
pub(crate) fn dispatch_simd(kernel: impl SimdKernel) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn with_avx512(kernel: impl SimdKernel) {
            kernel.run::<512>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2(kernel: impl SimdKernel) {
            kernel.run::<256>();
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has them.
            return unsafe { with_avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has them.
            return unsafe { with_avx2(kernel) };
        }
    }
    kernel.run::<0>();
}

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
