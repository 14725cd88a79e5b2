//! The shape of a U-Net.

use serde::{Deserialize, Serialize};

/// The shape of a U-Net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Pixels on a side of the images it was trained on.
    pub sample_size: i64,
    /// Channels of the input: the noised image's, and those of what it is conditioned on beside it (a base image, a mask, a
    /// masked image).
    pub in_channels: i64,
    /// Channels of the output: the prediction's, and as many for the variance where it is learned.
    pub out_channels: i64,
    /// Channels of each level, the finest first; every level has half the resolution of the one before.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks a level on the way down; the way up has one more.
    pub layers_per_block: i64,
    /// Attention on the coarser levels and in the middle; none in unCLIP's upsamplers.
    pub attention: Option<AttentionConfig>,
    /// Whether the time embedding scales and shifts the normalised features, or is added before the norm.
    pub scale_shift: bool,
    /// Groups of every group norm.
    pub norm_groups: i64,
    /// Epsilon of the group norms outside attention.
    pub norm_eps: f64,
}

/// The shape of a U-Net's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionConfig {
    /// Channels of each head.
    pub head_width: i64,
    /// Width X of the context's tokens.
    pub context_width: i64,
    /// The finest level that attends, of 0 to the number of levels: the coarser ones do too, and the middle does anyway.
    #[serde(default = "second", skip_serializing_if = "is_second")]
    pub finest_level: usize,
}

/// The level where attention begins in unCLIP: all but the finest attend.
fn second() -> usize {
    1
}

fn is_second(level: &usize) -> bool {
    *level == second()
}

impl UNetConfig {
    /// Width of the time embedding.
    pub fn time_width(&self) -> i64 {
        4 * self.block_out_channels[0]
    }

    /// The attention of a level's blocks.
    pub fn attention_at(&self, level: usize) -> Option<&AttentionConfig> {
        self.attention.as_ref().filter(|attention| level >= attention.finest_level)
    }

    /// Input channels of each residual block of a level on the way down.
    pub fn down_inputs(&self, level: usize) -> Vec<i64> {
        let channels = &self.block_out_channels;
        let mut inputs = vec![channels[level]; self.layers_per_block as usize];
        inputs[0] = channels[level.saturating_sub(1)];
        inputs
    }

    /// Input channels of each residual block of a level on the way up: the stream's and the skip's. The stream comes
    /// from the coarser level at first; the last skip is what the finer level handed down.
    pub fn up_inputs(&self, level: usize) -> Vec<i64> {
        let channels = &self.block_out_channels;
        let own = channels[level];
        let blocks = self.layers_per_block as usize;
        let mut inputs = vec![2 * own; blocks + 1];
        inputs[0] += channels[(level + 1).min(channels.len() - 1)] - own;
        inputs[blocks] += channels[level.saturating_sub(1)] - own;
        inputs
    }
}
