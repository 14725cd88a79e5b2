//! The shape of an autoencoder.

/// The shape of a MoVQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovqConfig {
    /// Channels of the images.
    pub image_channels: i64,
    /// Channels of the latents.
    pub latent_channels: i64,
    /// Codes of the codebook.
    pub codes: i64,
    /// The levels, the finest first; every level has half the resolution of the one before.
    pub levels: Vec<MovqLevel>,
    /// Residual blocks a level of the encoder; the decoder has one more.
    pub layers_per_block: i64,
    /// Groups of the encoder's norms.
    pub norm_groups: i64,
}

/// A level of a MoVQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovqLevel {
    /// Channels of its blocks.
    pub channels: i64,
    /// Whether its blocks attend.
    pub attends: bool,
}

impl MovqConfig {
    /// The pixels of an image's side that become one of its latents' side.
    pub fn scale_factor(&self) -> i64 {
        1 << (self.levels.len() - 1)
    }

    /// The channels of the coarsest level.
    pub(crate) fn coarsest(&self) -> i64 {
        self.levels.last().map_or(0, |level| level.channels)
    }
}
