//! The U-Net that denoises an image, with conditions (the decoder) or without (an upsampler).

use layers::{Conv2d, GroupNorm, Init, Params, TimestepEmbedding};
use tch::{Kind, Tensor};

use crate::attention::Attention;
use crate::conditioning::Conditions;
use crate::config::{AttentionConfig, UNetConfig};
use crate::gradient_checkpointing::GradientCheckpointing;
use crate::resnet::{Resample, ResnetBlock};

/// The score of a masked token of the context, added to the others; a finite number, as published.
const MASKED: f64 = -10000.0;

/// The U-Net of guided-diffusion (tensors named as in diffusers' Karlo).
pub struct UNet {
    conv_in: Conv2d,
    time: TimestepEmbedding,
    down: Vec<Level>,
    middle: Level,
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    config: UNetConfig,
}

impl UNet {
    /// Takes the whole of a U-Net's file.
    pub fn new(p: &Params, config: &UNetConfig) -> Self {
        let channels = &config.block_out_channels;
        let (finest, last) = (channels[0], channels.len() - 1);
        let down = (0..channels.len()).map(|level| {
            let p = p / format!("down_blocks.{level}");
            let sampler = (level < last).then_some(("downsamplers.0", Resample::Halve));
            let inputs = config.down_inputs(level);
            Level::new(&p, &inputs, channels[level], config, config.attention_at(level), sampler)
        });
        let up = (0..channels.len()).rev().map(|level| {
            let p = p / format!("up_blocks.{}", last - level);
            let sampler = (level > 0).then_some(("upsamplers.0", Resample::Double));
            let inputs = config.up_inputs(level);
            Level::new(&p, &inputs, channels[level], config, config.attention_at(level), sampler)
        });
        let middle = || {
            let (p, sampler) = (p / "mid_block", Some(("resnets.1", Resample::Keep)));
            let inputs = &channels[last..];
            Level::new(&p, inputs, channels[last], config, config.attention.as_ref(), sampler)
        };
        Self {
            conv_in: Conv2d::new(&(p / "conv_in"), config.in_channels, finest, 3),
            time: TimestepEmbedding::new(&(p / "time_embedding"), finest, config.time_width()),
            down: down.collect(),
            middle: middle(),
            up: up.collect(),
            norm_out: GroupNorm::new(
                &(p / "conv_norm_out"),
                config.norm_groups,
                finest,
                config.norm_eps,
            ),
            // A new network predicts 0.
            conv_out: Conv2d::with_init(
                &(p / "conv_out"),
                finest,
                config.out_channels,
                3,
                Init::Zeros,
            ),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Precomputes what does not depend on x, in `kind`: each block's projection of `timesteps [N]`, and each attention's
    /// keys and values of the context. `N` is a multiple of the conditions' batch `B`: several timesteps of a batch, one
    /// after the other, are taken apart by [`StepConditions::at_step`]. A network with attention needs conditions.
    pub fn precompute(
        &self,
        timesteps: &Tensor,
        conditions: Option<&Conditions>,
        kind: Kind,
    ) -> StepConditions {
        let time = self.time.forward(timesteps, kind);
        let time = match conditions {
            Some(conditions) => {
                let steps = time.size()[0] / conditions.added.size()[0];
                time + conditions.added.repeat([steps, 1])
            }
            None => time,
        };
        let time = time.silu(); // [N, time width]; every residual block begins with the activation
        let mask = conditions.and_then(|conditions| conditions.mask.as_ref());
        let bias = mask.map(|mask| padding_bias(mask, kind));
        let of_block = |block: &Block| BlockConditions {
            time: block.resnet.project_time(&time),
            context: block.attention.as_ref().map(|attention| {
                let conditions = conditions.expect("a network with attention has conditions");
                Context {
                    keys_values: attention.project_context(&conditions.context),
                    bias: bias.as_ref().map(Tensor::shallow_clone),
                }
            }),
        };
        let levels = self.down.iter().chain([&self.middle]).chain(&self.up);
        StepConditions { blocks: levels.flat_map(Level::blocks).map(of_block).collect() }
    }

    /// The prediction for the noised `x` at the timesteps of `conditions`: `[B, in, H, W] -> [B, out, H, W]`, with `H` and
    /// `W` multiples of `2^(levels - 1)`.
    pub fn denoise(&self, x: &Tensor, conditions: &StepConditions) -> Tensor {
        let x = self.conv_in.forward(x); // [B, C, H, W]
        self.read_out(&self.run_blocks(x, conditions, Block::forward))
    }

    /// [`UNet::precompute`] and [`UNet::denoise`] together: `x [B, in, H, W]` at `timesteps [B]` `-> [B, out, H, W]`.
    pub fn forward(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        conditions: Option<&Conditions>,
    ) -> Tensor {
        self.denoise(x, &self.precompute(timesteps, conditions, x.kind()))
    }

    /// As [`UNet::forward`], to train. With `checkpointing`, the loss's own backward pass ends at the last block's output,
    /// and [`GradientCheckpointing::backward`] goes on from there; without, that does nothing.
    pub fn forward_training(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        conditions: Option<&Conditions>,
        checkpointing: bool,
    ) -> (Tensor, GradientCheckpointing<'_>) {
        let mut checkpoints = GradientCheckpointing::default();
        if !checkpointing {
            return (self.forward(x, timesteps, conditions), checkpoints);
        }
        let mut leaf = |value: &Tensor| checkpoints.leaf(value);
        let StepConditions { blocks } = self.precompute(timesteps, conditions, x.kind());
        let blocks = blocks.iter().map(|block| block.map(&mut leaf)).collect();
        let x = leaf(&self.conv_in.forward(x)); // [B, C, H, W]
        let run = |block, xs: &[&Tensor], conditions: &_| checkpoints.run(block, xs, conditions);
        let x = self.run_blocks(x, &StepConditions { blocks }, run);
        (self.read_out(&x), checkpoints)
    }

    /// The blocks on the way down, in the middle and on the way up, each by `run`: `[B, C, H, W] -> [B, C, H, W]`. Each
    /// output on the way down is a skip, which a block on the way up takes beside its input.
    fn run_blocks<'a>(
        &'a self,
        mut x: Tensor,
        conditions: &StepConditions,
        mut run: impl FnMut(&'a Block, &[&Tensor], &BlockConditions) -> Tensor,
    ) -> Tensor {
        let mut conditions = conditions.blocks.iter();
        let mut run = |block: &'a Block, xs: &[&Tensor]| {
            run(block, xs, conditions.next().expect("each block has its conditions"))
        };
        let mut skips = vec![x.shallow_clone()];
        for block in self.down.iter().flat_map(Level::blocks) {
            x = run(block, &[&x]); // [B, C_l, H / 2^l, W / 2^l]
            skips.push(x.shallow_clone());
        }
        for block in self.middle.blocks() {
            x = run(block, &[&x]);
        }
        for level in &self.up {
            for block in &level.layers {
                let skip = skips.pop().expect("each block on the way up has a skip");
                x = run(block, &[&x, &skip]); // [B, C_l, H / 2^l, W / 2^l]
            }
            if let Some(sampler) = &level.sampler {
                x = run(sampler, &[&x]); // [B, C_l, 2 H / 2^l, 2 W / 2^l]
            }
        }
        x
    }

    /// The prediction of the last features, `[B, C, H, W] -> [B, out, H, W]`.
    fn read_out(&self, x: &Tensor) -> Tensor {
        self.conv_out.forward(&self.norm_out.forward_silu(x, None))
    }
}

/// The blocks of one resolution, on the way down or up.
struct Level {
    layers: Vec<Block>,
    /// The block that changes the resolution; in the middle the last one, which does not.
    sampler: Option<Block>,
}

impl Level {
    /// Takes `resnets`, `attentions` and the sampler, which is a residual block too; `inputs` has one number a block.
    fn new(
        p: &Params,
        inputs: &[i64],
        channels: i64,
        config: &UNetConfig,
        attention: Option<&AttentionConfig>,
        sampler: Option<(&str, Resample)>,
    ) -> Self {
        let resnet = |name: &str, inputs, resample| {
            ResnetBlock::new(&(p / name), inputs, channels, config, resample)
        };
        let resnets = inputs.iter().enumerate();
        let resnets: Vec<ResnetBlock> = resnets
            .map(|(n, &inputs)| resnet(&format!("resnets.{n}"), inputs, Resample::Keep))
            .collect();
        let blocks = resnets.into_iter().enumerate().map(|(n, resnet)| Block {
            resnet,
            attention: attention.map(|attention| {
                Attention::new(&(p / format!("attentions.{n}")), channels, config, attention)
            }),
        });
        Self {
            layers: blocks.collect(),
            sampler: sampler.map(|(name, resample)| Block {
                resnet: resnet(name, channels, resample),
                attention: None,
            }),
        }
    }

