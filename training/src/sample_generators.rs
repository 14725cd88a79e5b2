//! Random numbers of samples: a generator for each, which depends on the sample's position in the data alone, so that it draws the
//! same whoever computes it, in whatever batch.

use noise::Generator;
use tch::Tensor;

use crate::data::{SampleRequest, seeded};

/// The generators of a batch's samples.
pub struct SampleGenerators(Vec<Generator>);

impl SampleGenerators {
    /// Those of the samples `first .. first + count` of a request's order.
    pub fn new(request: SampleRequest, first: u64, count: usize) -> Self {
        let SampleRequest { seed, subset, .. } = request;
        let positions = first..first + count as u64;
        Self(positions.map(|position| seeded("draws", [seed, subset, position])).collect())
    }

    /// How many samples.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each sample's own.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Generator> {
        self.0.iter_mut()
    }

    /// Standard normal numbers, `[B, ..shape]` in f32.
    pub fn normal(&mut self, shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        let numbers: Vec<f32> =
            self.iter_mut().flat_map(|generator| generator.normal(count)).collect();
        Tensor::from_slice(&numbers).view([&[self.count() as i64], shape].concat().as_slice())
    }

    /// Uniform numbers in [0, 1).
    pub fn uniform(&mut self) -> Vec<f64> {
        self.iter_mut().map(Generator::uniform).collect()
    }

    /// Whole numbers below `end`.
    pub fn below(&mut self, end: u64) -> Vec<i64> {
        self.iter_mut().map(|generator| generator.below(end) as i64).collect()
    }

    /// A Bernoulli mask `[B]`, bool, true with probability `rate`: which conditions are dropped, for classifier-free guidance
    /// (2207.12598).
    pub fn dropout_mask(&mut self, rate: f64) -> Tensor {
        let mask: Vec<bool> = self.uniform().into_iter().map(|number| number < rate).collect();
        Tensor::from_slice(&mask)
    }
}
