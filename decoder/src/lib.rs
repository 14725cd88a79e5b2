//! The decoder and the upsamplers: U-Nets that generate an image from a CLIP image embedding, and enlarge it.
//!
//! In reading order: [`conditioning`] turns embeddings and a caption into the U-Net's conditions, [`image_conditioning`] an
//! embedding alone, perhaps with a [`hint`], and [`text_transformer`] a caption alone; [`unet`] is the network of the shape in
//! [`config`], [`resnet`] and [`attention`] are its layers, and [`gradient_checkpointing`] trains it in less memory. unCLIP's
//! upsamplers are U-Nets without conditions.

#![forbid(unsafe_code)]

pub mod conditioning;
pub mod config;
pub mod hint;
pub mod image_conditioning;
pub mod text_transformer;
pub mod unet;

pub mod attention;
pub mod gradient_checkpointing;
pub mod resnet;

pub use conditioning::{Conditioning, ConditioningConfig, Conditions};
pub use config::{AttentionConfig, UNetConfig};
pub use gradient_checkpointing::GradientCheckpointing;
pub use hint::{HINT_CHANNELS, HINT_SCALE, HintEncoder};
pub use image_conditioning::{ImageConditioning, ImageConditioningConfig};
pub use text_transformer::{TextTransformer, TextTransformerConfig};
pub use unet::{StepConditions, UNet};

use tch::Tensor;

/// An interpolation that enlarges images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Bicubic with an antialiasing filter, as Karlo's upsampler was trained on.
    Bicubic,
    /// Bilinear, as GLIDE's public upsampler was trained on; its paper says bicubic.
    Bilinear,
}

impl Interpolation {
    /// Images at another size, `[B, C, h, w] -> [B, C, size, size]`; corners of pixels are not aligned.
    pub fn enlarge(self, images: &Tensor, size: i64) -> Tensor {
        let size = [size, size];
        match self {
            Self::Bicubic => images.internal_upsample_bicubic2d_aa(size, false, None, None),
            Self::Bilinear => images.upsample_bilinear2d(size, false, None, None),
        }
    }
}
