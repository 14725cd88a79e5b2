//! OpenAI's guided-diffusion U-Net, of which GLIDE's networks and Karlo's are made: its shape, read off the tensors, and its
//! names of them, where diffusers' are ours.

use decoder::{AttentionConfig, UNetConfig};
use weights::{Checkpoint, Operation, Packing, Rule, listed};

use crate::{ConfigError, configs};

/// Channels of a head, unless options say otherwise.
pub(crate) const HEAD_WIDTH: i64 = 64;

/// The tensor by which a U-Net is recognised.
pub(crate) const FIRST_CONVOLUTION: &str = "input_blocks.0.0.weight";

/// The beginnings of the names of its tensors.
pub(crate) const UNET: &[&str] =
    &["time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "out."];

/// The checkpoint by the published names, of which `first` is one: without the prefix that trainers put before all names.
pub(crate) fn without_prefix(
    checkpoint: Checkpoint,
    first: &str,
) -> Result<Checkpoint, ConfigError> {
    if checkpoint.shape(first).is_some() {
        return Ok(checkpoint);
    }
    let mut names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
    names.sort_unstable();
    let prefix = |name: &String| {
        let prefix = name.strip_suffix(first)?;
        prefix.ends_with('.').then(|| prefix.to_owned())
    };
    let prefixes: Vec<String> = names.iter().filter_map(prefix).collect();
    let problem = match &prefixes[..] {
        [] => format!("it has no tensor {first}, only {}", listed(&names)),
        [prefix] => match names.iter().find(|name| !name.starts_with(prefix)) {
            None => return Ok(checkpoint.strip_prefix(prefix)),
            Some(other) => format!(
                "the names of some tensors begin with {prefix}, and {} does not: the tensors of one network must be \
                 saved by themselves",
                listed(std::slice::from_ref(other))
            ),
        },
        several => format!(
            "the names of its tensors begin with {}: the tensors of one network must be saved by themselves",
            listed(several)
        ),
    };
    Err(ConfigError::Relation(problem))
}

/// The shape of the U-Net in a file.
///
/// Blocks are counted through all levels. There are as many on the way up as on the way down with the downsamplers, and one of
/// a level's, the last, has the upsampler: so the upsamplers count the levels.
pub(crate) fn unet_config(
    checkpoint: &Checkpoint,
    sample_size: i64,
    head_width: i64,
) -> Result<UNetConfig, ConfigError> {
    let [_, in_channels, _, _] = shape(checkpoint, FIRST_CONVOLUTION)?;
    let [out_channels, _, _, _] = shape(checkpoint, "out.2.weight")?;
    let blocks = count(checkpoint, |n| format!("output_blocks.{n}.0.in_layers.0.weight"));
    let has = |name: String| checkpoint.shape(&name).is_some();
    let upsampler = |n: &i64| {
        [1, 2].iter().any(|place| has(format!("output_blocks.{n}.{place}.in_layers.0.weight")))
    };
    let levels = 1 + (0..blocks).filter(upsampler).count() as i64;
    let layers_per_block = blocks / levels - 1;
    if layers_per_block < 1 || blocks % levels != 0 {
        return Err(ConfigError::Relation(format!(
            "its {blocks} output_blocks are not as many on each of {levels} levels, and two at least"
        )));
    }
    let first = |level: i64| format!("input_blocks.{}", 1 + level * (layers_per_block + 1));
    let channels = (0..levels).map(|level| {
        let [channels, _, _, _] =
            shape(checkpoint, &format!("{}.0.out_layers.3.weight", first(level)))?;
        Ok(channels)
    });
    let attends = |level: &i64| has(format!("{}.1.qkv.weight", first(*level)));
    let attention = match has("middle_block.1.qkv.weight".to_owned()) {
        false => None,
        true => {
            let [_, context_width, _] = shape(checkpoint, "middle_block.1.encoder_kv.weight")?;
            let finest_level = (0..levels).find(attends).unwrap_or(levels) as usize;
            Some(AttentionConfig { head_width, context_width, finest_level })
        }
    };
    let block_out_channels = channels.collect::<Result<Vec<_>, ConfigError>>()?;
    let [time_outputs, _] = shape(checkpoint, "input_blocks.1.0.emb_layers.1.weight")?;
    let config = UNetConfig {
        sample_size,
        in_channels,
        out_channels,
        layers_per_block,
        attention,
        // Without, the time embedding is added, and needs as many numbers as there are channels.
        scale_shift: time_outputs != block_out_channels[0],
        block_out_channels,
        norm_groups: 32,
        norm_eps: 1e-5,
    };
    configs::check_unet(&config)?;
    Ok(config)
}

/// The tensors (guided-diffusion's `unet.py`, with the context's keys and values). Blocks are counted through all levels there,
/// so the rules are those of one shape.
pub(crate) fn unet_rules(config: &UNetConfig) -> Vec<Rule> {
    let mut rules = renames(
        "",
        "",
        &[
            ("time_embedding.linear_1.*", "time_embed.0.*"),
            ("time_embedding.linear_2.*", "time_embed.2.*"),
            ("conv_in.*", "input_blocks.0.0.*"),
            ("conv_norm_out.*", "out.0.*"),
            ("conv_out.*", "out.2.*"),
        ],
    );
    let head_width = config.attention.as_ref().map_or(1, |attention| attention.head_width);
    let layer = |level: &str, n: i64, block: &str| {
        let mut rules = resnet(&format!("{level}.resnets.{n}"), &format!("{block}.0"));
        let attention = format!("{level}.attentions.{n}");
        rules.extend(self::attention(&attention, &format!("{block}.1"), head_width));
        rules
    };
    let (levels, layers) = (config.block_out_channels.len(), config.layers_per_block);
    let mut block = 0;
    let mut next = || {
        block += 1;
        format!("input_blocks.{block}")
    };
    for level in 0..levels {
        let name = format!("down_blocks.{level}");
        for n in 0..layers {
            rules.extend(layer(&name, n, &next()));
        }
        if level + 1 < levels {
            rules.extend(resnet(&format!("{name}.downsamplers.0"), &format!("{}.0", next())));
        }
    }
    rules.extend(layer("mid_block", 0, "middle_block"));
    let last = if config.attention.is_some() { 2 } else { 1 };
    rules.extend(resnet("mid_block.resnets.1", &format!("middle_block.{last}")));
    for level in (0..levels).rev() {
        let up = (levels - 1 - level) as i64;
        let name = format!("up_blocks.{up}");
        let block = |n| format!("output_blocks.{}", up * (layers + 1) + n);
        for n in 0..=layers {
            rules.extend(layer(&name, n, &block(n)));
        }
        // The last block of a level ends with the upsampler, behind its attention where it has one.
        let place = if config.attention_at(level).is_some() { 2 } else { 1 };
        let theirs = format!("{}.{place}", block(layers));
        rules.extend(resnet(&format!("{name}.upsamplers.0"), &theirs));
    }
    rules
}

fn resnet(ours: &str, theirs: &str) -> Vec<Rule> {
    renames(
        &format!("{ours}."),
        &format!("{theirs}."),
        &[
            ("norm1.*", "in_layers.0.*"),
            ("conv1.*", "in_layers.2.*"),
            ("time_emb_proj.*", "emb_layers.1.*"),
            ("norm2.*", "out_layers.0.*"),
            ("conv2.*", "out_layers.3.*"),
            ("conv_shortcut.*", "skip_connection.*"),
        ],
    )
}

/// An attention's tensors; its linear maps are convolutions over single positions there.
fn attention(ours: &str, theirs: &str, head_width: i64) -> Vec<Rule> {
    let modules = |leaves: &[&str]| -> Vec<String> {
        leaves.iter().map(|leaf| format!("{ours}.{leaf}")).collect()
    };
    let pixels = modules(&["to_q", "to_k", "to_v"]);
    let context = modules(&["add_k_proj", "add_v_proj"]);
    let mut rules = unpack(&pixels, &format!("{theirs}.qkv"), head_width, true);
    rules.extend(unpack(&context, &format!("{theirs}.encoder_kv"), head_width, true));
    rules.extend([
        Rule::rename(format!("{ours}.group_norm.*"), format!("{theirs}.norm.*")),
        Rule::rename(format!("{ours}.to_out.0.weight"), format!("{theirs}.proj_out.weight"))
            .then(Operation::Squeeze),
        Rule::rename(format!("{ours}.to_out.0.bias"), format!("{theirs}.proj_out.bias")),
    ]);
    rules
}

/// Tensors that differ in their names alone, by pairs of ours and theirs, below a module.
pub(crate) fn renames(ours: &str, theirs: &str, pairs: &[(&str, &str)]) -> Vec<Rule> {
    let rule = |(our, their): &(&str, &str)| {
        Rule::rename(format!("{ours}{our}"), format!("{theirs}{their}"))
    };
    pairs.iter().map(rule).collect()
}

/// Linear maps of ours whose weights and biases are packed head by head in one of theirs.
pub(crate) fn unpack(ours: &[String], theirs: &str, head_width: i64, squeeze: bool) -> Vec<Rule> {
    let packing = Packing::PerHead { head_width };
    let names = |leaf: &str| -> Vec<String> {
        ours.iter().map(|module| format!("{module}.{leaf}")).collect()
    };
    let weights = Rule::unpack(&names("weight"), &format!("{theirs}.weight"), packing);
    let weights = weights.into_iter().map(|rule| match squeeze {
        true => rule.then(Operation::Squeeze),
        false => rule,
    });
    weights.chain(Rule::unpack(&names("bias"), &format!("{theirs}.bias"), packing)).collect()
}

/// How many of the numbered tensors there are, from 0 on.
pub(crate) fn count(checkpoint: &Checkpoint, name: impl Fn(i64) -> String) -> i64 {
    (0..).take_while(|n| checkpoint.shape(&name(*n)).is_some()).count() as i64
}

/// The shape of a tensor that must be there with `N` dimensions.
pub(crate) fn shape<const N: usize>(
    checkpoint: &Checkpoint,
    name: &str,
) -> Result<[i64; N], ConfigError> {
    let problem = match checkpoint.shape(name).map(<[i64; N]>::try_from) {
        Some(Ok(shape)) => return Ok(shape),
        Some(Err(_)) => format!(
            "its tensor {name} is {:?}, and must have {N} dimensions",
            checkpoint.shape(name).unwrap_or_default()
        ),
        None => format!("it has no tensor {name}"),
    };
    Err(ConfigError::Relation(problem))
}
