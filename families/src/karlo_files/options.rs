//! `karlo.json` beside published files: the numbers of their networks that no tensor has, by the names that they have in the
//! configurations of Kakao Brain's code. The published networks need none.

use serde::Deserialize;
use weights::Folder;

use crate::Error;
use crate::guided_diffusion::HEAD_WIDTH;
use crate::options::{MOST_CHANNELS, NumberOption, read_options};

/// The file's name.
pub(crate) const OPTIONS: &str = "karlo.json";

/// The largest images of a decoder, which attends to all of their pixels at half of that size, and of an upsampler.
const LARGEST_DECODED: i64 = 256;
const LARGEST_IMAGE: i64 = 1024;

/// The options of each network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    prior: PriorOptions,
    decoder: DecoderOptions,
    improved_sr: UpsamplerOptions,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PriorOptions {
    xf_heads: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DecoderOptions {
    image_size: Option<i64>,
    num_head_channels: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UpsamplerOptions {
    image_size: Option<i64>,
}

impl Options {
    /// Those in `folder`; none where it has no such file.
    pub(super) fn read(folder: &Folder) -> Result<Self, Error> {
        read_options(folder, OPTIONS, Self::numbers)
    }

    fn numbers(&self) -> Vec<NumberOption> {
        let Self { prior, decoder, improved_sr } = self;
        vec![
            ("prior", "xf_heads", MOST_CHANNELS, prior.xf_heads),
            ("decoder", "image_size", LARGEST_DECODED, decoder.image_size),
            ("decoder", "num_head_channels", MOST_CHANNELS, decoder.num_head_channels),
            ("improved_sr", "image_size", LARGEST_IMAGE, improved_sr.image_size),
        ]
    }

    /// Heads of a layer of the prior.
    pub(super) fn heads(&self) -> Option<i64> {
        self.prior.xf_heads
    }

    /// Channels of a head of the decoder's attention.
    pub(super) fn head_width(&self) -> i64 {
        self.decoder.num_head_channels.unwrap_or(HEAD_WIDTH)
    }

    /// Pixels on a side of the decoder's images.
    pub(super) fn decoded_size(&self) -> i64 {
        self.decoder.image_size.unwrap_or(64)
    }

    /// Pixels on a side of the upsampler's.
    pub(super) fn upsampled_size(&self) -> i64 {
        self.improved_sr.image_size.unwrap_or(256)
    }
}
