//! The shapes of published networks, read off their tensors.

use clip::{NoisedImageConfig, NoisedTextConfig};
use decoder::{TextTransformerConfig, UNetConfig};
use weights::Checkpoint;

use super::options::{OPTIONS, UNetOptions};
use super::release::UNetFile;
use crate::guided_diffusion::{FIRST_CONVOLUTION, HEAD_WIDTH, count, shape, unet_config};
use crate::{ConfigError, configs};

/// A tensor of each kind of file of the noised CLIP's, by which a file is recognised.
pub(crate) const FIRST_TEXT_BLOCK: &str = "blocks.input.w_voc";
pub(crate) const FIRST_IMAGE_BLOCK: &str = "blocks.input.patch_proj";

/// The shape of the text transformer in a U-Net's file.
pub(crate) fn text_transformer(
    checkpoint: &Checkpoint,
    file: UNetFile,
    options: UNetOptions,
) -> Result<TextTransformerConfig, ConfigError> {
    check_in_channels(checkpoint, file)?;
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
pub(crate) fn unet(
    checkpoint: &Checkpoint,
    file: UNetFile,
    options: UNetOptions,
) -> Result<UNetConfig, ConfigError> {
    check_in_channels(checkpoint, file)?;
    let config = unet_config(
        checkpoint,
        options.image_size.unwrap_or_else(|| file.image_size()),
        options.num_head_channels.unwrap_or(HEAD_WIDTH),
    )?;
    match config.attention {
        Some(_) => Ok(config),
        None => Err(ConfigError::Relation("it has no attention in its middle".to_owned())),
    }
}

/// Refuses a U-Net whose input has the channels of another file's.
fn check_in_channels(checkpoint: &Checkpoint, file: UNetFile) -> Result<(), ConfigError> {
    let [_, found, _, _] = shape(checkpoint, FIRST_CONVOLUTION)?;
    let expected = file.in_channels();
    if found == expected {
        return Ok(());
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
