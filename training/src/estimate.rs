//! What a leg will need, before anything is spent: parameters, memory, and floating-point operations a step.
//!
//! Parameters are counted on the models themselves, made of tensors without storage. Operations are those of matrix
//! products and convolutions, a multiplication and an addition each counted; a backward pass takes two forward ones.
//! Memory is what libtorch keeps for the backward pass on top of weights and optimiser, a little simplified.

use std::cell::Cell;
use std::ops::{Add, Mul};

use clip::{TextConfig, TextEncoder, VisionConfig, VisionEncoder};
use decoder::{ConditioningConfig, UNet, UNetConfig};
use families::karlo;
use layers::{Init, Params, Source};
use prior::{AutoregressiveConfig, AutoregressivePrior, Codes, Prior, PriorConfig};
use tch::{Device, Kind, Tensor};

use crate::clip_leg::Clip;
use crate::decoder_leg::Decoder;
use crate::recipe::{
    AutoregressiveRecipe, ClipRecipe, DecoderRecipe, PriorRecipe, UpsamplerRecipe,
};
use crate::{Recipe, RunSettings};

/// What a leg will need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Numbers that are trained.
    pub parameters: i64,
    /// Numbers of encoders that only take part.
    pub frozen: i64,
    /// Bytes of weights, gradients and optimiser.
    pub weights: f64,
    /// Bytes that a part of a step keeps for its backward pass.
    pub activations: f64,
    /// Floating-point operations of a step.
    pub flops: f64,
}

/// A forward pass over one picture or caption: operations, and the bytes that its backward pass needs.
#[derive(Clone, Copy, Default)]
struct Pass {
    flops: f64,
    kept: f64,
}

impl Add for Pass {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, kept: self.kept + other.kept }
    }
}

impl Mul<f64> for Pass {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self { flops: self.flops * times, kept: self.kept * times }
    }
}

/// What each leg of `recipe` will need, with its name and its run, for networks in `kind` on `device`. The vocabulary is
/// the largest that the tokenizer can learn.
pub fn estimate(
    recipe: &Recipe,
    kind: Kind,
    device: Device,
) -> [(&'static str, Estimate, &RunSettings); 5] {
    let numbers = Numbers {
        width: kind.elt_size_in_bytes() as f64,
        keeps_attention: kind == Kind::BFloat16 && device == Device::Cpu,
    };
    let text = &TextConfig {
        vocab_size: (SINGLE_TOKENS + recipe.tokenizer.merges) as i64,
        ..recipe.clip.text.clone()
    };
    let vision = &recipe.clip.vision;
    let encoders = Frozen {
        parameters: count(|p| (TextEncoder::new(p, text), VisionEncoder::new(p, vision))),
        flops: (numbers.text(text) + numbers.vision(vision)).flops,
    };
    let Recipe { clip, prior, autoregressive, decoder, upsampler, .. } = recipe;
    [
        ("clip", numbers.clip_leg(clip, text), &clip.run),
        ("prior", numbers.prior_leg(prior, encoders), &prior.run),
        (
            karlo::AUTOREGRESSIVE_PRIOR,
            numbers.autoregressive_leg(autoregressive, encoders),
            &autoregressive.run,
        ),
        ("decoder", numbers.decoder_leg(decoder, text, encoders), &decoder.run),
        ("upsampler", numbers.upsampler_leg(upsampler), &upsampler.run),
    ]
}

/// What a step of drawing takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepCost {
    /// Numbers of the network.
    pub parameters: i64,
    /// Floating-point operations for one picture without guidance, where nothing is kept from step to step.
    pub flops: f64,
}

/// What a step of the prior, of the decoder and of the upsampler takes.
pub fn step_costs(recipe: &Recipe) -> [StepCost; 3] {
    let numbers = Numbers { width: 0.0, keeps_attention: false };
    let (prior, decoder, upsampler) =
        (&recipe.prior.model, &recipe.decoder.unet, &recipe.upsampler.unet);
    let tokens = recipe.decoder.conditioning.extra_tokens + recipe.clip.text.context_length;
    let unet = |config: &UNetConfig, tokens| StepCost {
        parameters: count(|p| UNet::new(p, config)),
        flops: numbers.unet(config, config.sample_size, tokens, false).flops,
    };
    let prior =
        StepCost { parameters: count(|p| Prior::new(p, prior)), flops: numbers.prior(prior).flops };
    [prior, unet(decoder, tokens), unet(upsampler, 0)]
}

/// The bytes, those at a word's end, and the marks of start and end.
const SINGLE_TOKENS: usize = 514;

/// How legs compute.
#[derive(Clone, Copy)]
struct Numbers {
    /// Bytes of a number.
    width: f64,
    /// Whether attention keeps its weights, once in f32 and once in the legs' own kind; else its kernel computes them
    /// again.
    keeps_attention: bool,
}

