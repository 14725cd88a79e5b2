//! The few sizes that parts must agree in and that noise is drawn for, from the parts' `config.json`.
//!
//! `weights` has translated and checked these files when it opened the parts; read here are only the fields that concern
//! more than one part, with the defaults of the publisher's classes.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weights::Folder;

use crate::Error;

/// Of the prior.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PriorShape {
    /// The tokens of a caption.
    #[serde(rename = "num_embeddings", default = "PriorShape::karlo_context")]
    pub(crate) context_length: i64,
}

impl PriorShape {
    fn karlo_context() -> i64 {
        77
    }
}

/// Of the decoder's conditioning.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ConditioningShape {
    /// The width of what is added to the time embedding.
    #[serde(rename = "time_embed_dim")]
    pub(crate) time_width: i64,
    /// The width of the context's tokens.
    #[serde(rename = "cross_attention_dim")]
    pub(crate) context_width: i64,
}

/// Of a U-Net.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct UNetShape {
    /// Pixels on a side of its pictures.
    #[serde(rename = "sample_size")]
    size: Size,
    #[serde(rename = "in_channels")]
    given_channels: Option<i64>,
    #[serde(rename = "block_out_channels", default)]
    channels: Vec<i64>,
    #[serde(rename = "cross_attention_dim")]
    given_context_width: Option<i64>,
}

/// A size is one number, or both sides, which are equal.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(i64),
    Sides(Vec<i64>),
}

impl UNetShape {
    /// Pixels on a side of its pictures.
    pub(crate) fn sample_size(&self) -> i64 {
        match &self.size {
            Size::Side(side) => *side,
            Size::Sides(sides) => sides.first().copied().unwrap_or_default(),
        }
    }

    /// Channels of the input; `usual` is the class's default.
    pub(crate) fn in_channels(&self, usual: i64) -> i64 {
        self.given_channels.unwrap_or(usual)
    }

    /// Width of the time embedding.
    pub(crate) fn time_width(&self) -> i64 {
        4 * self.channels.first().copied().unwrap_or(320)
    }

    /// Width of the context's tokens, where there is attention.
    pub(crate) fn context_width(&self) -> i64 {
        self.given_context_width.unwrap_or(1280)
    }
}

/// Reads a part's shape.
pub(crate) fn read<S: DeserializeOwned>(folder: &Folder) -> Result<S, Error> {
    const CONFIG: &str = "config.json";
    let wrong = |reason: String| Error::Config {
        file: folder.name_of(CONFIG),
        reason,
    };
    let bytes = folder
        .read(CONFIG)?
        .ok_or_else(|| wrong("it is not there".to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}
