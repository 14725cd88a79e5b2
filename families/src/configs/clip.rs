//! Configurations of transformers' `CLIPTextModelWithProjection`, `CLIPVisionModelWithProjection` and `CLIPModel`.

use clip::{TextConfig, VisionConfig};
use layers::Activation;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields, divides};

const TEXT: &str = "CLIPTextModelWithProjection";
const VISION: &str = "CLIPVisionModelWithProjection";
const PROJECTION: &str = "projection_dim";
const ACTIVATIONS: [(&str, Activation); 3] =
    [("quick_gelu", Activation::QuickGelu), ("gelu", Activation::Gelu), ("silu", Activation::Silu)];

/// The prefixes of the names of CLIP's tensors: those of each tower, and what belongs to neither.
pub(crate) const TEXT_TOWER: &[&str] = &["text_model.", "text_projection."];
pub(crate) const IMAGE_TOWER: &[&str] = &["vision_model.", "visual_projection."];
pub(crate) const LOGIT_SCALE: &str = "logit_scale";

/// A tower of CLIP, in a file of its own or in that of the whole.
pub(crate) struct ClipTower<C> {
    /// The tower's shape.
    pub config: C,
    /// The prefixes of tensors in its file that belong to the whole, and not to the tower.
    pub ignored_prefixes: Vec<&'static str>,
}

/// Translates the text encoder's `config.json`.
pub(crate) fn text_config(bytes: &[u8]) -> Result<ClipTower<TextConfig>, ConfigError> {
    let (mut fields, ignored_prefixes) = tower(bytes, TEXT, "text_config", IMAGE_TOWER)?;
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
    Ok(ClipTower { config, ignored_prefixes })
}

/// Translates the image encoder's `config.json`.
pub(crate) fn vision_config(bytes: &[u8]) -> Result<ClipTower<VisionConfig>, ConfigError> {
    let (mut fields, ignored_prefixes) = tower(bytes, VISION, "vision_config", TEXT_TOWER)?;
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
    Ok(ClipTower { config, ignored_prefixes })
}

/// The fields of one tower, which the whole of CLIP has under `name`, and the prefixes that the tower ignores.
fn tower(
    bytes: &[u8],
    class: &'static str,
    name: &str,
    other_tower: &[&'static str],
) -> Result<(Fields, Vec<&'static str>), ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    if fields.class("CLIPModel").is_err() || !fields.has(name) {
        fields.class(class)?;
        return Ok((fields, Vec::new()));
    }
    // The whole's projections have one width, whatever its towers say.
    let projection = fields.take(PROJECTION);
    match fields.take(name) {
        Some(Value::Object(mut inner)) => {
            inner.extend(projection.map(|width| (PROJECTION.to_owned(), width)));
            Ok((Fields::of(inner), [other_tower, &[LOGIT_SCALE]].concat()))
        }
        value => {
            Err(super::fields::wrong(name, &value.unwrap_or_default(), "an object".to_owned()))
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