/// What takes part in a leg and does not learn.
#[derive(Clone, Copy, Default)]
struct Frozen {
    parameters: i64,
    /// Operations a picture.
    flops: f64,
}

impl Numbers {
    fn clip_leg(self, recipe: &ClipRecipe, text: &TextConfig) -> Estimate {
        let parameters = count(|p| Clip::new(p, text, &recipe.vision));
        // Embeddings of parts are computed once without and once with what the backward pass needs.
        let passes = if recipe.run.accumulate > 1 { 4.0 } else { 3.0 };
        let network = self.text(text) + self.vision(&recipe.vision);
        self.leg(&recipe.run, parameters, network, passes, Frozen::default())
    }

    fn prior_leg(self, recipe: &PriorRecipe, encoders: Frozen) -> Estimate {
        // The mean and the deviation that whiten are measured.
        let parameters = count(|p| Prior::new(p, &recipe.model)) - 2 * recipe.model.embedding;
        self.leg(&recipe.run, parameters, self.prior(&recipe.model), 3.0, encoders)
    }

    fn autoregressive_leg(self, recipe: &AutoregressiveRecipe, encoders: Frozen) -> Estimate {
        let model = &recipe.model;
        let codes = |p: &Params| Codes::new(p, model.embedding, model.dimensions, model.buckets);
        // The quantiser is measured.
        let parameters =
            count(|p| AutoregressivePrior::new(p, model, codes(p))) - count(|p| codes(p));
        let network = self.autoregressive(model);
        self.leg(&recipe.run, parameters, network, 3.0, encoders)
    }

    fn decoder_leg(self, recipe: &DecoderRecipe, text: &TextConfig, encoders: Frozen) -> Estimate {
        let &ConditioningConfig { embedding, text_width, time_width, context_width, extra_tokens } =
            &recipe.conditioning;
        let parameters = count(|p| Decoder::new(p, &recipe.conditioning, &recipe.unet));
        let conditions = product(2, embedding, time_width)
            + product(1, embedding, extra_tokens * context_width)
            + product(text.context_length, text_width, context_width);
        let tokens = text.context_length + extra_tokens;
        let checkpointing = recipe.gradient_checkpointing;
        let unet = self.unet(&recipe.unet, recipe.unet.sample_size, tokens, checkpointing);
        let passes = unet_passes(checkpointing);
        self.leg(&recipe.run, parameters, unet + conditions, passes, encoders)
    }

    fn upsampler_leg(self, recipe: &UpsamplerRecipe) -> Estimate {
        let parameters = count(|p| UNet::new(p, &recipe.unet));
        let checkpointing = recipe.gradient_checkpointing;
        let unet = self.unet(&recipe.unet, recipe.crop, 0, checkpointing);
        let passes = unet_passes(checkpointing);
        self.leg(&recipe.run, parameters, unet, passes, Frozen::default())
    }

    /// A leg whose network takes `passes` forward passes' worth of work a picture.
    fn leg(
        self,
        run: &RunSettings,
        parameters: i64,
        network: Pass,
        passes: f64,
        frozen: Frozen,
    ) -> Estimate {
        // Working weights and their gradients; master, moments, average, gradient and two temporaries in f32.
        let optimiser = parameters as f64 * (2.0 * self.width + 7.0 * 4.0);
        Estimate {
            parameters,
            frozen: frozen.parameters,
            weights: optimiser + frozen.parameters as f64 * self.width,
            activations: run.part() as f64 * network.kept,
            flops: run.batch as f64 * (passes * network.flops + frozen.flops),
        }
    }

    fn text(self, config: &TextConfig) -> Pass {
        let blocks =
            self.block(config.context_length, config.width, config.intermediate, config.heads);
        blocks * config.layers as f64 + product(1, config.width, config.embedding)
    }

    fn vision(self, config: &VisionConfig) -> Pass {
        let patches = (config.image_size / config.patch_size).pow(2);
        let blocks = self.block(patches + 1, config.width, config.intermediate, config.heads);
        product(patches, 3 * config.patch_size.pow(2), config.width)
            + blocks * config.layers as f64
            + product(1, config.width, config.embedding)
    }

    fn prior(self, config: &PriorConfig) -> Pass {
        let (width, tokens) = (config.width(), config.context_length + 4);
        // Of the last block only the last token is read.
        let keys = product(tokens, width, 2 * width);
        let last = keys + product(1, width, 2 * width) + product(1, width, 8 * width);
        let last =
            last + self.attention(1, tokens, width, config.heads) + self.kept(4 * tokens * width);
        let blocks = self.block(tokens, width, 4 * width, config.heads);
        product(config.context_length, config.text_width, width)
            + product(3, config.embedding, width)
            + product(2, width, width)
            + blocks * (config.layers - 1) as f64
            + last
    }

