//! The U-Net that denoises a picture, with conditions (the decoder) or without (an upsampler).

use layers::{Conv2d, GroupNorm, Init, Params, TimestepEmbedding};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::attention::Attention;
use crate::conditioning::Conditions;
use crate::recompute::{Pass, Recomputed, Straight};
use crate::resnet::{Resample, ResnetBlock};

/// What a score gains where a token of the context is padding; a finite number, as published.
const MASKED: f64 = -10000.0;

/// The shape of a U-Net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Pixels on a side of the pictures it was trained on.
    pub sample_size: i64,
    /// Channels of the input: the noised picture's, and an upsampler's small picture's.
    pub in_channels: i64,
    /// Channels of the output: the noise's, and where variance is learned its share's.
    pub out_channels: i64,
    /// Channels of each level, the finest first; every level has half the resolution of the one before.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks a level on the way down; the way up has one more.
    pub layers_per_block: i64,
    /// Attention on every level but the finest; none in an upsampler.
    pub attention: Option<AttentionConfig>,
    /// Whether the time embedding scales and shifts the normalised features, or is added before the norm.
    pub scale_shift: bool,
    /// Groups of every group norm.
    pub norm_groups: i64,
    /// Epsilon of the group norms outside attention.
    pub norm_eps: f64,
}

/// The shape of a U-Net's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionConfig {
    /// Channels of each head.
    pub head_width: i64,
    /// Width X of the context's tokens.
    pub context_width: i64,
}

impl UNetConfig {
    /// Width of the time embedding.
    pub fn time_width(&self) -> i64 {
        4 * self.block_out_channels[0]
    }

    /// Input channels of each residual block of a level on the way down.
    pub fn down_inputs(&self, level: usize) -> Vec<i64> {
        let channels = &self.block_out_channels;
        let mut inputs = vec![channels[level]; self.layers_per_block as usize];
        inputs[0] = channels[level.saturating_sub(1)];
        inputs
    }

    /// Input channels of each residual block of a level on the way up: the stream's and the skip's. The stream comes
    /// from the coarser level at first; the last skip is what the finer level handed down.
    pub fn up_inputs(&self, level: usize) -> Vec<i64> {
        let channels = &self.block_out_channels;
        let own = channels[level];
        let blocks = self.layers_per_block as usize;
        let mut inputs = vec![2 * own; blocks + 1];
        inputs[0] += channels[(level + 1).min(channels.len() - 1)] - own;
        inputs[blocks] += channels[level.saturating_sub(1)] - own;
        inputs
    }
}

/// The U-Net of guided-diffusion (tensors named as in the published Karlo).
pub struct UNet {
    conv_in: Conv2d,
    time: TimestepEmbedding,
    down: Vec<Level>,
    middle: Level,
    middle_last: ResnetBlock,
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    config: UNetConfig,
}

