//! CLIP's image encoder: a vision transformer with its projection.

use layers::{Activation, Conv2d, Init, LayerNorm, Linear, Params, Transformer, TransformerConfig};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The image encoder's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// Height and width of an image in pixels.
    pub image_size: i64,
    /// Height and width of a patch in pixels.
    pub patch_size: i64,
    /// D, the width of the states.
    pub width: i64,
    /// How many transformer layers there are.
    pub layers: i64,
    /// N, attention heads a layer.
    pub heads: i64,
    /// The width between a layer's two feed-forward maps.
    pub intermediate: i64,
    /// E, the width of the embedding.
    pub embedding: i64,
    /// The activation of the feed-forward maps.
    pub activation: Activation,
    /// The epsilon of the layer norms, added to the variance.
    pub layer_norm_eps: f64,
}

/// The image tower of CLIP (CLIP, section 2.4; names as in transformers).
pub struct VisionEncoder {
    class_embedding: Tensor,
    patch_embedding: Conv2d,
    position_embedding: Tensor,
    pre_layer_norm: LayerNorm,
    encoder: Transformer,
    post_layer_norm: LayerNorm,
    visual_projection: Linear,
    config: VisionConfig,
}

impl VisionEncoder {
    /// Takes `vision_model.*` and `visual_projection`.
    pub fn new(p: &Params, config: &VisionConfig) -> Self {
        let transformer = TransformerConfig {
            width: config.width,
            layers: config.layers,
            heads: config.heads,
            intermediate: config.intermediate,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps,
            key_bias: true,
        };
        let (model, width, eps) = (p / "vision_model", config.width, config.layer_norm_eps);
        let embeddings = &model / "embeddings";
        let patches = (config.image_size / config.patch_size).pow(2);
        let deviation = Init::Normal((width as f64).powf(-0.5));
        Self {
            class_embedding: embeddings.take("class_embedding", &[width], deviation),
            patch_embedding: Conv2d::patches(
                &(&embeddings / "patch_embedding"),
                3,
                width,
                config.patch_size,
            ),
            position_embedding: (&embeddings / "position_embedding").take(
                "weight",
                &[patches + 1, width],
                deviation,
            ),
            // The published files spell it so.
            pre_layer_norm: LayerNorm::new(&(&model / "pre_layrnorm"), width, eps),
            encoder: Transformer::new(&(&model / "encoder"), &transformer),
            post_layer_norm: LayerNorm::new(&(&model / "post_layernorm"), width, eps),
            visual_projection: Linear::without_bias(
                &(p / "visual_projection"),
                width,
                config.embedding,
                deviation,
            ),
            config: config.clone(),
        }
    }

    /// Normalised images `[B, 3, H, W]` of the config's size `->` embedding `[B, E]`, not normalised.
    ///
    /// Panics on images of another size.
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        let patches = self.patch_embedding.forward(pixels).flatten(2, 3).transpose(1, 2); // [B, T - 1, D]
        let (batch, _, width) = patches.size3().expect("patches are [B, T, D]");
        let class = self.class_embedding.expand([batch, 1, width], false);
        let x = Tensor::cat(&[class, patches], 1) + &self.position_embedding; // [B, T, D]
        let states = self.encoder.forward(&self.pre_layer_norm.forward(&x), None);
        self.visual_projection.forward(&self.post_layer_norm.forward(&states.select(1, 0))) // [B, E]
    }

    /// The shape that this encoder was made with.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }
}
