//! CLIP's other image encoder: a ResNet with three changes (CLIP, section 2.4; names as in openai/CLIP, `model.py`).
//!
//! The stem has three convolutions and an average pool; a convolution with a stride is an average pool and a convolution without,
//! which blurs before it leaves pixels out; and the last pool is attention whose query is the mean.

use layers::{BatchNorm, Conv2d, Init, Linear, Params, attend};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The channels that a bottleneck gives for each that it has within.
const EXPANSION: i64 = 4;

/// The pixels of an image for each position of the last feature map, on a side.
pub const PIXELS_PER_POSITION: i64 = 32;

/// The encoder's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModifiedResNetConfig {
    /// Height and width of an image in pixels, a multiple of [`PIXELS_PER_POSITION`].
    pub image_size: i64,
    /// How many bottlenecks each of the four levels has.
    pub layers: [i64; 4],
    /// The channels after the stem.
    pub width: i64,
    /// N, the heads of the last pool.
    pub heads: i64,
    /// E, the width of the embedding.
    pub embedding: i64,
}

impl ModifiedResNetConfig {
    /// D, the channels of the last feature map.
    pub fn features(&self) -> i64 {
        8 * EXPANSION * self.width
    }
}

/// The modified ResNet of CLIP (CLIP, section 2.4).
pub struct ModifiedResNet {
    stem: [ConvNorm; 3],
    blocks: Vec<Bottleneck>,
    attention_pool: AttentionPool,
    config: ModifiedResNetConfig,
}

impl ModifiedResNet {
    /// Takes `visual.*`.
    pub fn new(p: &Params, config: &ModifiedResNetConfig) -> Self {
        let (p, width) = (p / "visual", config.width);
        let stem = |n, inputs, outputs, stride| ConvNorm::new(&p, n, inputs, outputs, 3, stride);
        let mut blocks = Vec::new();
        let mut inputs = width;
        for (level, count) in (0..).zip(config.layers) {
            let level_p = &p / format!("layer{}", level + 1);
            for block in 0..count {
                let stride = if level > 0 && block == 0 { 2 } else { 1 };
                let planes = width << level;
                blocks.push(Bottleneck::new(&(&level_p / block), inputs, planes, stride));
                inputs = EXPANSION * planes;
            }
        }
        Self {
            stem: [
                stem("1", 3, width / 2, 2),
                stem("2", width / 2, width / 2, 1),
                stem("3", width / 2, width, 1),
            ],
            blocks,
            attention_pool: AttentionPool::new(&(&p / "attnpool"), config),
            config: config.clone(),
        }
    }

    /// Normalised images `[B, 3, H, W]` of the config's size `->` embedding `[B, E]`, not normalised.
    ///
    /// Panics on images of another size.
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        let stem = self.stem.iter();
        let x = stem.fold(pixels.shallow_clone(), |x, layer| layer.forward(&x).relu());
        let x = pool(&x, 2); // [B, C, H / 4, W / 4]
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x)); // [B, D, H / 32, W / 32]
        self.attention_pool.forward(&x) // [B, E]
    }

    /// The shape that this encoder was made with.
    pub fn config(&self) -> &ModifiedResNetConfig {
        &self.config
    }
}

/// The mean of each square of `size` pixels: `[B, C, H, W] -> [B, C, H / size, W / size]`.
fn pool(x: &Tensor, size: i64) -> Tensor {
    match size {
        1 => x.shallow_clone(),
        _ => x.avg_pool2d([size; 2], [size; 2], [0, 0], false, true, None::<i64>),
    }
}

/// A convolution without a bias, and its batch norm.
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    /// Takes `conv{n}` and `bn{n}`.
    fn new(p: &Params, n: &str, inputs: i64, outputs: i64, size: i64, stride: i64) -> Self {
        Self {
            conv: Conv2d::without_bias(&(p / format!("conv{n}")), inputs, outputs, size, stride),
            norm: BatchNorm::new(&(p / format!("bn{n}")), outputs),
        }
    }

    /// `[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]`
    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.conv.forward(x))
    }
}

/// A residual block of three convolutions, the middle one of them over fewer channels.
struct Bottleneck {
    layers: [ConvNorm; 3],
    shortcut: Option<ConvNorm>,
    stride: i64,
}

impl Bottleneck {
    /// Takes `conv1..3`, `bn1..3`, and `downsample` where the shapes of input and output differ.
    fn new(p: &Params, inputs: i64, planes: i64, stride: i64) -> Self {
        let outputs = EXPANSION * planes;
        let differ = stride > 1 || inputs != outputs;
        Self {
            layers: [
                ConvNorm::new(p, "1", inputs, planes, 1, 1),
                ConvNorm::new(p, "2", planes, planes, 3, 1),
                ConvNorm::new(p, "3", planes, outputs, 1, 1),
            ],
            shortcut: differ.then(|| {
                let p = p / "downsample";
                ConvNorm {
                    conv: Conv2d::without_bias(&(&p / 0), inputs, outputs, 1, 1),
                    norm: BatchNorm::new(&(&p / 1), outputs),
                }
            }),
            stride,
        }
    }

    /// `[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second, third] = &self.layers;
        let y = second.forward(&first.forward(x).relu()).relu();
        let y = third.forward(&pool(&y, self.stride));
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&pool(x, self.stride)),
            None => x.shallow_clone(),
        };
        (y + shortcut).relu()
    }
}

/// Attention over all positions, with their mean as the one query, and its projection to the embedding.
struct AttentionPool {
    position_embedding: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    projection: Linear,
    head_width: i64,
}

impl AttentionPool {
    /// Takes `positional_embedding`, `q_proj`, `k_proj`, `v_proj` and `c_proj`.
    fn new(p: &Params, config: &ModifiedResNetConfig) -> Self {
        let width = config.features();
        let positions = (config.image_size / PIXELS_PER_POSITION).pow(2) + 1;
        let deviation = Init::Normal((width as f64).powf(-0.5));
        let linear =
            |name: &str, outputs| Linear::with_init(&(p / name), width, outputs, deviation);
        Self {
            position_embedding: p.take("positional_embedding", &[positions, width], deviation),
            query: linear("q_proj", width),
            key: linear("k_proj", width),
            value: linear("v_proj", width),
            projection: linear("c_proj", config.embedding),
            head_width: width / config.heads,
        }
    }

    /// `[B, D, H, W] -> [B, E]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x.flatten(2, 3).transpose(1, 2); // [B, T - 1, D]
        let mean = x.mean_dim(1, true, x.kind());
        let x = Tensor::cat(&[mean, x], 1) + &self.position_embedding; // [B, T, D]
        let query = self.query.forward(&x.narrow(1, 0, 1));
        let (keys, values) = (self.key.forward(&x), self.value.forward(&x));
        let pooled = attend(&query, &keys, &values, self.head_width, None); // [B, 1, D]
        self.projection.forward(&pooled.squeeze_dim(1))
    }
}