    /// All blocks in their order.
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.layers.iter().chain(&self.sampler)
    }
}

/// A residual block and the attention behind it, if there is one.
pub(crate) struct Block {
    resnet: ResnetBlock,
    attention: Option<Attention>,
}

impl Block {
    /// `xs`, the input and perhaps a skip, are joined along their channels: `[B, C, H, W] -> [B, C', H', W']`.
    pub(crate) fn forward(&self, xs: &[&Tensor], conditions: &BlockConditions) -> Tensor {
        let x = match xs {
            [x] => self.resnet.forward(x, &conditions.time),
            xs => self.resnet.forward(&Tensor::cat(xs, 1), &conditions.time),
        };
        match (&self.attention, &conditions.context) {
            (Some(attention), Some(context)) => {
                attention.forward(&x, &context.keys_values, context.bias.as_ref())
            }
            _ => x,
        }
    }
}

/// The conditions of every block at one timestep or at several, computed by [`UNet::precompute`].
pub struct StepConditions {
    blocks: Vec<BlockConditions>,
}

impl StepConditions {
    /// The conditions at the `n`-th timestep of a batch of `batch` images, for the last `count` of these.
    pub fn at_step(&self, n: usize, batch: i64, count: i64) -> Self {
        let first = batch - count;
        let at_step = |block: &BlockConditions| BlockConditions {
            time: block.time.narrow(0, n as i64 * batch + first, count),
            context: block
                .context
                .as_ref()
                .map(|context| context.map(|tensor| tensor.narrow(0, first, count))),
        };
        Self { blocks: self.blocks.iter().map(at_step).collect() }
    }