impl UNet {
    /// Takes the whole of a U-Net's file.
    pub fn new(p: &Params, config: &UNetConfig) -> Self {
        let channels = &config.block_out_channels;
        let (finest, coarsest) = (channels[0], channels[channels.len() - 1]);
        let coarsest_level = channels.len() - 1;
        let attends = |level: usize| config.attention.as_ref().filter(|_| level > 0);

        let down = (0..channels.len()).map(|level| {
            let sampler = (level < coarsest_level).then_some(("downsamplers", Resample::Halve));
            let name = p / format!("down_blocks.{level}");
            Level::new(
                &name,
                &config.down_inputs(level),
                channels[level],
                config,
                attends(level),
                sampler,
            )
        });

        let up = (0..channels.len()).rev().map(|level| {
            let sampler = (level > 0).then_some(("upsamplers", Resample::Double));
            let name = p / format!("up_blocks.{}", coarsest_level - level);
            Level::new(
                &name,
                &config.up_inputs(level),
                channels[level],
                config,
                attends(level),
                sampler,
            )
        });

        let middle = p / "mid_block";
        Self {
            conv_in: Conv2d::new(&(p / "conv_in"), config.in_channels, finest, 3),
            time: TimestepEmbedding::new(&(p / "time_embedding"), finest, config.time_width()),
            down: down.collect(),
            middle: Level::new(
                &middle,
                &[coarsest],
                coarsest,
                config,
                config.attention.as_ref(),
                None,
            ),
            middle_last: ResnetBlock::new(
                &(&middle / "resnets.1"),
                coarsest,
                coarsest,
                config,
                Resample::Keep,
            ),
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

    /// What the network takes of `timesteps [N]`, and of `conditions` with the mask `[B, S]` of their context (bool, true at
    /// real tokens), without which no network with attention can do; in `kind`. `N` is a multiple of `B`: several
    /// timesteps of a batch, one after the other, are taken apart by [`Told::step`].
    pub fn tell(
        &self,
        timesteps: &Tensor,
        conditions: Option<(&Conditions, &Tensor)>,
        kind: Kind,
    ) -> Told {
        let time = self.time.forward(timesteps, kind);
        let time = match conditions {
            Some((conditions, _)) => {
                let steps = time.size()[0] / conditions.added.size()[0];
                time + conditions.added.repeat([steps, 1])
            }
            None => time,
        };
        let time = time.silu(); // [N, time width]; every residual block begins with the activation
        let context = |(conditions, mask): (&Conditions, &Tensor)| {
            let blocks = self.levels().flat_map(|level| &level.attentions);
            Context {
                tokens: blocks.map(|block| block.tell(&conditions.context)).collect(),
                bias: padding_bias(mask, kind),
            }
        };
        Told {
            times: self.resnets().map(|block| block.tell(&time)).collect(),
            context: conditions.map(context),
        }
    }

    /// `x [B, in, H, W]` and what was told of its timesteps and conditions `-> [B, out, H, W]`, with `H` and `W` multiples
    /// of `2^(levels - 1)`.
    pub fn denoise(&self, x: &Tensor, told: &Told) -> Tensor {
        self.pass(x, told, &mut Straight)
    }

    /// [`UNet::tell`] and [`UNet::denoise`] together: `x [B, in, H, W]` at `timesteps [B]` `-> [B, out, H, W]`.
    pub fn forward(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        conditions: Option<(&Conditions, &Tensor)>,
    ) -> Tensor {
        self.denoise(x, &self.tell(timesteps, conditions, x.kind()))
    }

    /// As [`UNet::forward`], to train. With `checkpointing`, only the outputs of its blocks are kept: a loss's own backward pass then ends at the network's
    /// output, and [`Recomputed::backward`] goes on from there; without, that does nothing.
    pub fn forward_training(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        conditions: Option<(&Conditions, &Tensor)>,
        checkpointing: bool,
    ) -> (Tensor, Recomputed<'_>) {
        let mut recomputed = Recomputed::default();
        let told = self.tell(timesteps, conditions, x.kind());
        let output = match checkpointing {
            true => self.pass(x, &told.entered(&mut recomputed), &mut recomputed),
            false => self.denoise(x, &told),
        };
        (output, recomputed)
    }

    fn pass<'a>(&'a self, x: &Tensor, told: &Told, pass: &mut impl Pass<'a>) -> Tensor {
        let mut times = told.times.iter();
        let mut time = || times.next().expect("one time for each residual block");
        let mut tokens = told.context.iter().flat_map(|context| &context.tokens);
        let bias = told.context.as_ref().map(|context| &context.bias);
        let mut context = |level: &Level| {
            let tokens = (!level.attentions.is_empty()).then(|| tokens.next())?;
            Some((tokens.expect("tokens for each attention"), bias?))
        };

        let conv_in = |inputs: &[Tensor]| self.conv_in.forward(&inputs[0]);
        let mut x = pass.run(vec![x.shallow_clone()], conv_in);
        let mut skips = vec![x.shallow_clone()];
        for level in &self.down {
            for n in 0..level.resnets.len() {
                x = level.layer(n, &[&x], time(), context(level), pass);
                skips.push(x.shallow_clone());
            }
            if let Some(sampler) = &level.sampler {
                x = resnet(sampler, &x, time(), pass);
                skips.push(x.shallow_clone());
            }
        }

        x = self.middle.layer(0, &[&x], time(), context(&self.middle), pass);
        x = resnet(&self.middle_last, &x, time(), pass);

        for level in &self.up {
            for n in 0..level.resnets.len() {
                let skip = skips.pop().expect("one skip for each block on the way up");
                x = level.layer(n, &[&x, &skip], time(), context(level), pass);
            }
            if let Some(sampler) = &level.sampler {
                x = resnet(sampler, &x, time(), pass);
            }
        }
        pass.run(vec![x], |inputs| {
            let x = self.norm_out.forward(&inputs[0]).silu();
            self.conv_out.forward(&x) // [B, out, H, W]
        })
    }

    /// The levels in the order of their blocks.
    fn levels(&self) -> impl Iterator<Item = &Level> {
        self.down.iter().chain([&self.middle]).chain(&self.up)
    }

    /// The residual blocks in their order.
    fn resnets(&self) -> impl Iterator<Item = &ResnetBlock> {
        let down = self.down.iter().flat_map(Level::resnets);
        let middle = self.middle.resnets().chain([&self.middle_last]);
        down.chain(middle).chain(self.up.iter().flat_map(Level::resnets))
    }
}

/// What a network takes of timesteps and conditions: all that it computes without a picture.
pub struct Told {
    /// Each residual block's, `[N, channels or twice as many]`.
    times: Vec<Tensor>,
    context: Option<Context>,
}

/// The conditions' tokens.
struct Context {
    /// Each attention's keys and values of them, `[B, S, C]`.
    tokens: Vec<[Tensor; 2]>,
    bias: Tensor, // [B, 1, 1, S]
}

impl Told {
    /// What was told of the `n`-th timestep of a batch of `batch` pictures, for the last `count` of these.
    pub fn step(&self, n: usize, batch: i64, count: i64) -> Self {
        let skipped = batch - count;
        let last = |tensor: &Tensor| tensor.narrow(0, skipped, count);
        let of_step = |time: &Tensor| time.narrow(0, n as i64 * batch + skipped, count);
        Self {
            times: self.times.iter().map(of_step).collect(),
            context: self.context.as_ref().map(|Context { tokens, bias }| Context {
                tokens: tokens.iter().map(|pair| pair.each_ref().map(last)).collect(),
                bias: last(bias),
            }),
        }
    }

