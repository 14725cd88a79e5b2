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
            cut_off: self.cut_off.iter().cloned().cycle().take(count as usize).collect(),
        }
    }

    /// How many captions there are.
    pub fn batch(&self) -> i64 {
        self.embedding.size()[0]
    }

    /// The same without the padding after the longest caption, which no network sees. Where a caption is nothing but
    /// padding all of it is seen, and stays.
    pub(crate) fn without_padding(&self) -> Self {
        let (batch, tokens) = self.mask.size2().expect("a mask is [B, T]");
        let real = Vec::<bool>::try_from(self.mask.reshape([batch * tokens])).expect("a mask");
        let longest = real
            .chunks(tokens as usize)
            .map(|caption| caption.iter().rposition(|&real| real))
            .map(|last| last.map_or(tokens, |last| last as i64 + 1))
            .max()
            .unwrap_or(tokens);
        Self {
            embedding: self.embedding.shallow_clone(),
            states: self.states.narrow(1, 0, longest),
            mask: self.mask.narrow(1, 0, longest),
            cut_off: self.cut_off.clone(),
        }
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
