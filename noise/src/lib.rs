//! Random numbers as torch's CPU generator draws them: one stream a picture.
//!
//! A picture's noise must not depend on which other pictures are drawn beside it, so every
//! picture owns a [`Generator`]. The numbers are those of `torch.Generator("cpu")`, so that
//! a seed means the same picture here as in the reference pipelines.

#![forbid(unsafe_code)]

mod mersenne;

use mersenne::Mersenne;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// A stream of random numbers equal to `torch.Generator("cpu")`'s.
///
/// Serialised, it holds the whole state: a stream read back goes on where it stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    engine: Mersenne,
    /// The second value of the last pair drawn by a small [`Generator::normal`], as its
    /// bits: a text format may round an f64, and then a stream would not go on exactly.
    spare: Option<u64>,
}

impl Generator {
    /// The stream that `torch.Generator("cpu").manual_seed(seed)` gives.
    ///
    /// As there, only the lower 32 bits of the seed count.
    pub fn new(seed: u64) -> Self {
        Self { engine: Mersenne::new(seed as u32), spare: None }
    }

    /// `count` values of the standard normal distribution: `torch.randn(count)` in f32.
    ///
    /// From 16 values on torch draws in blocks, below that one by one: `normal(32)` is not
    /// `normal(8)` four times over. A shape matters only by its number of values.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            (0..count).map(|_| self.single_normal() as f32).collect()
        } else {
            self.block_normals(count)
        }
    }

    /// A value in [0, 1) with 53 random bits: `torch.rand(1, dtype=torch.float64)`.
    pub fn uniform(&mut self) -> f64 {
        const BITS: u32 = 53;
        let bits = self.engine.next_u64() & ((1 << BITS) - 1);
        bits as f64 / (1u64 << BITS) as f64
    }

    /// An integer of 0..n, each equally likely. Panics where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no integer below 0 to draw");
        // The last, incomplete run of n values is refused: it would favour small ones.
        let refused = (u64::MAX % n + 1) % n;
        loop {
            let bits = self.engine.next_u64();
            if bits <= u64::MAX - refused {
                return bits % n;
            }
        }
    }

    /// Puts the items in a random order, each order equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// One value by Box-Muller in f64; of each pair the sine half waits for the next call.
    fn single_normal(&mut self) -> f64 {
        if let Some(bits) = self.spare.take() {
            return f64::from_bits(bits);
        }
        let angle = TAU * self.uniform();
        let radius = (-2.0 * (-self.uniform()).ln_1p()).sqrt();
        self.spare = Some((radius * angle.sin()).to_bits());
        radius * angle.cos()
    }

    /// Many values by Box-Muller in blocks; the spare value stays for a later small draw.
    fn block_normals(&mut self, count: usize) -> Vec<f32> {
        let mut values: Vec<f32> = (0..count).map(|_| self.uniform_f32()).collect();
        let (blocks, rest) = values.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().for_each(box_muller);
        if !rest.is_empty() {
            // The last block is drawn anew, over the end of the one before it.
            let last = values.last_chunk_mut::<BLOCK>().expect("a block or more");
            last.fill_with(|| self.uniform_f32());
            box_muller(last);
        }
        values
    }

    /// A value in [0, 1) with 24 random bits.
    fn uniform_f32(&mut self) -> f32 {
        const BITS: u32 = 24;
        let bits = self.engine.next_u32() & ((1 << BITS) - 1);
        bits as f32 / (1u32 << BITS) as f32
    }
}

/// How many values torch's vectorised path turns at once, and the least it is used for.
const BLOCK: usize = 16;

/// Turns 16 uniform values into normal ones: the first half gives radii, the second angles.
fn box_muller(block: &mut [f32; BLOCK]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (first, second) in radii.iter_mut().zip(angles) {
        // torch rounds the angle to f32 before the sine, which moves far values by 1e-6;
        // all else is exact or rounded once.
        let angle = f64::from(TAU as f32 * *second);
        let radius = (-2.0 * f64::from(1.0 - *first).ln()).sqrt();
        *first = (radius * angle.cos()) as f32;
        *second = (radius * angle.sin()) as f32;
    }
}
