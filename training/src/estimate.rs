//! Estimates of a training before it begins: parameters, memory, and floating-point operations a step.
//!
//! Parameters are counted on the models themselves, made of tensors without storage. Operations are those of matrix
//! products and convolutions, a multiplication and an addition each counted; a backward pass takes two forward ones.
//! Memory is that of weights and optimiser, and of the activations that libtorch saves for the backward pass, a little
//! simplified.

use std::cell::Cell;
use std::ops::{Add, Mul};

use clip::{
    NoisedImageConfig, NoisedTextConfig, TextConfig, TextEncoder, VisionConfig, VisionEncoder,
};
use decoder::{ConditioningConfig, TextTransformerConfig, UNet, UNetConfig};
use families::{Shapes, StageShapes, karlo};
use layers::{Init, Params, Source};
use prior::{AutoregressiveConfig, AutoregressivePrior, EmbeddingQuantizer, Prior, PriorConfig};
use tch::{Device, Kind, Tensor};

use crate::recipe::{DecoderRecipe, GlideRecipe, NoisedClipRecipe};
use crate::train_clip::Clip;
use crate::train_decoder::Decoder;
use crate::train_glide::Glide;
use crate::train_noised_clip::NoisedClip;
use crate::{Recipe, RunSettings};

/// The estimate of one model's training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The model's name.
    pub model: &'static str,
    /// Steps of the whole training.
    pub steps: u64,
    /// Numbers that are trained.
    pub parameters: i64,
    /// Numbers of encoders that only take part.
    pub frozen: i64,
    /// Bytes of weights, gradients and optimiser.
    pub weights: f64,
    /// Bytes of activations that a part of a step saves for its backward pass.
    pub activations: f64,
    /// Floating-point operations of a step.
    pub flops: f64,
}

/// The cost of a forward pass over one image or caption: operations, and bytes of activations for its backward pass.
#[derive(Clone, Copy, Default)]
struct ForwardCost {
    flops: f64,
    activations: f64,
}

impl Add for ForwardCost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, activations: self.activations + other.activations }
    }
}

impl Mul<f64> for ForwardCost {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self { flops: self.flops * times, activations: self.activations * times }
    }
}

