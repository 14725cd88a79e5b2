//! Captions after the text encoder.

use clip::{TextEncoding, Tokens};
use tch::{Device, Tensor};

/// A batch of captions as the prior and the decoder read them.
pub struct Text {
    /// The pooled and projected captions, `[B, E]`.
    pub embedding: Tensor,
    /// A state a token, `[B, T, D]`.
    pub states: Tensor,
    /// Where there are tokens of the caption, its start and end included: `[B, T]` of bool.
    pub mask: Tensor,
    /// The words that did not fit into the context, a caption.
    pub cut_off: Vec<Option<String>>,
    /// The token ids of each caption, padding included.
    pub(crate) ids: Vec<Vec<i64>>,
    /// Tokens before the padding of each caption. Where a caption is nothing but padding all of it is attended to.
    pub(crate) lengths: Vec<i64>,
}

impl Text {
    /// The `encoding` of `tokens`, on `device`.
    pub(crate) fn new(encoding: TextEncoding, tokens: Tokens, device: Device) -> Self {
        let ids = Vec::<Vec<i64>>::try_from(&tokens.ids).expect("ids are [B, T]");
        let mask = Vec::<Vec<bool>>::try_from(&tokens.mask).expect("a mask is [B, T]");
        let length = |mask: &Vec<bool>| {
            let last = mask.iter().rposition(|&is_token| is_token);
            last.map_or(mask.len(), |last| last + 1) as i64
        };
        Self {
            embedding: encoding.embedding,
            states: encoding.states,
            mask: tokens.mask.to_device(device),
            cut_off: tokens.cut_off,
            lengths: mask.iter().map(length).collect(),
            ids,
        }
    }

    /// How many captions there are.
    pub fn batch(&self) -> i64 {
        self.ids.len() as i64
    }

    /// One caption's text for `count` images: `B = 1` becomes `B = count`.
    pub fn expand(&self, count: i64) -> Self {
        Self {
            embedding: self.embedding.expand([count, -1], false),
            states: self.states.expand([count, -1, -1], false),
            mask: self.mask.expand([count, -1], false),
            cut_off: self.cut_off.iter().cloned().cycle().take(count as usize).collect(),
            ids: self.ids.iter().cloned().cycle().take(count as usize).collect(),
            lengths: self.lengths.iter().copied().cycle().take(count as usize).collect(),
        }
    }

    /// The captions at these places.
    pub(crate) fn rows(&self, rows: &[usize]) -> Self {
        let places: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let index = Tensor::from_slice(&places).to_device(self.embedding.device());
        Self {
            embedding: self.embedding.index_select(0, &index),
            states: self.states.index_select(0, &index),
            mask: self.mask.index_select(0, &index),
            cut_off: rows.iter().map(|&row| self.cut_off[row].clone()).collect(),
            ids: rows.iter().map(|&row| self.ids[row].clone()).collect(),
            lengths: rows.iter().map(|&row| self.lengths[row]).collect(),
        }
    }

    /// The same without the padding after the longest caption, which no network attends to.
    pub(crate) fn without_padding(&self) -> Self {
        let longest = self.lengths.iter().copied().max().unwrap_or_default();
        Self {
            embedding: self.embedding.shallow_clone(),
            states: self.states.narrow(1, 0, longest),
            mask: self.mask.narrow(1, 0, longest),
            cut_off: self.cut_off.clone(),
            ids: self.ids.clone(),
            lengths: self.lengths.clone(),
        }
    }

    /// This batch, and `other`'s after it.
    pub(crate) fn followed_by(&self, other: &Self) -> Self {
        let cat = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
        Self {
            embedding: cat(&self.embedding, &other.embedding),
            states: cat(&self.states, &other.states),
            mask: cat(&self.mask, &other.mask),
            cut_off: [&*self.cut_off, &other.cut_off].concat(),
            ids: [&*self.ids, &other.ids].concat(),
            lengths: [&*self.lengths, &other.lengths].concat(),
        }
    }

    /// The same tensors under another name.
    pub(crate) fn shallow_clone(&self) -> Self {
        Self {
            embedding: self.embedding.shallow_clone(),
            states: self.states.shallow_clone(),
            mask: self.mask.shallow_clone(),
            cut_off: self.cut_off.clone(),
            ids: self.ids.clone(),
            lengths: self.lengths.clone(),
        }
    }
}