    fn autoregressive(self, config: &AutoregressiveConfig) -> Pass {
        let (width, codes) = (config.width(), config.dimensions);
        let tokens = config.context_length + 1 + codes;
        // Of the last block only the tokens that predict codes are read.
        let last = product(tokens, width, 2 * width)
            + product(codes, width, 10 * width)
            + self.attention(codes, tokens, width, config.heads)
            + self.kept(2 * tokens * width + codes * 18 * width);
        let blocks = self.block(tokens, width, 4 * width, config.heads);
        product(config.context_length, config.text_width, width)
            + product(1, config.embedding, width)
            + blocks * (config.layers - 1) as f64
            + last
            + product(codes, width, config.buckets)
            + self.kept(codes * config.buckets)
    }

    /// A transformer block over `tokens`: both norms, the four maps of attention, the two of the feed-forward part.
    fn block(self, tokens: i64, width: i64, intermediate: i64, heads: i64) -> Pass {
        let maps = product(tokens, width, 4 * width) + product(tokens, width, 2 * intermediate);
        let kept = tokens * (8 * width + 3 * intermediate);
        maps + self.kept(kept) + self.attention(tokens, tokens, width, heads)
    }

    /// Scores and sums of `queries` over `keys`.
    fn attention(self, queries: i64, keys: i64, width: i64, heads: i64) -> Pass {
        let weights = (queries * keys * heads) as f64;
        Pass {
            flops: 4.0 * (queries * keys * width) as f64,
            kept: if self.keeps_attention { weights * (4.0 + self.width) } else { 0.0 },
        }
    }

    fn kept(self, values: i64) -> Pass {
        Pass { flops: 0.0, kept: values as f64 * self.width }
    }

    /// A U-Net on pictures of `side` pixels that attends to `tokens` besides. With `checkpointing`, the outputs of all
    /// blocks are kept, and the inside of the largest one.
    fn unet(self, config: &UNetConfig, side: i64, tokens: i64, checkpointing: bool) -> Pass {
        let levels = config.block_out_channels.len();
        let (finest, coarsest) =
            (config.block_out_channels[0], config.block_out_channels[levels - 1]);
        let pixels = |level: usize| (side >> level).pow(2);
        // Input and output channels, input and output pixels, and whether attention follows.
        let mut blocks = Vec::new();
        for level in 0..levels {
            let (own, here) = (config.block_out_channels[level], pixels(level));
            for inputs in config.down_inputs(level).into_iter().chain(config.up_inputs(level)) {
                blocks.push((inputs, own, here, here, level > 0));
            }
            if level + 1 < levels {
                blocks.push((own, own, here, pixels(level + 1), false));
            }
            if level > 0 {
                blocks.push((own, own, here, pixels(level - 1), false));
            }
        }
        blocks.push((coarsest, coarsest, pixels(levels - 1), pixels(levels - 1), true));
        blocks.push((coarsest, coarsest, pixels(levels - 1), pixels(levels - 1), false));

        let time_width = config.time_width();
        let told = if config.scale_shift { 2 } else { 1 };
        let passes: Vec<(Pass, i64)> = blocks
            .into_iter()
            .map(|(inputs, own, before, after, attends)| {
                let skip = if inputs == own { 0 } else { inputs };
                let mut pass = product(after, 9 * inputs, own)
                    + product(after, 9 * own + skip, own)
                    + product(1, time_width, told * own)
                    + self.kept(3 * inputs * before + 4 * own * after);
                if let Some(attention) = config.attention.as_ref().filter(|_| attends) {
                    let heads = own / attention.head_width;
                    pass = pass
                        + product(after, own, 4 * own)
                        + product(tokens, attention.context_width, 2 * own)
                        + self.attention(after, after + tokens, own, heads)
                        + self.kept(own * (9 * after + 4 * tokens));
                }
                (pass, own * after)
            })
            .collect();
        let borders = self.kept(passes.iter().map(|(_, output)| output).sum());
        let largest = passes.iter().map(|(pass, _)| pass.kept).fold(0.0, f64::max);
        let mut all = passes.into_iter().fold(Pass::default(), |sum, (pass, _)| sum + pass);
        if checkpointing {
            all.kept = borders.kept + largest;
        }
        let ends = product(pixels(0), 9 * config.in_channels, finest)
            + product(pixels(0), 9 * finest, config.out_channels);
        let time = product(1, finest, time_width) + product(1, time_width, time_width);
        all + ends + time + self.kept(3 * finest * pixels(0))
    }
}

/// Forward passes' worth of work in a step.
fn unet_passes(checkpointing: bool) -> f64 {
    if checkpointing { 4.0 } else { 3.0 }
}

/// A matrix product of `rows` rows; what it keeps is counted by its caller.
fn product(rows: i64, inputs: i64, outputs: i64) -> Pass {
    Pass { flops: 2.0 * rows as f64 * inputs as f64 * outputs as f64, kept: 0.0 }
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