/// Estimates the training of each model of `recipe`, for networks in `kind` on `device`. The vocabulary is the largest that
/// the tokenizer can learn.
pub fn estimate(recipe: &Recipe, kind: Kind, device: Device) -> Vec<Estimate> {
    let costs = CostModel {
        width: kind.elt_size_in_bytes() as f64,
        saves_attention: kind == Kind::BFloat16 && device == Device::Cpu,
    };
    let Recipe { tokenizer, clip, prior, autoregressive, decoder, upsampler, .. } = recipe;
    let text =
        &TextConfig { vocab_size: (SINGLE_TOKENS + tokenizer.merges) as i64, ..clip.text.clone() };
    let encoders = costs.text(text) + costs.vision(&clip.vision);
    let encoder_parameters =
        count(|p| (TextEncoder::new(p, text), VisionEncoder::new(p, &clip.vision)));
    let codes = |p: &Params| {
        let AutoregressiveConfig { embedding, dimensions, buckets, .. } = autoregressive.model;
        EmbeddingQuantizer::new(p, embedding, dimensions, buckets)
    };
    let estimate = |model, run: &RunSettings, parameters: i64, network: ForwardCost, passes| {
        let frozen = matches!(model, "prior" | "decoder" | karlo::AUTOREGRESSIVE_PRIOR);
        let (frozen, of_frozen) =
            if frozen { (encoder_parameters, encoders.flops) } else { (0, 0.0) };
        // Working weights and their gradients; master, moments, average, gradient and two temporaries in f32.
        let optimiser = parameters as f64 * (2.0 * costs.width + 7.0 * 4.0);
        Estimate {
            model,
            steps: run.steps,
            parameters,
            frozen,
            weights: optimiser + frozen as f64 * costs.width,
            activations: (run.batch / run.accumulate) as f64 * network.activations,
            flops: run.batch as f64 * (passes * network.flops + of_frozen),
        }
    };
    let unet_passes = |checkpointing| if checkpointing { 4.0 } else { 3.0 };
    let vocab_size = text.vocab_size;
    let of_glide = recipe.glide.iter().flat_map(|recipe| {
        let GlideRecipe { text, unet, gradient_checkpointing: checkpointing, .. } = recipe;
        let text = TextTransformerConfig { vocab_size, ..text.clone() };
        let runs = [
            ("glide", &recipe.run, unet.clone()),
            ("glide_inpainting", &recipe.inpainting.run, recipe.inpainting_unet()),
        ];
        runs.map(|(model, run, unet)| {
            let network = costs.text_transformer(&text)
                + costs.unet(&unet, unet.sample_size, text.context_length, *checkpointing);
            let parameters = count(|p| Glide::new(p, &text, &unet));
            estimate(model, run, parameters, network, unet_passes(*checkpointing))
        })
    });
    let noised_clip = recipe.noised_clip.iter().map(|recipe| {
        let NoisedClipRecipe { text, image, run } = recipe;
        let text = NoisedTextConfig { vocab_size, ..text.clone() };
        let parameters = count(|p| NoisedClip::new(p, &text, image));
        let network = costs.noised_text(&text) + costs.noised_image(image);
        estimate("noised_clip", run, parameters, network, 3.0)
    });
    let of_unclip = [
        estimate(
            "clip",
            &clip.run,
            count(|p| Clip::new(p, text, &clip.vision)),
            encoders,
            // Embeddings of parts are computed once without activations and once with them.
            if clip.run.accumulate > 1 { 4.0 } else { 3.0 },
        ),
        estimate(
            "prior",
            &prior.run,
            // The mean and the deviation that whiten are measured.
            count(|p| Prior::new(p, &prior.model)) - 2 * prior.model.embedding,
            costs.prior(&prior.model),
            3.0,
        ),
        estimate(
            karlo::AUTOREGRESSIVE_PRIOR,
            &autoregressive.run,
            // The quantiser is measured.
            count(|p| AutoregressivePrior::new(p, &autoregressive.model, codes(p)))
                - count(|p| codes(p)),
            costs.autoregressive(&autoregressive.model),
            3.0,
        ),
        estimate(
            "decoder",
            &decoder.run,
            count(|p| Decoder::new(p, &decoder.conditioning, &decoder.unet)),
            costs.decoder(decoder, text),
            unet_passes(decoder.gradient_checkpointing),
        ),
        estimate(
            "upsampler",
            &upsampler.run,
            count(|p| UNet::new(p, &upsampler.unet)),
            costs.unet(&upsampler.unet, upsampler.crop, 0, upsampler.gradient_checkpointing),
            unet_passes(upsampler.gradient_checkpointing),
        ),
    ];
    of_unclip.into_iter().chain(of_glide).chain(noised_clip).collect()
}

/// The cost of a step of sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepCost {
    /// Numbers of the network.
    pub parameters: i64,
    /// Floating-point operations for one image without guidance, where nothing is cached from step to step.
    pub flops: f64,
}

/// The cost of a step of a diffusion prior of this shape.
pub fn prior_step_cost(config: &PriorConfig) -> StepCost {
    let flops = SAMPLING.prior(config).flops;
    StepCost { parameters: count(|p| Prior::new(p, config)), flops }
}

/// The cost of a step of a stage that samples images, in a model of these shapes; `None` where it has no network.
pub fn stage_step_cost(shapes: &Shapes, stage: &StageShapes) -> Option<StepCost> {
    let config = stage.network.as_ref()?;
    let embedding = stage.conditioning.as_ref().map(|conditioning| {
        let text = shapes.text_encoder.as_ref().map_or(0, |text| text.context_length);
        conditioning.extra_tokens + text
    });
    let caption = stage.text_encoder.as_ref().map(|text| text.context_length);
    let image = stage.image_conditioning.as_ref().map(|conditioning| conditioning.tokens);
    let tokens = embedding.or(image).or(caption).unwrap_or_default();
    Some(StepCost {
        parameters: count(|p| UNet::new(p, config)),
        flops: SAMPLING.unet(config, config.sample_size, tokens, false).flops,
    })
}

/// The costs of sampling, which saves no activations.
const SAMPLING: CostModel = CostModel { width: 0.0, saves_attention: false };

/// The bytes, those at a word's end, and the marks of start and end.
const SINGLE_TOKENS: usize = 514;

/// The costs of networks in one dtype.
#[derive(Clone, Copy)]
struct CostModel {
    /// Bytes of a number.
    width: f64,
    /// Whether attention saves its weights, once in f32 and once in the networks' dtype; else its kernel recomputes them.
    saves_attention: bool,
}

