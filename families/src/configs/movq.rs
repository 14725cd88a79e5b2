//! Configurations of diffusers' `VQModel` with spatial norms, which is MoVQ.

use autoencoder::norm::SPATIAL_GROUPS;
use autoencoder::{MovqConfig, MovqLevel};
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields, divides, wrong};

const DOWN_TYPES: &str = "down_block_types";
const UP_TYPES: &str = "up_block_types";

/// The types of the blocks on the way down and up: those that attend, and the others.
const ATTENDING: [&str; 2] = ["AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D"];
const PLAIN: [&str; 2] = ["DownEncoderBlock2D", "UpDecoderBlock2D"];

/// Translates an autoencoder's `config.json`.
pub(crate) fn movq_config(bytes: &[u8]) -> Result<MovqConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("VQModel")?;
    let channels = fields.sizes("block_out_channels", &[64])?;
    let attends = attends(&mut fields, channels.len())?;
    fields.exactly("norm_type", &json!("spatial"))?;
    for field in ["in_channels", "out_channels"] {
        fields.only(field, &[json!(3)])?;
    }
    let latent_channels = fields.size("latent_channels", Some(3))?;
    fields.only("vq_embed_dim", &[Value::Null, json!(latent_channels)])?;
    let levels = channels.iter().zip(attends);
    let config = MovqConfig {
        image_channels: 3,
        latent_channels,
        codes: fields.size("num_vq_embeddings", Some(256))?,
        levels: levels.map(|(&channels, attends)| MovqLevel { channels, attends }).collect(),
        layers_per_block: fields.count("layers_per_block", 1)?,
        norm_groups: fields.size("norm_num_groups", Some(32))?,
    };
    fields.only("act_fn", &[json!("silu"), json!("swish")])?;
    fields.only("mid_block_add_attention", &[json!(true)])?;
    for field in ["lookup_from_codebook", "force_upcast"] {
        fields.only(field, &[json!(false), Value::Null])?;
    }
    // Latents are not scaled, and images of any size are encoded.
    fields.ignore(&["sample_size", "scaling_factor"]);
    fields.finish()?;
    for channels in channels {
        for groups in [("norm_num_groups", config.norm_groups), ("spatial groups", SPATIAL_GROUPS)]
        {
            divides(groups, ("block_out_channels", channels))?;
        }
    }
    Ok(config)
}

/// Whether the blocks of each level attend, the finest first.
fn attends(fields: &mut Fields, levels: usize) -> Result<Vec<bool>, ConfigError> {
    let [mut down, mut up] = [(DOWN_TYPES, 0), (UP_TYPES, 1)].map(|(field, way)| {
        let types = fields.take(field).unwrap_or_else(|| json!([PLAIN[way]]));
        let attends = |block: &Value| match block.as_str() {
            Some(block) if block == ATTENDING[way] => Some(true),
            Some(block) if block == PLAIN[way] => Some(false),
            _ => None,
        };
        let known: Option<Vec<bool>> =
            types.as_array().and_then(|types| types.iter().map(attends).collect());
        let expected =
            || format!("a list of {levels} of \"{}\" and \"{}\"", PLAIN[way], ATTENDING[way]);
        let known = known.filter(|known| known.len() == levels);
        known.ok_or_else(|| wrong(field, &types, expected()))
    });
    if let (Ok(down), Ok(up)) = (&mut down, &mut up) {
        up.reverse();
        if down != up {
            return Err(ConfigError::Relation(format!(
                "its {DOWN_TYPES} and {UP_TYPES} do not attend at the same levels"
            )));
        }
    }
    up.and(down)
}
