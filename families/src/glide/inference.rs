//! The shapes of published networks, read off their tensors.

use clip::{NoisedImageConfig, NoisedTextConfig};
use decoder::{AttentionConfig, TextTransformerConfig, UNetConfig};
use weights::{Checkpoint, listed};

use super::options::{OPTIONS, UNetOptions};
use super::release::UNetFile;
use crate::ConfigError;
use crate::configs;

/// Channels of a head, unless the options say otherwise.
const HEAD_WIDTH: i64 = 64;

/// A tensor of each kind of file, by which a file is recognised.
pub(crate) const FIRST_CONVOLUTION: &str = "input_blocks.0.0.weight";
pub(crate) const FIRST_TEXT_BLOCK: &str = "blocks.input.w_voc";
pub(crate) const FIRST_IMAGE_BLOCK: &str = "blocks.input.patch_proj";

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

/// The shape of the text transformer in a U-Net's file.
pub(crate) fn text_transformer(
    checkpoint: &Checkpoint,
    file: UNetFile,
    options: UNetOptions,
) -> Result<TextTransformerConfig, ConfigError> {
    in_channels(checkpoint, file)?;
    let [vocab_size, width] = shape(checkpoint, "token_embedding.weight")?;
    let [context_length, _] = shape(checkpoint, "positional_embedding")?;
    let [time_width, _] = shape(checkpoint, "transformer_proj.weight")?;
    let layer = |n| format!("transformer.resblocks.{n}.ln_1.weight");
    let config = TextTransformerConfig {
        vocab_size,
        context_length,
        width,
        layers: count(checkpoint, layer),
        heads: heads(width, options.xf_heads, "xf_heads")?,
        time_width,
    };
    let json = configs::text_transformer_json(&config);
    configs::text_transformer_config(&configs::bytes(&json))
}

/// The shape of the U-Net in a file.
///
/// Blocks are counted through all levels. There are as many on the way up as on the way down with the downsamplers, and one of
/// a level's, the last, has the upsampler: so the upsamplers count the levels.
pub(crate) fn unet(
    checkpoint: &Checkpoint,
    file: UNetFile,
    options: UNetOptions,
) -> Result<UNetConfig, ConfigError> {
    let in_channels = in_channels(checkpoint, file)?;
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
    let [_, context_width, _] = shape(checkpoint, "middle_block.1.encoder_kv.weight")?;
    let config = UNetConfig {
        sample_size: options.image_size.unwrap_or_else(|| file.image_size()),
        in_channels,
        out_channels,
        block_out_channels: channels.collect::<Result<_, ConfigError>>()?,
        layers_per_block,
        attention: Some(AttentionConfig {
            head_width: options.num_head_channels.unwrap_or(HEAD_WIDTH),
            context_width,
            finest_level: (0..levels).find(attends).unwrap_or(levels) as usize,
        }),
        scale_shift: true,
        norm_groups: 32,
        norm_eps: 1e-5,
    };
    configs::check_unet(&config)?;
    Ok(config)
}

/// The channels of a U-Net's input. An error for those of another file's.
fn in_channels(checkpoint: &Checkpoint, file: UNetFile) -> Result<i64, ConfigError> {
    let [_, found, _, _] = shape(checkpoint, FIRST_CONVOLUTION)?;
    let expected = file.in_channels();
    if found == expected {
        return Ok(found);
    }
    let other = UNetFile::ALL.into_iter().find(|other| other.in_channels() == found);
    let other = other.map_or_else(String::new, |other| {
        let [noun, _] = other.nouns();
        format!(", as {noun} in {} has", other.name())
    });
    Err(ConfigError::Relation(format!(
        "it has {found} input channels{other}, and {expected} belong here"
    )))
}

/// The shape of the noised CLIP's text encoder.
pub(crate) fn noised_text_encoder(
    checkpoint: &Checkpoint,
    option: Option<i64>,
) -> Result<NoisedTextConfig, ConfigError> {
    let [vocab_size, width] = shape(checkpoint, FIRST_TEXT_BLOCK)?;
    let [context_length, _] = shape(checkpoint, "blocks.input.w_pos")?;
    let [embedding, _] = shape(checkpoint, "blocks.output.f.w")?;
    let config = NoisedTextConfig {
        vocab_size,
        context_length,
        width,
        layers: noised_layers(checkpoint),
        heads: heads(width, option, "n_head_text")?,
        embedding,
    };
    configs::noised_text_config(&configs::bytes(&configs::noised_text_json(&config)))
}

/// The shape of the noised CLIP's image encoder.
pub(crate) fn noised_image_encoder(
    checkpoint: &Checkpoint,
    option: Option<i64>,
) -> Result<NoisedImageConfig, ConfigError> {
    let [width, _, patch_size, _] = shape(checkpoint, FIRST_IMAGE_BLOCK)?;
    let [positions, _] = shape(checkpoint, "blocks.input.w_pos")?;
    let [timesteps, _] = shape(checkpoint, "blocks.input.w_t")?;
    let [embedding, _] = shape(checkpoint, "blocks.output.f.w")?;
    // The first position is the timestep's.
    let side = (positions - 1).max(0).isqrt();
    if side * side != positions - 1 {
        return Err(ConfigError::Relation(format!(
            "its {positions} positions are not those of a square of patches and of a timestep"
        )));
    }
    let config = NoisedImageConfig {
        image_size: side.saturating_mul(patch_size),
        patch_size,
        width,
        layers: noised_layers(checkpoint),
        heads: heads(width, option, "n_head_image")?,
        embedding,
        timesteps,
    };
    configs::noised_image_config(&configs::bytes(&configs::noised_image_json(&config)))
}

fn noised_layers(checkpoint: &Checkpoint) -> i64 {
    count(checkpoint, |n| format!("blocks.block_{n}.f_attn.ln.g"))
}

/// How many of the numbered tensors there are, from 0 on.
fn count(checkpoint: &Checkpoint, name: impl Fn(i64) -> String) -> i64 {
    (0..).take_while(|n| checkpoint.shape(&name(*n)).is_some()).count() as i64
}

/// The heads of a transformer's layers, which no tensor tells apart.
fn heads(width: i64, option: Option<i64>, name: &str) -> Result<i64, ConfigError> {
    match option {
        Some(heads) => Ok(heads),
        None if width % HEAD_WIDTH == 0 => Ok(width / HEAD_WIDTH),
        None => Err(ConfigError::Relation(format!(
            "its width {width} is not a multiple of {HEAD_WIDTH}, a head's: how many heads there are, {OPTIONS} beside it \
             must say as {name}"
        ))),
    }
}

/// The shape of a tensor that must be there with `N` dimensions.
fn shape<const N: usize>(checkpoint: &Checkpoint, name: &str) -> Result<[i64; N], ConfigError> {
    let problem = match checkpoint.shape(name).map(<[i64; N]>::try_from) {
        Some(Ok(shape)) => return Ok(shape),
        Some(Err(_)) => format!(
            "its tensor {name} is {:?}, and has {N} dimensions in GLIDE",
            checkpoint.shape(name).unwrap_or_default()
        ),
        None => format!("it has no tensor {name}"),
    };
    Err(ConfigError::Relation(problem))
}
