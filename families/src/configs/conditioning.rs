//! Configurations of diffusers' `UnCLIPTextProjModel`.

use decoder::ConditioningConfig;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields};

/// Translates the `config.json` of a `text_proj` folder.
pub(crate) fn conditioning_config(bytes: &[u8]) -> Result<ConditioningConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("UnCLIPTextProjModel")?;
    let embedding = fields.size("clip_embeddings_dim", Some(768))?;
    let config = ConditioningConfig {
        embedding,
        text_width: embedding,
        time_width: fields.size("time_embed_dim", None)?,
        context_width: fields.size("cross_attention_dim", None)?,
        extra_tokens: fields.count("clip_extra_context_tokens", 4)?,
    };
    fields.finish()?;
    Ok(config)
}

/// The `config.json` that [`conditioning_config`] reads as `config`.
pub(crate) fn conditioning_json(config: &ConditioningConfig) -> Result<Value, ConfigError> {
    if config.text_width != config.embedding {
        return Err(ConfigError::Relation(format!(
            "the text states are {} wide, and the published class has them as wide as the embedding, {}",
            config.text_width, config.embedding
        )));
    }
    Ok(json!({
        "_class_name": "UnCLIPTextProjModel",
        "_diffusers_version": super::DIFFUSERS,
        "clip_embeddings_dim": config.embedding,
        "clip_extra_context_tokens": config.extra_tokens,
        "cross_attention_dim": config.context_width,
        "time_embed_dim": config.time_width,
    }))
}
