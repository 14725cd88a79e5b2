//! The transforms of Winograd's convolutions, on SIMD vectors.

use super::{F32x16, LANES, ZERO};

/// The one-dimensional transforms of a filter and of an input tile before the products, and of the products after them
/// (1509.09308, section 4: G, B^T and A^T; the points as in wincnn).
pub(super) trait Transforms<const TILE: usize, const OUT: usize> {
    /// G times a row of a filter.
    fn transform_filter(a: &F32x16, b: &F32x16, c: &F32x16) -> [F32x16; TILE];
    /// B^T times a row of an input tile.
    fn transform_input(row: &[F32x16; TILE]) -> [F32x16; TILE];
    /// A^T times a row of the products: pixels.
    fn transform_output(row: &[F32x16; TILE]) -> [F32x16; OUT];
}

/// F(4 x 4, 3 x 3), at the points 0, 1, -1, 2, -2 and infinity.
pub(super) struct Four;

impl Transforms<6, 4> for Four {
    #[inline(always)]
    fn transform_filter(a: &F32x16, b: &F32x16, c: &F32x16) -> [F32x16; 6] {
        let mut out = [ZERO; 6];
        for n in 0..LANES {
            let (a, b, c) = (a.0[n], b.0[n], c.0[n]);
            out[0].0[n] = a / 4.0;
            out[1].0[n] = (a + c + b) / -6.0;
            out[2].0[n] = (a + c - b) / -6.0;
            out[3].0[n] = (a + 4.0 * c + 2.0 * b) / 24.0;
            out[4].0[n] = (a + 4.0 * c - 2.0 * b) / 24.0;
            out[5].0[n] = c;
        }
        out
    }

    #[inline(always)]
    fn transform_input(row: &[F32x16; 6]) -> [F32x16; 6] {
        let mut out = [ZERO; 6];
        for n in 0..LANES {
            let r = |place: usize| row[place].0[n];
            out[0].0[n] = 4.0 * r(0) - 5.0 * r(2) + r(4);
            let (even, odd) = (r(4) - 4.0 * r(2), r(3) - 4.0 * r(1));
            out[1].0[n] = even + odd;
            out[2].0[n] = even - odd;
            let (even, odd) = (r(4) - r(2), 2.0 * (r(3) - r(1)));
            out[3].0[n] = even + odd;
            out[4].0[n] = even - odd;
            out[5].0[n] = 4.0 * r(1) - 5.0 * r(3) + r(5);
        }
        out
    }

    #[inline(always)]
    fn transform_output(row: &[F32x16; 6]) -> [F32x16; 4] {
        let mut out = [ZERO; 4];
        for n in 0..LANES {
            let m = |place: usize| row[place].0[n];
            let (sum_1, difference_1) = (m(1) + m(2), m(1) - m(2));
            let (sum_2, difference_2) = (m(3) + m(4), m(3) - m(4));
            out[0].0[n] = m(0) + sum_1 + sum_2;
            out[1].0[n] = difference_1 + 2.0 * difference_2;
            out[2].0[n] = sum_1 + 4.0 * sum_2;
            out[3].0[n] = difference_1 + 8.0 * difference_2 + m(5);
        }
        out
    }
}

/// F(6 x 6, 3 x 3), at the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity.
pub(super) struct Six;

impl Transforms<8, 6> for Six {
    #[inline(always)]
    fn transform_filter(a: &F32x16, b: &F32x16, c: &F32x16) -> [F32x16; 8] {
        let mut out = [ZERO; 8];
        for n in 0..LANES {
            let (a, b, c) = (a.0[n], b.0[n], c.0[n]);
            out[0].0[n] = a;
            out[1].0[n] = -2.0 / 9.0 * (a + c + b);
            out[2].0[n] = -2.0 / 9.0 * (a + c - b);
            out[3].0[n] = (a + 4.0 * c + 2.0 * b) / 90.0;
            out[4].0[n] = (a + 4.0 * c - 2.0 * b) / 90.0;
            out[5].0[n] = 8.0 / 45.0 * (4.0 * a + c + 2.0 * b);
            out[6].0[n] = 8.0 / 45.0 * (4.0 * a + c - 2.0 * b);
            out[7].0[n] = c;
        }
        out
    }

    #[inline(always)]
    fn transform_input(row: &[F32x16; 8]) -> [F32x16; 8] {
        let mut out = [ZERO; 8];
        for n in 0..LANES {
            let r = |place: usize| row[place].0[n];
            out[0].0[n] = r(0) - r(6) + 5.25 * (r(4) - r(2));
            let (even, odd) = (r(2) + r(6) - 4.25 * r(4), r(1) + r(5) - 4.25 * r(3));
            out[1].0[n] = even + odd;
            out[2].0[n] = even - odd;
            let even = r(6) + 0.25 * r(2) - 1.25 * r(4);
            let odd = 0.5 * r(1) - 2.5 * r(3) + 2.0 * r(5);
            out[3].0[n] = even + odd;
            out[4].0[n] = even - odd;
            let even = r(6) + 4.0 * r(2) - 5.0 * r(4);
            let odd = 2.0 * r(1) - 2.5 * r(3) + 0.5 * r(5);
            out[5].0[n] = even + odd;
            out[6].0[n] = even - odd;
            out[7].0[n] = r(7) - r(1) + 5.25 * (r(3) - r(5));
        }
        out
    }

    #[inline(always)]
    fn transform_output(row: &[F32x16; 8]) -> [F32x16; 6] {
        let mut out = [ZERO; 6];
        for n in 0..LANES {
            let m = |place: usize| row[place].0[n];
            let (sum_1, difference_1) = (m(1) + m(2), m(1) - m(2));
            let (sum_2, difference_2) = (m(3) + m(4), m(3) - m(4));
            let (sum_half, difference_half) = (m(5) + m(6), m(5) - m(6));
            out[0].0[n] = m(0) + sum_1 + sum_2 + sum_half;
            out[1].0[n] = difference_1 + 2.0 * difference_2 + 0.5 * difference_half;
            out[2].0[n] = sum_1 + 4.0 * sum_2 + 0.25 * sum_half;
            out[3].0[n] = difference_1 + 8.0 * difference_2 + 0.125 * difference_half;
            out[4].0[n] = sum_1 + 16.0 * sum_2 + 0.0625 * sum_half;
            let last = 32.0 * difference_2 + 0.03125 * difference_half + m(7);
            out[5].0[n] = difference_1 + last;
        }
        out
    }
}
