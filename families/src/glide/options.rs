//! `glide.json` beside published files: the numbers of their networks that no tensor has.

use serde::Deserialize;
use weights::Folder;

use super::release::UNetFile;
use crate::Error;
use crate::options::{MOST_CHANNELS, NumberOption, read_options};

/// The file's name.
pub(crate) const OPTIONS: &str = "glide.json";

/// The largest images of a base network, which attends to all of their pixels at half of that size, and of an upsampler.
const LARGEST_BASE: i64 = 256;
const LARGEST_IMAGE: i64 = 1024;

/// The options by the names of the published files, each by the reference's name of the option.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    base: UNetOptions,
    upsample: UNetOptions,
    base_inpaint: Option<UNetOptions>,
    upsample_inpaint: Option<UNetOptions>,
    clip_text_enc: TextOptions,
    clip_image_enc: ImageOptions,
}

/// The options of a U-Net and its text transformer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UNetOptions {
    /// Pixels on a side of its images.
    pub image_size: Option<i64>,
    /// Channels of a head of its attention.
    pub num_head_channels: Option<i64>,
    /// Heads of a layer of its text transformer.
    pub xf_heads: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TextOptions {
    n_head_text: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ImageOptions {
    n_head_image: Option<i64>,
}

impl Options {
    /// Those in `folder`; none where it has no such file.
    pub(crate) fn read(folder: &Folder) -> Result<Self, Error> {
        read_options(folder, OPTIONS, Self::numbers)
    }

    fn numbers(&self) -> Vec<NumberOption> {
        let unets = [
            ("base", LARGEST_BASE, Some(self.base)),
            ("base_inpaint", LARGEST_BASE, self.base_inpaint),
            ("upsample", LARGEST_IMAGE, Some(self.upsample)),
            ("upsample_inpaint", LARGEST_IMAGE, self.upsample_inpaint),
        ];
        let mut numbers = vec![
            ("clip_text_enc", "n_head_text", MOST_CHANNELS, self.clip_text_enc.n_head_text),
            ("clip_image_enc", "n_head_image", MOST_CHANNELS, self.clip_image_enc.n_head_image),
        ];
        for (name, largest, unet) in unets {
            let unet = unet.unwrap_or_default();
            numbers.extend([
                (name, "image_size", largest, unet.image_size),
                (name, "num_head_channels", MOST_CHANNELS, unet.num_head_channels),
                (name, "xf_heads", MOST_CHANNELS, unet.xf_heads),
            ]);
        }
        numbers
    }

    /// Those of a U-Net; an inpainting network's are those of the one that it was made of, unless it has its own.
    pub(crate) fn unet(&self, file: UNetFile) -> UNetOptions {
        match file {
            UNetFile::Base => self.base,
            UNetFile::Upsample => self.upsample,
            UNetFile::BaseInpaint => self.base_inpaint.unwrap_or(self.base),
            UNetFile::UpsampleInpaint => self.upsample_inpaint.unwrap_or(self.upsample),
        }
    }

    /// Heads of a layer of the noised CLIP's text encoder.
    pub(crate) fn text_heads(&self) -> Option<i64> {
        self.clip_text_enc.n_head_text
    }

    /// Heads of a layer of the noised CLIP's image encoder.
    pub(crate) fn image_heads(&self) -> Option<i64> {
        self.clip_image_enc.n_head_image
    }
}
