//! `glide.json` beside published files: the numbers of their networks that no tensor has.

use files::json;
use serde::Deserialize;
use weights::Folder;

use super::release::UNetFile;
use crate::Error;

/// The file's name.
pub(crate) const OPTIONS: &str = "glide.json";

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
        let Some(bytes) = folder.read(OPTIONS)? else {
            return Ok(Self::default());
        };
        json::parse(&bytes, json::CONFIGURATION).map_err(|error| Error::Index {
            file: folder.name_of(OPTIONS),
            reason: error.to_string(),
        })
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