    /// All of it: what was told of the timesteps, `[B, ..]`, and with conditions the keys and values of each attention, and
    /// the bias of their padding.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut tensors = vec![Tensor::cat(&self.times, 1)];
        if let Some(Context { tokens, bias }) = &self.context {
            tensors.extend(tokens.iter().flatten().map(Tensor::shallow_clone));
            tensors.push(bias.shallow_clone());
        }
        tensors
    }

    /// The same, told of others: `tensors` in the order and the shapes of [`Told::tensors`].
    pub fn over(&self, tensors: &[Tensor]) -> Self {
        let widths: Vec<i64> = self.times.iter().map(|time| time.size()[1]).collect();
        let context = self.context.as_ref().map(|_| {
            let (bias, tokens) = tensors[1..].split_last().expect("a bias comes last");
            let pair = |pair: &[Tensor]| [pair[0].shallow_clone(), pair[1].shallow_clone()];
            Context {
                tokens: tokens.chunks_exact(2).map(pair).collect(),
                bias: bias.shallow_clone(),
            }
        });
        Self { times: tensors[0].split_with_sizes(widths, 1), context }
    }

    /// The same as values that the blocks of a pass share.
    fn entered<'a>(self, pass: &mut impl Pass<'a>) -> Self {
        Self {
            times: self.times.into_iter().map(|time| pass.enter(time)).collect(),
            context: self.context.map(|Context { tokens, bias }| Context {
                tokens: tokens
                    .into_iter()
                    .map(|pair| pair.map(|tensor| pass.enter(tensor)))
                    .collect(),
                bias,
            }),
        }
    }
}

