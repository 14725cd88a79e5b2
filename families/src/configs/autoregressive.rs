//! Configurations of our own autoregressive prior, which no publisher has.

use prior::AutoregressiveConfig;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields};

/// The class in the `config.json` of an autoregressive prior.
const AUTOREGRESSIVE_CLASS: &str = "UnCLIPAutoregressivePrior";

/// Whether a `config.json` says that it is an autoregressive prior's.
pub(crate) fn is_autoregressive(bytes: &[u8]) -> bool {
    let named = |config: Value| config["_class_name"] == AUTOREGRESSIVE_CLASS;
    files::json::parse(bytes, files::json::CONFIGURATION).is_ok_and(named)
}

/// Translates the `config.json` of a `prior_autoregressive` folder.
pub(crate) fn autoregressive_config(bytes: &[u8]) -> Result<AutoregressiveConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(AUTOREGRESSIVE_CLASS)?;
    let config = AutoregressiveConfig {
        embedding: fields.size("embedding_dim", None)?,
        text_width: fields.size("text_dim", None)?,
        context_length: fields.size("num_text_tokens", None)?,
        heads: fields.required_count("num_attention_heads")?,
        head_width: fields.size("attention_head_dim", None)?,
        layers: fields.required_count("num_layers")?,
        dimensions: fields.size("num_codes", None)?,
        buckets: fields.size("num_buckets", None)?,
    };
    fields.finish()?;
    if config.dimensions > config.embedding {
        return Err(ConfigError::Relation(format!(
            "an embedding of width {} has no {} principal components",
            config.embedding, config.dimensions
        )));
    }
    if config.buckets < 2 {
        let buckets = config.buckets;
        return Err(ConfigError::Relation(format!(
            "codes of {buckets} bucket say nothing: 2 at least"
        )));
    }
    Ok(config)
}

/// The `config.json` that [`autoregressive_config`] reads as `config`.
pub(crate) fn autoregressive_json(config: &AutoregressiveConfig) -> Value {
    json!({
        "_class_name": AUTOREGRESSIVE_CLASS,
        "attention_head_dim": config.head_width,
        "embedding_dim": config.embedding,
        "num_attention_heads": config.heads,
        "num_buckets": config.buckets,
        "num_codes": config.dimensions,
        "num_layers": config.layers,
        "num_text_tokens": config.context_length,
        "text_dim": config.text_width,
    })
}
