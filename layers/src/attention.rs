//! Scaled dot-product attention over heads.

use tch::Tensor;

/// Attention of `q [B, Tq, D]` over `k, v [B, Tk, D]`, with `D` split into heads of `head_width`, and a mask that is
/// added to the scores (`[B | 1, 1, Tq | 1, Tk]`): `-> [B, Tq, D]`. The softmax is computed in f32.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, head_width: i64, mask: Option<&Tensor>) -> Tensor {
    let (batch, _, width) = q.size3().expect("queries are [B, T, D]");
    let heads = |x: &Tensor| x.view([batch, -1, width / head_width, head_width]).transpose(1, 2); // [B, N, T, K]
    Tensor::scaled_dot_product_attention(&heads(q), &heads(k), &heads(v), mask, 0.0, false, None, false)
        .transpose(1, 2) // [B, Tq, N, K]
        .reshape([batch, -1, width]) // [B, Tq, D]
}
