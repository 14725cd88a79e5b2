//! The pre-norm transformer of CLIP's encoders and of GLIDE's text encoder.

use tch::Tensor;

use crate::{Activation, Init, LayerNorm, Linear, Params, attend};

/// The shape of a transformer.
#[derive(Clone, Copy, Debug)]
pub struct TransformerConfig {
    /// D, the width of the residual stream.
    pub width: i64,
    /// How many layers follow each other.
    pub layers: i64,
    /// N, attention heads a layer.
    pub heads: i64,
    /// The width between a layer's two feed-forward maps.
    pub intermediate: i64,
    /// The activation between them.
    pub activation: Activation,
    /// The epsilon of the layer norms, added to the variance.
    pub layer_norm_eps: f64,
    /// Whether the keys have a bias.
    pub key_bias: bool,
}

/// `layers` transformer layers one after the other (CLIP, section 2.4; names as in transformers' `CLIPEncoder`).
pub struct Transformer {
    layers: Vec<Layer>,
}

impl Transformer {
    /// Takes `layers.0` and so on, each with `layer_norm1`, `self_attn.{q,k,v,out}_proj`, `layer_norm2` and `mlp.{fc1,fc2}`.
    pub fn new(p: &Params, config: &TransformerConfig) -> Self {
        Self {
            layers: (0..config.layers)
                .map(|i| Layer::new(&(&(p / "layers") / i), config))
                .collect(),
        }
    }

    /// `[B, T, D] -> [B, T, D]`, with a mask `[1, 1, T, T]` that is added to the attention's scores.
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        self.layers.iter().fold(x.shallow_clone(), |x, layer| layer.forward(&x, mask))
    }
}

struct Layer {
    layer_norm1: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    head_width: i64,
    activation: Activation,
}

impl Layer {
    /// New layers start as in OpenAI's CLIP: what is added to the residual stream shrinks with the number of layers.
    fn new(p: &Params, config: &TransformerConfig) -> Self {
        let TransformerConfig { width, intermediate, .. } = *config;
        let inward = Init::Normal((width as f64).powf(-0.5));
        let residual =
            Init::Normal((width as f64).powf(-0.5) * (2.0 * config.layers as f64).powf(-0.5));
        let widening = Init::Normal((2.0 * width as f64).powf(-0.5));
        let (attention, mlp) = (p / "self_attn", p / "mlp");
        Self {
            layer_norm1: LayerNorm::new(&(p / "layer_norm1"), width, config.layer_norm_eps),
            q_proj: Linear::with_init(&(&attention / "q_proj"), width, width, inward),
            k_proj: match config.key_bias {
                true => Linear::with_init(&(&attention / "k_proj"), width, width, inward),
                false => Linear::without_bias(&(&attention / "k_proj"), width, width, inward),
            },
            v_proj: Linear::with_init(&(&attention / "v_proj"), width, width, inward),
            out_proj: Linear::with_init(&(&attention / "out_proj"), width, width, residual),
            layer_norm2: LayerNorm::new(&(p / "layer_norm2"), width, config.layer_norm_eps),
            fc1: Linear::with_init(&(&mlp / "fc1"), width, intermediate, widening),
            fc2: Linear::with_init(&(&mlp / "fc2"), intermediate, width, residual),
            head_width: width / config.heads,
            activation: config.activation,
        }
    }

    /// `[B, T, D] -> [B, T, D]`
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let normed = self.layer_norm1.forward(x);
        let (q, k, v) = (
            self.q_proj.forward(&normed),
            self.k_proj.forward(&normed),
            self.v_proj.forward(&normed),
        );
        let x = x + self.out_proj.forward(&attend(&q, &k, &v, self.head_width, mask));
        let hidden = self.activation.forward(&self.fc1.forward(&self.layer_norm2.forward(&x)));
        &x + self.fc2.forward(&hidden)
    }
}
