//! Random draws: uniform numbers, choices and Bernoulli trials.

use noise::Generator;

/// Random draws by the workspace's generator.
pub(crate) trait Chance {
    /// A number from `low` to `high`; `low` where the range is empty.
    fn between(&mut self, low: f32, high: f32) -> f32;
    /// One of the items, each as likely as the others.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T;
    /// True with the given probability.
    fn chance(&mut self, probability: f64) -> bool;
}

impl Chance for Generator {
    fn between(&mut self, low: f32, high: f32) -> f32 {
        let part = self.uniform() as f32;
        low + part * (high - low).max(0.0)
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }
}
