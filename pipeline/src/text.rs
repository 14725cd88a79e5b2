//! Captions after the text encoder.

use tch::Tensor;

/// What the prior and the decoder read of a batch of captions.
pub struct Text {
    /// The pooled and projected captions, `[B, E]`.
    pub embedding: Tensor,
    /// A state a token, `[B, T, D]`.
    pub states: Tensor,
    /// Where there are tokens of the caption, its start and end included: `[B, T]` of bool.
    pub mask: Tensor,
    /// The words that did not fit into the context, a caption.
    pub cut_off: Vec<Option<String>>,
}

impl Text {
    /// One caption's text for `count` pictures: `B = 1` becomes `B = count`.
    pub fn expand(&self, count: i64) -> Self {
        Self {
            embedding: self.embedding.expand([count, -1], false),
            states: self.states.expand([count, -1, -1], false),
            mask: self.mask.expand([count, -1], false),
            cut_off: self
                .cut_off
                .iter()
                .cloned()
                .cycle()
                .take(count as usize)
                .collect(),
        }
    }

    /// How many captions there are.
    pub fn batch(&self) -> i64 {
        self.embedding.size()[0]
    }

    /// This batch, and `other`'s after it.
    pub(crate) fn followed_by(&self, other: &Self) -> Self {
        let cat = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
        Self {
            embedding: cat(&self.embedding, &other.embedding),
            states: cat(&self.states, &other.states),
            mask: cat(&self.mask, &other.mask),
            cut_off: self.cut_off.iter().chain(&other.cut_off).cloned().collect(),
        }
    }
}
