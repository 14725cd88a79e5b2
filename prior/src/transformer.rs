//! The causal transformer of both priors, with norms before attention and feed-forward, and its KV cache.

use layers::{Init, LayerNorm, Linear, Params, attend};
use tch::{Kind, Tensor};

/// The score of a masked key, added to the others. A finite number, as published: a caption of padding alone must give
/// the same as there.
const MASKED: f64 = -10000.0;

/// The blocks of a transformer.
pub(crate) struct Transformer(Vec<Block>);

impl Transformer {
    /// Takes `0`, `1`, ... of `layers` blocks.
    pub(crate) fn new(p: &Params, width: i64, head_width: i64, layers: i64) -> Self {
        Self((0..layers).map(|n| Block::new(&(p / n), width, head_width, layers)).collect())
    }

    /// The outputs of the last `rows` tokens, which are all that the last block computes: `x [B, T, D] -> [B, rows, D]`.
    /// The tokens attend to those in `cache` too, where there is one (else it is empty); `bias [B, 1, T, S]` is added to
    /// the scores, where `S` counts the cached tokens and the new ones.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        rows: i64,
        cache: &[KvCache],
        bias: &Tensor,
    ) -> Tensor {
        let mut x = x.shallow_clone();
        for (n, block) in self.0.iter().enumerate() {
            let rows = if n + 1 == self.0.len() { rows } else { x.size()[1] };
            (x, _) = block.forward(&x, rows, cache.get(n), bias);
        }
        x
    }

    /// The outputs of all tokens, as [`Transformer::forward`], and the caches with those tokens appended.
    pub(crate) fn forward_cached(
        &self,
        x: &Tensor,
        cache: &[KvCache],
        bias: &Tensor,
    ) -> (Tensor, Vec<KvCache>) {
        let (mut x, tokens) = (x.shallow_clone(), x.size()[1]);
        let extend = |(n, block): (usize, &Block)| {
            let (output, extended) = block.forward(&x, tokens, cache.get(n), bias);
            x = output;
            extended
        };
        let cache = self.0.iter().enumerate().map(extend).collect();
        (x, cache)
    }

    /// The keys and values of the tokens `x [B, T, D]`, whose outputs are not wanted.
    pub(crate) fn prefill(&self, x: &Tensor, bias: &Tensor) -> Vec<KvCache> {
        let (mut x, tokens) = (x.shallow_clone(), x.size()[1]);
        let (last, blocks) = self.0.split_last().expect("a transformer has blocks");
        let mut cache = Vec::with_capacity(self.0.len());
        for block in blocks {
            let (output, own) = block.forward(&x, tokens, None, bias);
            cache.push(own);
            x = output;
        }
        cache.push(last.keys_values(&last.norm_attention.forward(&x)));
        cache
    }
}

/// `x + attention(norm(x))`, then `x + feed_forward(norm(x))` with the exact GELU and four times the width.
struct Block {
    norm_attention: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    attention_out: Linear,
    norm_feed_forward: LayerNorm,
    up: Linear,
    down: Linear,
    head_width: i64,
}

impl Block {
    /// Takes `norm1`, `attn1`, `norm3` and `ff` (the layout has no `norm2`); `depth` is the number of blocks.
    fn new(p: &Params, width: i64, head_width: i64, depth: i64) -> Self {
        // Each block adds to the stream twice: so scaled, the sum over all blocks starts no larger than the stream.
        let into_stream =
            |inputs: i64| Init::Normal((2.0 * depth as f64 * inputs as f64).powf(-0.5));
        let (attention, feed_forward) = (p / "attn1", p / "ff.net");
        let out = &attention / "to_out.0";
        Self {
            norm_attention: LayerNorm::new(&(p / "norm1"), width, 1e-5),
            q: Linear::new(&(&attention / "to_q"), width, width),
            k: Linear::new(&(&attention / "to_k"), width, width),
            v: Linear::new(&(&attention / "to_v"), width, width),
            attention_out: Linear::with_init(&out, width, width, into_stream(width)),
            norm_feed_forward: LayerNorm::new(&(p / "norm3"), width, 1e-5),
            up: Linear::new(&(&feed_forward / "0.proj"), width, 4 * width),
            down: Linear::with_init(&(&feed_forward / 2), 4 * width, width, into_stream(4 * width)),
            head_width,
        }
    }

    /// The outputs of the last `rows` tokens, `x [B, T, D] -> [B, rows, D]`, and the cache with all `T` appended.
    fn forward(
        &self,
        x: &Tensor,
        rows: i64,
        cache: Option<&KvCache>,
        bias: &Tensor,
    ) -> (Tensor, KvCache) {
        let first = x.size()[1] - rows;
        let normed = self.norm_attention.forward(x);
        let queries = self.q.forward(&normed.narrow(1, first, rows)); // [B, rows, D]
        let own = self.keys_values(&normed);
        let cache = match cache {
            Some(cache) => cache.append(&own),
            None => own,
        };
        let bias = bias.narrow(2, first, rows);
        let attended = attend(&queries, &cache.keys, &cache.values, self.head_width, Some(&bias));
        let x = x.narrow(1, first, rows) + self.attention_out.forward(&attended); // [B, rows, D]
        let inner = self.up.forward(&self.norm_feed_forward.forward(&x)).gelu("none"); // [B, rows, 4 D]
        (&x + self.down.forward(&inner), cache)
    }

    /// The keys and values of `normed [B, T, D]`.
    fn keys_values(&self, normed: &Tensor) -> KvCache {
        KvCache { keys: self.k.forward(normed), values: self.v.forward(normed) }
    }
}

/// The keys and values of the tokens before, of one block, each `[B, S, D]`: later tokens need no more of them.
pub(crate) struct KvCache {
    pub keys: Tensor,
    pub values: Tensor,
}

impl KvCache {
    /// These tokens and then those of `other`.
    fn append(&self, other: &Self) -> Self {
        Self {
            keys: Tensor::cat(&[&self.keys, &other.keys], 1),
            values: Tensor::cat(&[&self.values, &other.values], 1),
        }
    }
}

/// The bias of the scores that hides later tokens and the caption's padding: `mask [B, T] -> [B, 1, S, S]` with
/// `S = T + extra`.
pub(crate) fn causal_bias(mask: &Tensor, extra: i64, kind: Kind) -> Tensor {
    let tokens = mask.size()[1] + extra;
    let later = Tensor::ones([tokens, tokens], (kind, mask.device())).triu(1); // [S, S]
    later * MASKED + padding_bias(mask, extra, kind)
}

/// The bias of the scores that hides the caption's padding: `mask [B, T] -> [B, 1, 1, S]` with `S = T + extra`.
pub(crate) fn padding_bias(mask: &Tensor, extra: i64, kind: Kind) -> Tensor {
    let (batch, caption) = mask.size2().expect("a caption's mask is [B, T]");
    let padding = mask.logical_not().to_kind(kind).constant_pad_nd([0, extra]); // [B, S]
    padding.view([batch, 1, 1, caption + extra]) * MASKED
}
