//! Scaled dot-product attention over heads.

use kernels::multiplies_in_f32;
use tch::{Device, Kind, Tensor};

/// Attention of `q [B, Tq, D]` over `k, v [B, Tk, D]`, with `D` split into heads of `head_width`, and a mask that is
/// added to the scores (`[B | 1, 1, Tq | 1, Tk]`): `-> [B, Tq, D]`. The softmax is computed in f32.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    head_width: i64,
    mask: Option<&Tensor>,
) -> Tensor {
    let (batch, _, width) = q.size3().expect("queries are [B, T, D]");
    let heads = |x: &Tensor| x.view([batch, -1, width / head_width, head_width]).transpose(1, 2); // [B, N, T, K]
    let (queries, keys, values) = (heads(q), heads(k), heads(v));
    // On the CPU the fused kernel's backward pass takes up to seven times this one's time in bf16.
    let in_steps = q.requires_grad() && q.kind() == Kind::BFloat16 && q.device() == Device::Cpu;
    let attended = if in_steps {
        let scores = (queries * (head_width as f64).powf(-0.5)).matmul(&keys.transpose(2, 3)); // [B, N, Tq, Tk]
        let scores = mask.map_or_else(|| scores.shallow_clone(), |mask| &scores + mask);
        scores.softmax(-1, scores.kind()).matmul(&values) // in f32 within; only what it gives is rounded
    } else if multiplies_in_f32(&[q, k, v]) {
        let [queries, keys, values] = [queries, keys, values].map(|x| x.to_kind(Kind::Float));
        let mask = mask.map(|mask| mask.to_kind(Kind::Float));
        let attended = Tensor::scaled_dot_product_attention(
            &queries, &keys, &values, mask, 0.0, false, None, false,
        );
        attended.to_kind(q.kind())
    } else {
        Tensor::scaled_dot_product_attention(
            &queries, &keys, &values, mask, 0.0, false, None, false,
        )
    };
    attended.transpose(1, 2).reshape([batch, -1, width]) // [B, Tq, D]
}
