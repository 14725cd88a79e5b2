//! A transformer block with its norms before attention and feed-forward.

use layers::{Init, LayerNorm, Linear, Params, attend};
use tch::Tensor;

/// `x + attention(norm(x))`, then `x + feed_forward(norm(x))` with the exact GELU and four times the width.
pub struct Block {
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
    pub fn new(p: &Params, width: i64, head_width: i64, depth: i64) -> Self {
        // Each block adds to the stream twice: so scaled, the sum over all blocks starts no larger than the stream.
        let into_stream =
            |inputs: i64| Init::Normal((2.0 * depth as f64 * inputs as f64).powf(-0.5));
        let attention = p / "attn1";
        let feed_forward = p / "ff.net";
        Self {
            norm_attention: LayerNorm::new(&(p / "norm1"), width, 1e-5),
            q: Linear::new(&(&attention / "to_q"), width, width),
            k: Linear::new(&(&attention / "to_k"), width, width),
            v: Linear::new(&(&attention / "to_v"), width, width),
            attention_out: Linear::with_init(
                &(&attention / "to_out.0"),
                width,
                width,
                into_stream(width),
            ),
            norm_feed_forward: LayerNorm::new(&(p / "norm3"), width, 1e-5),
            up: Linear::new(&(&feed_forward / "0.proj"), width, 4 * width),
            down: Linear::with_init(&(&feed_forward / 2), 4 * width, width, into_stream(4 * width)),
            head_width,
        }
    }

    /// The last `rows` tokens' outputs, `[B, T, D] -> [B, rows, D]`; `bias [B, 1, T, T]` is added to the scores.
    pub fn forward(&self, x: &Tensor, rows: i64, bias: &Tensor) -> Tensor {
        let first = x.size()[1] - rows;
        let normed = self.norm_attention.forward(x);
        let attended = attend(
            &self.q.forward(&normed.narrow(1, first, rows)),
            &self.k.forward(&normed),
            &self.v.forward(&normed),
            self.head_width,
            Some(&bias.narrow(2, first, rows)),
        );
        self.added(&x.narrow(1, first, rows), &attended)
    }

    /// The outputs of the tokens `x [B, T, D]` that follow those in `kept`, which then holds them too; `bias`
    /// `[B, 1, T, S]` is added to the scores, where `S` counts the kept tokens and the new ones.
    pub fn extend(&self, x: &Tensor, kept: &mut Kept, bias: &Tensor) -> Tensor {
        let (output, extended) = self.follow(x, x.size()[1], kept, bias);
        *kept = extended;
        output
    }

    /// As [`Block::extend`], but `kept` stays what it was, and only the outputs of the last `rows` tokens are computed:
    /// these, `[B, rows, D]`, and the keys and values of all.
    pub fn follow(&self, x: &Tensor, rows: i64, kept: &Kept, bias: &Tensor) -> (Tensor, Kept) {
        let first = x.size()[1] - rows;
        let normed = self.norm_attention.forward(x);
        let (keys, values) = kept.followed_by(self.k.forward(&normed), self.v.forward(&normed));
        let queries = self.q.forward(&normed.narrow(1, first, rows));
        let bias = bias.narrow(2, first, rows);
        let attended = attend(&queries, &keys, &values, self.head_width, Some(&bias));
        let output = self.added(&x.narrow(1, first, rows), &attended);
        (output, Kept(Some((keys, values))))
    }

    /// The keys and values of the tokens `x [B, T, D]`, where nobody asks for their outputs.
    pub fn keep(&self, x: &Tensor) -> Kept {
        let normed = self.norm_attention.forward(x);
        Kept(Some((self.k.forward(&normed), self.v.forward(&normed))))
    }

    /// What attention and the feed-forward part add to the stream: `[B, T, D] -> [B, T, D]`.
    fn added(&self, x: &Tensor, attended: &Tensor) -> Tensor {
        let x = x + self.attention_out.forward(attended); // [B, T, D]
        let inner = self.up.forward(&self.norm_feed_forward.forward(&x)).gelu("none"); // [B, T, 4 D]
        &x + self.down.forward(&inner)
    }
}

/// The keys and values of the tokens that a block has seen, each `[B, S, D]`: a causal block needs no more of them.
#[derive(Default)]
pub struct Kept(Option<(Tensor, Tensor)>);

impl Kept {
    /// The keys and the values, where there are any.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor> {
        let kept = self.0.iter().flat_map(|(keys, values)| [keys, values]);
        kept.map(Tensor::shallow_clone)
    }

    /// These keys and values.
    pub fn of(keys: &Tensor, values: &Tensor) -> Self {
        Self(Some((keys.shallow_clone(), values.shallow_clone())))
    }

    /// All keys and values with those of new tokens after them.
    fn followed_by(&self, keys: Tensor, values: Tensor) -> (Tensor, Tensor) {
        match &self.0 {
            None => (keys, values),
            Some((before, seen)) => {
                (Tensor::cat(&[before, &keys], 1), Tensor::cat(&[seen, &values], 1))
            }
        }
    }
}