impl CostModel {
    fn text(self, config: &TextConfig) -> ForwardCost {
        let blocks =
            self.block(config.context_length, config.width, config.intermediate, config.heads);
        blocks * config.layers as f64 + product(1, config.width, config.embedding)
    }

    fn text_transformer(self, config: &TextTransformerConfig) -> ForwardCost {
        let &TextTransformerConfig { context_length, width, heads, .. } = config;
        self.block(context_length, width, 4 * width, heads) * config.layers as f64
            + product(1, width, config.time_width)
    }

    fn noised_text(self, config: &NoisedTextConfig) -> ForwardCost {
        let &NoisedTextConfig { context_length, width, heads, embedding, .. } = config;
        self.block(context_length, width, 4 * width, heads) * config.layers as f64
            + product(1, width, embedding)
    }

    fn noised_image(self, config: &NoisedImageConfig) -> ForwardCost {
        let &NoisedImageConfig { patch_size, width, heads, embedding, .. } = config;
        let patches = (config.image_size / patch_size).pow(2);
        product(patches, 3 * patch_size.pow(2), width)
            + self.block(patches + 1, width, 4 * width, heads) * config.layers as f64
            + product(1, width, embedding)
    }

    fn vision(self, config: &VisionConfig) -> ForwardCost {
        let patches = (config.image_size / config.patch_size).pow(2);
        let blocks = self.block(patches + 1, config.width, config.intermediate, config.heads);
        product(patches, 3 * config.patch_size.pow(2), config.width)
            + blocks * config.layers as f64
            + product(1, config.width, config.embedding)
    }

    fn prior(self, config: &PriorConfig) -> ForwardCost {
        let (width, tokens) = (config.width(), config.context_length + 4);
        // Of the last block only the last token is used.
        let keys = product(tokens, width, 2 * width);
        let last = keys + product(1, width, 2 * width) + product(1, width, 8 * width);
        let last = last
            + self.attention(1, tokens, width, config.heads)
            + self.activations(4 * tokens * width);
        let blocks = self.block(tokens, width, 4 * width, config.heads);
        product(config.context_length, config.text_width, width)
            + product(3, config.embedding, width)
            + product(2, width, width)
            + blocks * (config.layers - 1) as f64
            + last
    }

    fn autoregressive(self, config: &AutoregressiveConfig) -> ForwardCost {
        let (width, codes) = (config.width(), config.dimensions);
        let tokens = config.context_length + 1 + codes;
        // Of the last block only the tokens that predict codes are used.
        let last = product(tokens, width, 2 * width)
            + product(codes, width, 10 * width)
            + self.attention(codes, tokens, width, config.heads)
            + self.activations(2 * tokens * width + codes * 18 * width);
        let blocks = self.block(tokens, width, 4 * width, config.heads);
        product(config.context_length, config.text_width, width)
            + product(1, config.embedding, width)
            + blocks * (config.layers - 1) as f64
            + last
            + product(codes, width, config.buckets)
            + self.activations(codes * config.buckets)
    }

    /// The decoder with its conditioning.
    fn decoder(self, recipe: &DecoderRecipe, text: &TextConfig) -> ForwardCost {
        let &ConditioningConfig { embedding, text_width, time_width, context_width, extra_tokens } =
            &recipe.conditioning;
        let conditions = product(2, embedding, time_width)
            + product(1, embedding, extra_tokens * context_width)
            + product(text.context_length, text_width, context_width);
        let tokens = text.context_length + extra_tokens;
        let checkpointing = recipe.gradient_checkpointing;
        self.unet(&recipe.unet, recipe.unet.sample_size, tokens, checkpointing) + conditions
    }

    /// A transformer block over `tokens`: both norms, the four maps of attention, the two of the feed-forward part.
    fn block(self, tokens: i64, width: i64, intermediate: i64, heads: i64) -> ForwardCost {
        let maps = product(tokens, width, 4 * width) + product(tokens, width, 2 * intermediate);
        let values = tokens * (8 * width + 3 * intermediate);
        maps + self.activations(values) + self.attention(tokens, tokens, width, heads)
    }

    /// Scores and sums of `queries` over `keys`.
    fn attention(self, queries: i64, keys: i64, width: i64, heads: i64) -> ForwardCost {
        let weights = (queries * keys * heads) as f64;
        ForwardCost {
            flops: 4.0 * (queries * keys * width) as f64,
            activations: if self.saves_attention { weights * (4.0 + self.width) } else { 0.0 },
        }
    }

