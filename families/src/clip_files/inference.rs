//! The shape of a CLIP by OpenAI's names, read off its tensors as OpenAI's `build_model` does.

use clip::resnet::PIXELS_PER_POSITION;
use clip::text::LEGACY_EOS;
use clip::{ImageEncoderConfig, ModifiedResNetConfig, TextConfig, VisionConfig};
use layers::Activation;
use weights::Checkpoint;

use super::open_clip::OPEN_CLIP_CONFIG;
use crate::{ConfigError, configs};

/// The width of a head in every one of OpenAI's models.
const HEAD_WIDTH: i64 = 64;

/// A tensor of every image tower in this layout, of either kind.
pub(crate) const FIRST_CONVOLUTION: &str = "visual.conv1.weight";
/// One of every vision transformer.
const CLASS_EMBEDDING: &str = "visual.class_embedding";
/// Two of every ResNet.
const FIRST_BOTTLENECK: &str = "visual.layer1.0.conv1.weight";
const POOL_POSITIONS: &str = "visual.attnpool.positional_embedding";

/// The prefix of all names in the checkpoints of a trainer on several devices, and that of the text tower in models whose text
/// tower is one of several kinds.
const TRAINER: &str = "module.";
const TEXT: &str = "text.";

/// Buffers, which say nothing that the tensors do not, and the counts of batches of training.
const IGNORED: [&str; 4] = ["attn_mask", "input_resolution", "context_length", "vocab_size"];
const BATCHES: &str = ".num_batches_tracked";

/// The checkpoint by OpenAI's names, without what goes before them and without buffers.
pub(crate) fn without_prefix(checkpoint: Checkpoint) -> Checkpoint {
    let checkpoint = checkpoint.strip_prefix(TRAINER).strip_prefix(TEXT);
    checkpoint.ignore(&IGNORED).ignore_suffixes(&[BATCHES])
}

/// Refuses a checkpoint of open_clip's, whose tensors say neither the width of a head nor the activation.
pub(crate) fn check_publisher(checkpoint: &Checkpoint) -> Result<(), ConfigError> {
    let prefixes = [TRAINER, TEXT].into_iter();
    let prefix =
        prefixes.into_iter().find(|prefix| checkpoint.names().any(|name| name.starts_with(prefix)));
    match prefix {
        None => Ok(()),
        Some(prefix) => Err(ConfigError::Relation(format!(
            "names of its tensors begin with {prefix}, as open_clip's do, and {OPEN_CLIP_CONFIG} beside it must say its activation"
        ))),
    }
}

/// The shape of the text tower.
pub(crate) fn text_config(checkpoint: &Checkpoint) -> Result<TextConfig, ConfigError> {
    let [vocab_size, width] = shape(checkpoint, "token_embedding.weight")?;
    let [context_length, _] = shape(checkpoint, "positional_embedding")?;
    let [_, embedding] = shape(checkpoint, "text_projection")?;
    let transformer = "transformer.resblocks";
    let config = TextConfig {
        vocab_size,
        context_length,
        width,
        layers: count(checkpoint, |n| format!("{transformer}.{n}.ln_1.weight")),
        heads: heads(width)?,
        intermediate: intermediate(checkpoint, transformer)?,
        embedding,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: LEGACY_EOS,
    };
    configs::check_text(&config)?;
    Ok(config)
}

/// The shape of the image tower.
pub(crate) fn image_config(checkpoint: &Checkpoint) -> Result<ImageEncoderConfig, ConfigError> {
    match checkpoint.shape(FIRST_BOTTLENECK) {
        Some(_) => resnet_config(checkpoint).map(ImageEncoderConfig::ResNet),
        None => vision_config(checkpoint).map(ImageEncoderConfig::VisionTransformer),
    }
}

fn vision_config(checkpoint: &Checkpoint) -> Result<VisionConfig, ConfigError> {
    if checkpoint.shape(CLASS_EMBEDDING).is_none() {
        return Err(ConfigError::Relation(format!(
            "it has neither {CLASS_EMBEDDING} of CLIP's vision transformers nor {FIRST_BOTTLENECK} of its ResNets"
        )));
    }
    let [width, _, patch_size, _] = shape(checkpoint, FIRST_CONVOLUTION)?;
    let [positions, _] = shape(checkpoint, "visual.positional_embedding")?;
    let [_, embedding] = shape(checkpoint, "visual.proj")?;
    let transformer = "visual.transformer.resblocks";
    let config = VisionConfig {
        image_size: grid(positions)?.saturating_mul(patch_size),
        patch_size,
        width,
        layers: count(checkpoint, |n| format!("{transformer}.{n}.ln_1.weight")),
        heads: heads(width)?,
        intermediate: intermediate(checkpoint, transformer)?,
        embedding,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
    };
    configs::check_vision(&config)?;
    Ok(config)
}

