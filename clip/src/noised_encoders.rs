//! A CLIP that was trained on noised images, for CLIP guidance (GLIDE, section 4.4): its image encoder reads the timestep too.

use layers::{
    Activation, Conv2d, Embedding, Init, LayerNorm, Linear, Params, Transformer, TransformerConfig,
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::text::causal_mask;

/// Epsilon of the layer norms, added to the variance.
const EPSILON: f64 = 1e-5;
/// Mean and standard deviation of each channel of images with values from 0 to 255.
const MEANS: [f32; 3] = [122.770_94, 116.746_01, 104.093_735];
const DEVIATIONS: [f32; 3] = [68.500_534, 66.632_16, 70.323_166];

/// The shape of a noised CLIP's text encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisedTextConfig {
    /// How many tokens there are.
    pub vocab_size: i64,
    /// The longest caption in tokens, start and end included.
    pub context_length: i64,
    /// D, the width of the states.
    pub width: i64,
    /// How many transformer layers there are.
    pub layers: i64,
    /// N, attention heads a layer.
    pub heads: i64,
    /// E, the width of the embedding.
    pub embedding: i64,
}

/// The text tower of a noised CLIP (names as in transformers' CLIP).
pub struct NoisedTextEncoder {
    token_embedding: Embedding,
    position_embedding: Embedding,
    encoder: Transformer,
    final_layer_norm: LayerNorm,
    text_projection: Linear,
    config: NoisedTextConfig,
}

impl NoisedTextEncoder {
    /// Takes `text_model.*` and `text_projection`.
    pub fn new(p: &Params, config: &NoisedTextConfig) -> Self {
        let &NoisedTextConfig { vocab_size, context_length, width, layers, heads, embedding } =
            config;
        let (model, embeddings) = (p / "text_model", p / "text_model.embeddings");
        let table = |name: &str, count| Embedding::new(&(&embeddings / name), count, width);
        Self {
            token_embedding: table("token_embedding", vocab_size),
            position_embedding: table("position_embedding", context_length),
            encoder: transformer(&model, width, layers, heads),
            final_layer_norm: LayerNorm::new(&(&model / "final_layer_norm"), width, EPSILON),
            text_projection: projection(&(p / "text_projection"), width, embedding),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &NoisedTextConfig {
        &self.config
    }

    /// The embeddings, of norm 1, of tokens `ids [B, T]` (i64, `T` at most the context length), of which a caption has the
    /// first of its `lengths`, start and end included: `-> [B, E]` in f32.
    ///
    /// Panics on more tokens than the context length, on token numbers beyond the vocabulary, and on lengths beyond `T`.
    pub fn forward(&self, ids: &Tensor, lengths: &[i64]) -> Tensor {
        let (_, length) = ids.size2().expect("tokens are [B, T]");
        let positions = self.position_embedding.table().narrow(0, 0, length);
        let x = self.token_embedding.forward(ids) + positions; // [B, T, D]
        let x = self.encoder.forward(&x, Some(&causal_mask(length, &x)));
        let ends = (Tensor::from_slice(lengths) - 1).to_device(x.device());
        let ends = ends.view([-1, 1, 1]).expand([-1, 1, x.size()[2]], false);
        let pooled = self.final_layer_norm.forward(&x.gather(1, &ends, false).squeeze_dim(1)); // [B, D]
        normalized(&self.text_projection.forward(&pooled))
    }
}

/// The shape of a noised CLIP's image encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisedImageConfig {
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
    /// E, the width of the embedding.
    pub embedding: i64,
    /// Timesteps of the diffusion process whose images it reads.
    pub timesteps: i64,
}

/// The image tower of a noised CLIP (names as in transformers' CLIP): each timestep has a class token of its own.
pub struct NoisedImageEncoder {
    timestep_embedding: Embedding,
    patch_embedding: Conv2d,
    position_embedding: Embedding,
    pre_layer_norm: LayerNorm,
    encoder: Transformer,
    post_layer_norm: LayerNorm,
    visual_projection: Linear,
    config: NoisedImageConfig,
}

impl NoisedImageEncoder {
    /// Takes `vision_model.*` and `visual_projection`.
    pub fn new(p: &Params, config: &NoisedImageConfig) -> Self {
        let &NoisedImageConfig { patch_size, width, layers, heads, embedding, timesteps, .. } =
            config;
        let (model, embeddings) = (p / "vision_model", p / "vision_model.embeddings");
        let patches = (config.image_size / patch_size).pow(2);
        let table = |name: &str, count| Embedding::new(&(&embeddings / name), count, width);
        let norm = |name: &str| LayerNorm::new(&(&model / name), width, EPSILON);
        Self {
            timestep_embedding: table("timestep_embedding", timesteps),
            patch_embedding: Conv2d::patches(
                &(&embeddings / "patch_embedding"),
                MEANS.len() as i64,
                width,
                patch_size,
            ),
            position_embedding: table("position_embedding", patches + 1),
            pre_layer_norm: norm("pre_layer_norm"),
            encoder: transformer(&model, width, layers, heads),
            post_layer_norm: norm("post_layernorm"),
            visual_projection: projection(&(p / "visual_projection"), width, embedding),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &NoisedImageConfig {
        &self.config
    }

    /// The embeddings, of norm 1, of noised `images [B, 3, H, W]` of the config's size, from about -1 to 1, at `timesteps
    /// [B]` (i64): `-> [B, E]` in f32. They can be differentiated with respect to the images, best ones in f32.
    ///
    /// Panics on images of another size and on timesteps beyond the config's.
    pub fn forward(&self, images: &Tensor, timesteps: &Tensor) -> Tensor {
        let of_channels = |values: &[f32]| {
            Tensor::from_slice(values).to_device(images.device()).view([1, -1, 1, 1])
        };
        let pixels = (images + 1.0) * 127.5;
        let pixels = (pixels - of_channels(&MEANS)) / of_channels(&DEVIATIONS);
        let class = self.timestep_embedding.forward(timesteps).unsqueeze(1); // [B, 1, D]
        let patches = self.patch_embedding.forward(&pixels.to_kind(class.kind())); // [B, D, H / P, W / P]
        let patches = patches.flatten(2, 3).transpose(1, 2); // [B, T - 1, D]
        let x = Tensor::cat(&[class, patches], 1) + self.position_embedding.table(); // [B, T, D]
        let states = self.encoder.forward(&self.pre_layer_norm.forward(&x), None);
        let pooled = self.post_layer_norm.forward(&states.select(1, 0)); // [B, D]
        normalized(&self.visual_projection.forward(&pooled))
    }
}

/// The transformer of both towers, below `encoder`.
fn transformer(p: &Params, width: i64, layers: i64, heads: i64) -> Transformer {
    let config = TransformerConfig {
        width,
        layers,
        heads,
        intermediate: 4 * width,
        activation: Activation::Gelu,
        layer_norm_eps: EPSILON,
        key_bias: false,
    };
    Transformer::new(&(p / "encoder"), &config)
}

/// The map from the pooled state to the embedding.
fn projection(p: &Params, width: i64, embedding: i64) -> Linear {
    Linear::without_bias(p, width, embedding, Init::Normal((width as f64).powf(-0.5)))
}

/// Embeddings of norm 1, in f32: `[B, E] -> [B, E]`.
fn normalized(embeddings: &Tensor) -> Tensor {
    let embeddings = embeddings.to_kind(Kind::Float);
    let norm = embeddings.norm_scalaropt_dim(2, [-1i64], true); // [B, 1]
    embeddings / (norm + 1e-12)
}
