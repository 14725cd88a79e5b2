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
    let (first, others) = threads.split_first_mut().expect("a thread");
    std::thread::scope(|scope| {
        let work = &work;
        for (n, own) in others.iter_mut().enumerate() {
            let start = (n + 1) * part;
            if start < count {
                scope.spawn(move || work(own, start..(start + part).min(count)));
            }
        }
        work(first, 0..part.min(count));
    });
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
