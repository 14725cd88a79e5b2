//! transformers' `CLIPTextModelWithProjection` and `CLIPVisionModelWithProjection`, and the two halves of `CLIPModel`.

use clip::{TextConfig, VisionConfig};
use layers::Activation;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields, divides};

const TEXT: &str = "CLIPTextModelWithProjection";
const VISION: &str = "CLIPVisionModelWithProjection";
const PROJECTION: &str = "projection_dim";
const ACTIVATIONS: [(&str, Activation); 3] =
    [("quick_gelu", Activation::QuickGelu), ("gelu", Activation::Gelu), ("silu", Activation::Silu)];

/// A half of CLIP and whether its file may hold the other half too.
pub(crate) struct Half<C> {
    /// The half's shape.
    pub config: C,
    /// Whether the configuration is that of the whole of CLIP.
    pub of_both: bool,
}

/// Translates the text encoder's `config.json`.
pub(crate) fn text_config(bytes: &[u8]) -> Result<Half<TextConfig>, ConfigError> {
    let (mut fields, of_both) = half(bytes, TEXT, "text_config")?;
    fields.only("model_type", &[json!("clip_text_model"), json!("clip")])?;
    let config = TextConfig {
        vocab_size: fields.size("vocab_size", Some(49408))?,
        context_length: fields.size("max_position_embeddings", Some(77))?,
        width: fields.size("hidden_size", Some(512))?,
        layers: fields.count("num_hidden_layers", 12)?,
        heads: fields.count("num_attention_heads", 8)?,
        intermediate: fields.size("intermediate_size", Some(2048))?,
        embedding: fields.size(PROJECTION, Some(512))?,
        activation: fields.choice("hidden_act", Some("quick_gelu"), &ACTIVATIONS)?,
        layer_norm_eps: fields.number("layer_norm_eps", 1e-5, 1.0)?,
        eos_token_id: fields.size("eos_token_id", Some(49407))?,
    };
    divides(("num_attention_heads", config.heads), ("hidden_size", config.width))?;
    if config.eos_token_id >= config.vocab_size {
        return Err(ConfigError::Relation(format!(
            "its eos_token_id {} is not below its vocab_size {}",
            config.eos_token_id, config.vocab_size
        )));
    }
    Ok(Half { config, of_both })
}

/// Translates the image encoder's `config.json`.
pub(crate) fn vision_config(bytes: &[u8]) -> Result<Half<VisionConfig>, ConfigError> {
    let (mut fields, of_both) = half(bytes, VISION, "vision_config")?;
    fields.only("model_type", &[json!("clip_vision_model"), json!("clip")])?;
    let config = VisionConfig {
        image_size: fields.side("image_size", Some(224))?,
        patch_size: fields.side("patch_size", Some(32))?,
        width: fields.size("hidden_size", Some(768))?,
        layers: fields.count("num_hidden_layers", 12)?,
        heads: fields.count("num_attention_heads", 12)?,
        intermediate: fields.size("intermediate_size", Some(3072))?,
        embedding: fields.size(PROJECTION, Some(512))?,
        activation: fields.choice("hidden_act", Some("quick_gelu"), &ACTIVATIONS)?,
        layer_norm_eps: fields.number("layer_norm_eps", 1e-5, 1.0)?,
    };
    fields.only("num_channels", &[json!(3)])?;
    divides(("num_attention_heads", config.heads), ("hidden_size", config.width))?;
    divides(("patch_size", config.patch_size), ("image_size", config.image_size))?;
    Ok(Half { config, of_both })
}

/// The fields of one half, which the whole of CLIP keeps under a name of their own.
fn half(bytes: &[u8], class: &'static str, name: &str) -> Result<(Fields, bool), ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    let of_both = fields.class("CLIPModel").is_ok() && fields.has(name);
    if !of_both {
        fields.class(class)?;
        return Ok((fields, false));
    }
    // The whole's projections have one width, whatever its halves say.
    let projection = fields.take(PROJECTION);
    match fields.take(name) {
        Some(Value::Object(mut inner)) => {
            inner.extend(projection.map(|width| (PROJECTION.to_owned(), width)));
            Ok((Fields::of(inner), true))
        }
        other => {
            Err(super::fields::wrong(name, &other.unwrap_or_default(), "an object".to_owned()))
        }
    }
}

/// The `config.json` that [`text_config`] reads as `config`. The start and padding tokens are the tokenizer's business.
pub(crate) fn text_json(config: &TextConfig) -> Value {
    json!({
        "architectures": [TEXT],
        "attention_dropout": 0.0,
        "bos_token_id": null,
        "eos_token_id": config.eos_token_id,
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "intermediate_size": config.intermediate,
        "layer_norm_eps": config.layer_norm_eps,
        "max_position_embeddings": config.context_length,
        "model_type": "clip_text_model",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "pad_token_id": null,
        "projection_dim": config.embedding,
        "transformers_version": super::TRANSFORMERS,
        "vocab_size": config.vocab_size,
    })
}

/// The `config.json` that [`vision_config`] reads as `config`.
pub(crate) fn vision_json(config: &VisionConfig) -> Value {
    json!({
        "architectures": [VISION],
        "attention_dropout": 0.0,
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "image_size": config.image_size,
        "intermediate_size": config.intermediate,
        "layer_norm_eps": config.layer_norm_eps,
        "model_type": "clip_vision_model",
        "num_attention_heads": config.heads,
        "num_channels": 3,
        "num_hidden_layers": config.layers,
        "patch_size": config.patch_size,
        "projection_dim": config.embedding,
        "transformers_version": super::TRANSFORMERS,
    })
}
