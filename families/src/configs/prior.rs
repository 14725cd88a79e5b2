//! Configurations of diffusers' `PriorTransformer`.

use prior::PriorConfig;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields, divides};

/// Tokens beside the caption's: its embedding, the timestep, the noised embedding, and the place of the answer.
pub(crate) const ADDITIONAL_EMBEDDINGS: i64 = 4;

/// Translates a prior's `config.json`.
pub(crate) fn prior_config(bytes: &[u8]) -> Result<PriorConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("PriorTransformer")?;
    let embedding = fields.size("embedding_dim", Some(768))?;
    let config = PriorConfig {
        embedding,
        text_width: embedding,
        context_length: fields.size("num_embeddings", Some(77))?,
        heads: fields.count("num_attention_heads", 32)?,
        head_width: fields.count("attention_head_dim", 64)?,
        layers: fields.count("num_layers", 20)?,
    };
    fields.only("additional_embeddings", &[json!(ADDITIONAL_EMBEDDINGS)])?;
    fields.only("time_embed_act_fn", &[json!("silu"), json!("swish")])?;
    fields.nulls(&["norm_in_type", "embedding_proj_norm_type"])?;
    fields.only("encoder_hid_proj_type", &[json!("linear")])?;
    fields.only("added_emb_type", &[json!("prd")])?;
    fields.only("time_embed_dim", &[Value::Null, json!(config.width())])?;
    fields.only("embedding_proj_dim", &[Value::Null, json!(embedding)])?;
    fields.only("clip_embed_dim", &[Value::Null, json!(embedding)])?;
    fields.ignore(&["dropout"]);
    fields.finish()?;
    divides(("timestep wave pair", 2), ("width", config.width()))?;
    Ok(config)
}

/// The `config.json` that [`prior_config`] reads as `config`.
pub(crate) fn prior_json(config: &PriorConfig) -> Result<Value, ConfigError> {
    if config.text_width != config.embedding {
        return Err(ConfigError::Relation(format!(
            "a prior's text states are {} wide, and the published class has them as wide as its embedding, {}",
            config.text_width, config.embedding
        )));
    }
    Ok(json!({
        "_class_name": "PriorTransformer",
        "_diffusers_version": super::DIFFUSERS,
        "added_emb_type": "prd",
        "additional_embeddings": ADDITIONAL_EMBEDDINGS,
        "attention_head_dim": config.head_width,
        "clip_embed_dim": null,
        "dropout": 0.0,
        "embedding_dim": config.embedding,
        "embedding_proj_dim": null,
        "embedding_proj_norm_type": null,
        "encoder_hid_proj_type": "linear",
        "norm_in_type": null,
        "num_attention_heads": config.heads,
        "num_embeddings": config.context_length,
        "num_layers": config.layers,
        "time_embed_act_fn": "silu",
        "time_embed_dim": null,
    }))
}