fn resnet_config(checkpoint: &Checkpoint) -> Result<ModifiedResNetConfig, ConfigError> {
    let [width, _, _, _] = shape(checkpoint, FIRST_BOTTLENECK)?;
    let [positions, _] = shape(checkpoint, POOL_POSITIONS)?;
    let [embedding, _] = shape(checkpoint, "visual.attnpool.c_proj.weight")?;
    let layers = [1, 2, 3, 4]
        .map(|level| count(checkpoint, |n| format!("visual.layer{level}.{n}.conv1.weight")));
    let mut config = ModifiedResNetConfig {
        image_size: grid(positions)?.saturating_mul(PIXELS_PER_POSITION),
        layers,
        width,
        heads: 1,
        embedding,
    };
    config.heads = heads(config.features())?;
    check_resnet(&config)?;
    Ok(config)
}

/// Refuses a ResNet that cannot be made.
pub(crate) fn check_resnet(config: &ModifiedResNetConfig) -> Result<(), ConfigError> {
    const MOST: i64 = 1 << 16;
    let ModifiedResNetConfig { image_size, layers, width, heads, embedding } = config;
    let sizes = [("image_size", image_size), ("width", width), ("embed_dim", embedding)];
    let mut numbers = sizes.into_iter().chain(layers.iter().map(|layers| ("layers", layers)));
    if let Some((name, number)) = numbers.find(|(_, number)| !(1..=MOST).contains(*number)) {
        return Err(ConfigError::Relation(format!(
            "its ResNet's {name} is {number}, and must lie between 1 and {MOST}"
        )));
    }
    let features = config.features();
    for (what, number, divisor) in [
        ("image_size", *image_size, PIXELS_PER_POSITION),
        ("width", *width, 2),
        ("features", features, *heads.max(&1)),
    ] {
        if number % divisor != 0 {
            return Err(ConfigError::Relation(format!(
                "its ResNet's {what} {number} is not a multiple of {divisor}"
            )));
        }
    }
    Ok(())
}

/// The patches on a side, of which there are as many as positions but for the first.
fn grid(positions: i64) -> Result<i64, ConfigError> {
    let side = (positions - 1).max(0).isqrt();
    match side > 0 && side * side == positions - 1 {
        true => Ok(side),
        false => Err(ConfigError::Relation(format!(
            "its {positions} positions are not those of a square of patches and of a class"
        ))),
    }
}

fn heads(width: i64) -> Result<i64, ConfigError> {
    match width > 0 && width % HEAD_WIDTH == 0 {
        true => Ok(width / HEAD_WIDTH),
        false => Err(ConfigError::Relation(format!(
            "its width {width} is not a multiple of {HEAD_WIDTH}, the width of a head in OpenAI's models"
        ))),
    }
}

fn intermediate(checkpoint: &Checkpoint, transformer: &str) -> Result<i64, ConfigError> {
    let [width, _] = shape(checkpoint, &format!("{transformer}.0.mlp.c_fc.weight"))?;
    Ok(width)
}

/// How many of the numbered tensors there are, from 0 on.
fn count(checkpoint: &Checkpoint, name: impl Fn(i64) -> String) -> i64 {
    (0..).take_while(|n| checkpoint.shape(&name(*n)).is_some()).count() as i64
}

/// The shape of a tensor that must be there with `N` dimensions.
fn shape<const N: usize>(checkpoint: &Checkpoint, name: &str) -> Result<[i64; N], ConfigError> {
    let problem = match checkpoint.shape(name).map(<[i64; N]>::try_from) {
        Some(Ok(shape)) => return Ok(shape),
        Some(Err(_)) => format!(
            "its tensor {name} is {:?}, and has {N} dimensions in CLIP",
            checkpoint.shape(name).unwrap_or_default()
        ),
        None => format!("it has no tensor {name}"),
    };
    Err(ConfigError::Relation(problem))
}