/// What to add to the scores so that no pixel sees the context's padding: `[B, S] -> [B, 1, 1, S]`.
fn padding_bias(mask: &Tensor, kind: Kind) -> Tensor {
    (mask.logical_not().to_kind(kind) * MASKED).unsqueeze(1).unsqueeze(1)
}

/// A residual block as one block of a pass.
fn resnet<'a>(
    block: &'a ResnetBlock,
    x: &Tensor,
    time: &Tensor,
    pass: &mut impl Pass<'a>,
) -> Tensor {
    let inputs = vec![x.shallow_clone(), time.shallow_clone()];
    pass.run(inputs, |inputs| block.forward(&inputs[0], &inputs[1]))
}

/// The blocks of one resolution, on the way down or up.
struct Level {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<Attention>,
    sampler: Option<ResnetBlock>,
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
        let resnet = |name: String, inputs, resample| {
            ResnetBlock::new(&(p / name), inputs, channels, config, resample)
        };
        let blocks = 0..inputs.len();
        Self {
            resnets: blocks
                .clone()
                .map(|n| resnet(format!("resnets.{n}"), inputs[n], Resample::Keep))
                .collect(),
            attentions: attention.map_or_else(Vec::new, |attention| {
                let made = |n| {
                    Attention::new(&(p / format!("attentions.{n}")), channels, config, attention)
                };
                blocks.map(made).collect()
            }),
            sampler: sampler
                .map(|(name, resample)| resnet(format!("{name}.0"), channels, resample)),
        }
    }

    /// The residual blocks in their order.
    fn resnets(&self) -> impl Iterator<Item = &ResnetBlock> {
        self.resnets.iter().chain(&self.sampler)
    }

    /// Residual block `n` and the attention behind it, if there is one, on the stream and the skips in `xs`, which are
    /// joined: `[B, C, H, W] -> [B, C', H, W]`. Attention looks at the context's keys and values, with a bias for their
    /// padding.
    fn layer<'a>(
        &'a self,
        n: usize,
        xs: &[&Tensor],
        time: &Tensor,
        context: Option<(&[Tensor; 2], &Tensor)>,
        pass: &mut impl Pass<'a>,
    ) -> Tensor {
        let resnet = &self.resnets[n];
        let joined = |xs: &[Tensor]| match xs {
            [x] => x.shallow_clone(),
            xs => Tensor::cat(xs, 1),
        };
        let mut inputs = vec![time.shallow_clone()];
        let Some(attention) = self.attentions.get(n) else {
            inputs.extend(xs.iter().map(|x| x.shallow_clone()));
            return pass
                .run(inputs, move |inputs| resnet.forward(&joined(&inputs[1..]), &inputs[0]));
        };
        let (tokens, bias) = context.expect("a network with attention is given conditions");
        inputs.extend(tokens.iter().map(Tensor::shallow_clone));
        inputs.extend(xs.iter().map(|x| x.shallow_clone()));
        let (_, _, height, width) = xs[0].size4().expect("pictures are [B, C, H, W]");
        // The mask of the pixels is as long as they are many.
        let bias = bias.constant_pad_nd([0, height * width]); // [B, 1, 1, S + H W]
        pass.run(inputs, move |inputs| {
            let x = resnet.forward(&joined(&inputs[3..]), &inputs[0]);
            attention.forward(&x, &inputs[1], &inputs[2], &bias)
        })
    }
}
