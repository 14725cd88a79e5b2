//! SIMD registers of f32 in the widths that processors have, and the choice among them.

use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The width of SIMD registers, with the instructions that kernels use on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// 128 bits, which every processor has: SSE2 on x86-64, NEON on aarch64.
    Bits128,
    /// 256 bits: AVX2 with FMA.
    Bits256,
    /// 512 bits: AVX-512F.
    Bits512,
}

/// The width that [`set_simd`] chose, as its place in [`Simd::ALL`]; beyond them, none.
static CHOICE: AtomicU8 = AtomicU8::new(u8::MAX);

/// Sets the width that kernels use from now on; the widest of the processor until then.
///
/// # Panics
/// The processor lacks it.
pub fn set_simd(simd: Simd) {
    assert!(simd.is_available(), "this processor has no registers of {simd:?}");
    CHOICE.store(simd as u8, Ordering::Relaxed);
}

impl Simd {
    /// All of them, from the narrowest.
    pub const ALL: [Self; 3] = [Self::Bits128, Self::Bits256, Self::Bits512];

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Bits128 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Bits256 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Bits512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The width that kernels use.
    pub fn current() -> Self {
        let choice = Self::ALL.get(CHOICE.load(Ordering::Relaxed) as usize);
        choice.copied().unwrap_or_else(|| {
            let widest = Self::ALL.into_iter().rev().find(|simd| simd.is_available());
            widest.expect("every processor has 128 bits")
        })
    }

    /// The instructions' name on this kind of processor.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bits128 if cfg!(target_arch = "aarch64") => "neon",
            Self::Bits128 => "sse2",
            Self::Bits256 => "avx2",
            Self::Bits512 => "avx512",
        }
    }
}

/// From [`Simd::name`].
impl FromStr for Simd {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let available = Self::ALL.into_iter().filter(|simd| simd.is_available());
        let names: Vec<&str> = available.map(Self::name).collect();
        match Self::ALL.into_iter().find(|simd| simd.name() == name) {
            Some(simd) if simd.is_available() => Ok(simd),
            Some(_) => Err(format!("this processor has {} alone", names.join(" and "))),
            None => Err(format!("the kernels have {}", names.join(", "))),
        }
    }
}

/// A register of f32. Its functions run where [`dispatch`] found that the processor has such registers.
pub(crate) trait Register: Copy {
    /// Numbers of a register.
    const LANES: usize;
    /// Registers of the processor.
    const COUNT: usize;

    /// The number in every lane.
    fn splat(number: f32) -> Self;

    /// [`Register::LANES`] numbers.
    ///
    /// # Safety
    /// As many can be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// As many bf16, widened.
    ///
    /// # Safety
    /// As many can be read at `from`.
    unsafe fn load_bf16(from: *const u16) -> Self;

    /// Writes the lanes.
    ///
    /// # Safety
    /// As many can be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// `a * b + self`, rounded once where the processor can.
    fn fma(self, a: Self, b: Self) -> Self;

    /// The sum of the lanes.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut lanes = [0.0; 16];
        // SAFETY: no register has more.
        unsafe { self.store(lanes.as_mut_ptr()) };
        for half in [8, 4, 2, 1] {
            for n in 0..half {
                lanes[n] += lanes[n + half];
            }
        }
        lanes[0]
    }
}

/// 128 bits, in plain code that compilers turn into SSE2 or NEON.
#[derive(Clone, Copy)]
pub(crate) struct F32x4([f32; 4]);

impl Register for F32x4 {
    const LANES: usize = 4;
    const COUNT: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };

    #[inline(always)]
    fn splat(number: f32) -> Self {
        Self([number; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller says so.
        Self(unsafe { from.cast::<[f32; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller says so.
        let bits = unsafe { from.cast::<[u16; 4]>().read() };
        Self(bits.map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says so.
        unsafe { to.cast::<[f32; 4]>().write(self.0) };
    }

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|n| match cfg!(target_arch = "aarch64") {
            true => a.0[n].mul_add(b.0[n], self.0[n]),
            false => a.0[n] * b.0[n] + self.0[n],
        }))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Register;

    /// 256 bits.
    #[derive(Clone, Copy)]
    pub(crate) struct F32x8(__m256);

    /// 512 bits.
    #[derive(Clone, Copy)]
    pub(crate) struct F32x16(__m512);

    // SAFETY, of all below: `dispatch` found the instructions, and callers what is read or written.

    impl Register for F32x8 {
        const LANES: usize = 8;
        const COUNT: usize = 16;

        #[inline(always)]
        fn splat(number: f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_set1_ps(number) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn load_bf16(from: *const u16) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(to, self.0) };
        }

        #[inline(always)]
        fn fma(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }
    }

    impl Register for F32x16 {
        const LANES: usize = 16;
        const COUNT: usize = 32;

        #[inline(always)]
        fn splat(number: f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_set1_ps(number) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn load_bf16(from: *const u16) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
            })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(to, self.0) };
        }

        #[inline(always)]
        fn fma(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }
    }
}

/// A weight as it lies in memory.
pub(crate) trait Weight: Copy {
    /// The weight as f32, exactly.
    fn widen(self) -> f32;

    /// A register of weights as f32, exactly.
    ///
    /// # Safety
    /// As many can be read at `from`.
    unsafe fn load<R: Register>(from: *const Self) -> R;
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<R: Register>(from: *const Self) -> R {
        // SAFETY: the caller says so.
        unsafe { R::load(from) }
    }
}

/// The bits of a bf16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Bf16 {
    /// The nearest bf16, of two as near the even one; NaN of NaN.
    #[inline(always)]
    pub(crate) fn round(number: f32) -> Self {
        let bits = number.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        Self(if number.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

impl Weight for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    unsafe fn load<R: Register>(from: *const Self) -> R {
        // SAFETY: the caller says so.
        unsafe { R::load_bf16(from.cast()) }
    }
}

/// Code that is compiled once for each kind of register.
pub(crate) trait SimdKernel {
    /// Runs it in registers of kind `R`. Implementations are `#[inline(always)]`, so that the caller's target features apply.
    fn run<R: Register>(self);
}

/// Runs `kernel` in registers of a width that the processor has.
pub(crate) fn dispatch(simd: Simd, kernel: impl SimdKernel) {
    debug_assert!(simd.is_available());
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn with_avx512(kernel: impl SimdKernel) {
            kernel.run::<x86::F32x16>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2(kernel: impl SimdKernel) {
            kernel.run::<x86::F32x8>();
        }
        match simd {
            Simd::Bits128 => {}
            // SAFETY: the processor has them, as a `Simd` is made by `set_simd` or `current` alone.
            Simd::Bits256 => return unsafe { with_avx2(kernel) },
            // SAFETY: as above.
            Simd::Bits512 => return unsafe { with_avx512(kernel) },
        }
    }
    kernel.run::<F32x4>();
}

/// Prefetches the cache line `ahead` elements behind `at`; where nothing lies there, nothing happens.
#[inline(always)]
pub(crate) fn prefetch<W>(at: *const W, ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(ahead).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, ahead);
}