    /// All tensors: the projections of the timesteps, `[B, ..]` in one, then with conditions the keys and values of each
    /// attention and, where there is a mask, the bias that hides padding. All have the batch as their first axis.
    pub fn tensors(&self) -> Vec<Tensor> {
        let times: Vec<&Tensor> = self.blocks.iter().map(|block| &block.time).collect();
        let mut tensors = vec![Tensor::cat(&times, 1)];
        let contexts = self.blocks.iter().filter_map(|block| block.context.as_ref());
        let keys_values = contexts.clone().flat_map(|context| &context.keys_values);
        let bias = contexts.take(1).filter_map(|context| context.bias.as_ref());
        tensors.extend(keys_values.chain(bias).map(Tensor::shallow_clone));
        tensors
    }

    /// These conditions over other `tensors`, in the order and the shapes of [`StepConditions::tensors`].
    pub fn with_tensors(&self, tensors: &[Tensor]) -> Self {
        let widths: Vec<i64> = self.blocks.iter().map(|block| block.time.size()[1]).collect();
        let times = tensors[0].split_with_sizes(widths, 1);
        let bias = tensors.last();
        let mut pairs = tensors[1..].chunks_exact(2);
        let block = |(block, time): (&BlockConditions, Tensor)| BlockConditions {
            time,
            context: block.context.as_ref().map(|context| {
                let pair = pairs.next().expect("keys and values of each attention");
                Context {
                    keys_values: [pair[0].shallow_clone(), pair[1].shallow_clone()],
                    bias: bias.filter(|_| context.bias.is_some()).map(Tensor::shallow_clone),
                }
            }),
        };
        Self { blocks: self.blocks.iter().zip(times).map(block).collect() }
    }
}

/// The conditions of one block.
pub(crate) struct BlockConditions {
    time: Tensor, // [N, channels or twice as many]
    context: Option<Context>,
}

impl BlockConditions {
    /// The same with `f` of each tensor.
    pub(crate) fn map(&self, mut f: impl FnMut(&Tensor) -> Tensor) -> Self {
        let time = f(&self.time);
        Self { time, context: self.context.as_ref().map(|context| context.map(f)) }
    }
}

/// The context as an attention takes it.
struct Context {
    keys_values: [Tensor; 2], // [B, S, C] each
    bias: Option<Tensor>,     // [B, 1, 1, S]
}

impl Context {
    fn map(&self, mut f: impl FnMut(&Tensor) -> Tensor) -> Self {
        Self {
            keys_values: self.keys_values.each_ref().map(&mut f),
            bias: self.bias.as_ref().map(f),
        }
    }
}

/// The bias of the scores that hides the context's padding: `[B, S] -> [B, 1, 1, S]`.
fn padding_bias(mask: &Tensor, kind: Kind) -> Tensor {
    (mask.logical_not().to_kind(kind) * MASKED).unsqueeze(1).unsqueeze(1)
}
