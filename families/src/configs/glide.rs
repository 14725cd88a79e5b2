//! Configurations of GLIDE's text transformer and of its noised CLIP, in our own classes: no library has them.

use clip::{NoisedImageConfig, NoisedTextConfig};
use decoder::TextTransformerConfig;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields, divides};

const TEXT_TRANSFORMER: &str = "GlideTextTransformer";
const NOISED_TEXT: &str = "NoisedClipTextModel";
const NOISED_IMAGE: &str = "NoisedClipVisionModel";

/// Translates a text transformer's `config.json`.
pub(crate) fn text_transformer_config(bytes: &[u8]) -> Result<TextTransformerConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(TEXT_TRANSFORMER)?;
    let config = TextTransformerConfig {
        vocab_size: fields.size("vocab_size", None)?,
        context_length: fields.size("max_position_embeddings", None)?,
        width: fields.size("hidden_size", None)?,
        layers: fields.required_count("num_hidden_layers")?,
        heads: fields.required_count("num_attention_heads")?,
        time_width: fields.size("time_embed_dim", None)?,
    };
    fields.finish()?;
    divides(("num_attention_heads", config.heads), ("hidden_size", config.width))?;
    Ok(config)
}

/// The `config.json` that [`text_transformer_config`] reads as `config`.
pub(crate) fn text_transformer_json(config: &TextTransformerConfig) -> Value {
    json!({
        "_class_name": TEXT_TRANSFORMER,
        "hidden_size": config.width,
        "max_position_embeddings": config.context_length,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "time_embed_dim": config.time_width,
        "vocab_size": config.vocab_size,
    })
}

/// Translates the `config.json` of a noised CLIP's text encoder.
pub(crate) fn noised_text_config(bytes: &[u8]) -> Result<NoisedTextConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(NOISED_TEXT)?;
    let config = NoisedTextConfig {
        vocab_size: fields.size("vocab_size", None)?,
        context_length: fields.size("max_position_embeddings", None)?,
        width: fields.size("hidden_size", None)?,
        layers: fields.required_count("num_hidden_layers")?,
        heads: fields.required_count("num_attention_heads")?,
        embedding: fields.size("projection_dim", None)?,
    };
    fields.finish()?;
    divides(("num_attention_heads", config.heads), ("hidden_size", config.width))?;
    Ok(config)
}

/// The `config.json` that [`noised_text_config`] reads as `config`.
pub(crate) fn noised_text_json(config: &NoisedTextConfig) -> Value {
    json!({
        "_class_name": NOISED_TEXT,
        "hidden_size": config.width,
        "max_position_embeddings": config.context_length,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "projection_dim": config.embedding,
        "vocab_size": config.vocab_size,
    })
}

/// Translates the `config.json` of a noised CLIP's image encoder.
pub(crate) fn noised_image_config(bytes: &[u8]) -> Result<NoisedImageConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(NOISED_IMAGE)?;
    let config = NoisedImageConfig {
        image_size: fields.side("image_size", None)?,
        patch_size: fields.side("patch_size", None)?,
        width: fields.size("hidden_size", None)?,
        layers: fields.required_count("num_hidden_layers")?,
        heads: fields.required_count("num_attention_heads")?,
        embedding: fields.size("projection_dim", None)?,
        timesteps: fields.size("num_train_timesteps", None)?,
    };
    fields.finish()?;
    divides(("num_attention_heads", config.heads), ("hidden_size", config.width))?;
    divides(("patch_size", config.patch_size), ("image_size", config.image_size))?;
    Ok(config)
}

/// The `config.json` that [`noised_image_config`] reads as `config`.
pub(crate) fn noised_image_json(config: &NoisedImageConfig) -> Value {
    json!({
        "_class_name": NOISED_IMAGE,
        "hidden_size": config.width,
        "image_size": config.image_size,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_train_timesteps": config.timesteps,
        "patch_size": config.patch_size,
        "projection_dim": config.embedding,
    })
}
