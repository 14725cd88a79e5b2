//! What the CPU's own kernels are made of: numbers side by side, and threads.

use std::ops::Range;

/// Numbers that are computed side by side.
pub(crate) const LANES: usize = 16;

/// Numbers side by side, as many as the widest registers hold.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

pub(crate) const ZERO: Lanes = Lanes([0.0; LANES]);

impl Lanes {
    /// A number, as often as there are lanes.
    #[inline(always)]
    pub fn all(number: f32) -> Self {
        Self([number; LANES])
    }

    /// The sum of the numbers.
    #[inline(always)]
    pub fn sum(mut self) -> f32 {
        for half in [8, 4, 2, 1] {
            for n in 0..half {
                self.0[n] += self.0[n + half];
            }
        }
        self.0[0]
    }

    /// With `a` times `b` added, in registers of `WIDTH` bits.
    #[inline(always)]
    pub fn plus<const WIDTH: usize>(mut self, a: &Self, b: &Self) -> Self {
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

/// Work that is compiled for wide registers too.
pub(crate) trait Task {
    /// Does it in registers of `WIDTH` bits, or of any where that is 0; to be inlined always.
    fn run<const WIDTH: usize>(self);
}

/// Whether lanes fill a register here.
pub(crate) fn lanes_are_registers() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Does `task` with the widest registers that this processor has.
pub(crate) fn in_widest(task: impl Task) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn in_512(task: impl Task) {
            task.run::<512>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn in_256(task: impl Task) {
            task.run::<256>();
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has them.
            return unsafe { in_512(task) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has them.
            return unsafe { in_256(task) };
        }
    }
    task.run::<0>();
}

/// Runs `work` on parts of `0..count`, one a thread with what is its own, whose lengths but for the last are multiples of
/// `step`.
pub(crate) fn in_threads<T: Send>(
    threads: &mut [T],
    count: usize,
    step: usize,
    work: impl Fn(&mut T, Range<usize>) + Sync,
) {
    let part = count.div_ceil(step).div_ceil(threads.len()) * step;
    let parts = count.div_ceil(part.max(1));
    let own = Pointer(threads.as_mut_ptr());
    team::run(parts, &|n| {
        // SAFETY: no two threads have the same number.
        let own = unsafe { own.part(n, 1) };
        work(&mut own[0], n * part..((n + 1) * part).min(count));
    });
}

/// Threads that compute together.
#[cfg(target_os = "linux")]
mod team {
    use std::ffi::{CStr, c_int, c_uint, c_void};
    use std::mem::transmute;
    use std::sync::LazyLock;

    /// What libtorch's own threads are started by (libgomp's interface to compilers). They wait for their next work in a loop
    /// of some milliseconds, so that other threads would have to share the processors with them.
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

    /// Work, and how many numbers there are.
    struct Shared<'a> {
        work: &'a (dyn Fn(usize) + Sync),
        numbers: usize,
        gomp: &'a Gomp,
    }

    unsafe extern "C" fn body(shared: *mut c_void) {
        // SAFETY: `run` waits for all threads before what it shares with them goes.
        let shared = unsafe { &*shared.cast::<Shared>() };
        // SAFETY: they take nothing.
        let (own, all) = unsafe { ((shared.gomp.number)(), (shared.gomp.count)()) };
        for number in (own as usize..shared.numbers).step_by(all as usize) {
            (shared.work)(number);
        }
    }

    /// Runs `work` with each of `0..numbers`, one a thread.
    pub fn run(numbers: usize, work: &(dyn Fn(usize) + Sync)) {
        match &*GOMP {
            Some(gomp) if numbers > 1 => {
                let mut shared = Shared { work, numbers, gomp };
                // SAFETY: as told at `body`; a panic there ends the process.
                unsafe { (gomp.parallel)(body, (&raw mut shared).cast(), numbers as c_uint, 0) };
            }
            _ => (0..numbers).for_each(work),
        }
    }
}

/// Threads that compute together.
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

/// The numbers of a contiguous tensor, or of lanes, of which each thread reads or writes its own.
pub(crate) struct Pointer<T>(pub *mut T);

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pointer<T> {}

// SAFETY: the tensors outlive the threads, and no two threads write the same numbers.
unsafe impl<T> Send for Pointer<T> {}
unsafe impl<T> Sync for Pointer<T> {}

impl<T: tch::kind::Element> Pointer<T> {
    /// Of a tensor with elements of this kind.
    pub fn of(tensor: &tch::Tensor) -> Self {
        assert!(tensor.is_contiguous() && tensor.kind() == T::KIND);
        Self(tensor.data_ptr().cast())
    }
}

impl<T> Pointer<T> {
    /// # Safety
    /// The numbers must be the tensor's, and nobody else's at this time.
    pub unsafe fn part<'a>(self, start: usize, length: usize) -> &'a mut [T] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}