    fn activations(self, values: i64) -> ForwardCost {
        ForwardCost { flops: 0.0, activations: values as f64 * self.width }
    }

    /// A U-Net on images of `side` pixels that attends to `tokens` besides. With `checkpointing`, the outputs of all blocks are
    /// saved, and the activations inside the largest one.
    fn unet(self, config: &UNetConfig, side: i64, tokens: i64, checkpointing: bool) -> ForwardCost {
        let blocks = blocks(config, side);
        let costs = blocks.iter().map(|block| self.block_of_unet(config, block, tokens));
        let costs: Vec<ForwardCost> = costs.collect();
        let outputs = blocks.iter().map(|block| block.channels * block.pixels_out).sum();
        let largest = costs.iter().map(|cost| cost.activations).fold(0.0, f64::max);
        let mut all = costs.into_iter().fold(ForwardCost::default(), Add::add);
        if checkpointing {
            all.activations = self.activations(outputs).activations + largest;
        }
        let (finest, time_width) = (config.block_out_channels[0], config.time_width());
        let pixels = side.pow(2);
        let ends = product(pixels, 9 * config.in_channels, finest)
            + product(pixels, 9 * finest, config.out_channels);
        let time = product(1, finest, time_width) + product(1, time_width, time_width);
        all + ends + time + self.activations(3 * finest * pixels)
    }

    /// A residual block, and the attention after it.
    fn block_of_unet(self, config: &UNetConfig, block: &UNetBlock, tokens: i64) -> ForwardCost {
        let &UNetBlock { inputs, channels, pixels_in, pixels_out, attends } = block;
        let skip = if inputs == channels { 0 } else { inputs };
        let modulation = if config.scale_shift { 2 * channels } else { channels };
        let convolutions = product(pixels_out, 9 * inputs, channels)
            + product(pixels_out, 9 * channels + skip, channels)
            + product(1, config.time_width(), modulation)
            + self.activations(3 * inputs * pixels_in + 4 * channels * pixels_out);
        let Some(attention) = config.attention.as_ref().filter(|_| attends) else {
            return convolutions;
        };
        let heads = channels / attention.head_width;
        convolutions
            + product(pixels_out, channels, 4 * channels)
            + product(tokens, attention.context_width, 2 * channels)
            + self.attention(pixels_out, pixels_out + tokens, channels, heads)
            + self.activations(channels * (9 * pixels_out + 4 * tokens))
    }
}

/// A residual block of a U-Net.
struct UNetBlock {
    inputs: i64,
    channels: i64,
    pixels_in: i64,
    pixels_out: i64,
    /// Whether attention follows.
    attends: bool,
}

/// The residual blocks of a U-Net on images of `side` pixels.
fn blocks(config: &UNetConfig, side: i64) -> Vec<UNetBlock> {
    let last = config.block_out_channels.len() - 1;
    let pixels = |level: usize| (side >> level).pow(2);
    let mut blocks = Vec::new();
    for (level, &channels) in config.block_out_channels.iter().enumerate() {
        let mut add = |inputs, to: usize, attends| {
            let (pixels_in, pixels_out) = (pixels(level), pixels(to));
            blocks.push(UNetBlock { inputs, channels, pixels_in, pixels_out, attends });
        };
        for inputs in config.down_inputs(level).into_iter().chain(config.up_inputs(level)) {
            add(inputs, level, config.attention_at(level).is_some());
        }
        if level < last {
            add(channels, level + 1, false);
        } else {
            add(channels, level, true);
            add(channels, level, false);
        }
        if level > 0 {
            add(channels, level - 1, false);
        }
    }
    blocks
}

/// A matrix product of `rows` rows; its activations are counted by its caller.
fn product(rows: i64, inputs: i64, outputs: i64) -> ForwardCost {
    ForwardCost { flops: 2.0 * rows as f64 * inputs as f64 * outputs as f64, activations: 0.0 }
}

/// The numbers that a model takes.
fn count<M>(make: impl FnOnce(&Params) -> M) -> i64 {
    let counter = Counter::default();
    make(&Params::root(&counter));
    counter.0.get()
}

/// Hands out tensors of any shape that share one number.
#[derive(Default)]
struct Counter(Cell<i64>);

impl Source for Counter {
    fn take(&self, _: &str, shape: &[i64], _: Init) -> Tensor {
        self.0.set(self.0.get() + shape.iter().product::<i64>());
        Tensor::zeros([0i64; 0], (Kind::Float, Device::Cpu)).expand(shape, false)
    }
}
