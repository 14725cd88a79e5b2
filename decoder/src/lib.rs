//! The decoder and the upsamplers: U-Nets that generate an image from a CLIP image embedding, and enlarge it.
//!
//! In reading order: [`conditioning`] turns embeddings and a caption into the U-Net's conditions, and [`text_transformer`] a
//! caption alone; [`unet`] is the network of the shape in [`config`], [`resnet`] and [`attention`] are its layers, and
//! [`gradient_checkpointing`] trains it in less memory. unCLIP's upsamplers are U-Nets without conditions.

#![forbid(unsafe_code)]

pub mod conditioning;
pub mod config;
pub mod text_transformer;
pub mod unet;

pub mod attention;
pub mod gradient_checkpointing;
pub mod resnet;

pub use conditioning::{Conditioning, ConditioningConfig, Conditions};
pub use config::{AttentionConfig, UNetConfig};
pub use gradient_checkpointing::GradientCheckpointing;
pub use text_transformer::{TextTransformer, TextTransformerConfig};
pub use unet::{StepConditions, UNet};

use tch::Tensor;

/// Base images at the size of an upsampler's, `[B, C, h, w] -> [B, C, size, size]`: bicubic, as published.
pub fn enlarge(base: &Tensor, size: i64) -> Tensor {
    base.internal_upsample_bicubic2d_aa([size, size], false, None, None)
}
