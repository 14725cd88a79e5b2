//! The decoder and the upsamplers: from a CLIP image embedding to a picture.
//!
//! In reading order: [`conditioning`] turns embeddings into what the U-Net understands, [`unet`] is the network,
//! [`resnet`] and [`attention`] are its blocks, and [`recompute`] runs them in less memory while it is trained. The
//! upsamplers are U-Nets without conditions.

pub mod conditioning;
pub mod unet;

pub mod attention;
pub mod recompute;
pub mod resnet;

pub use conditioning::{Conditioning, ConditioningConfig, Conditions};
pub use recompute::Recomputed;
pub use unet::{AttentionConfig, Told, UNet, UNetConfig};

use tch::Tensor;

/// Small pictures at the size of an upsampler's, `[B, C, h, w] -> [B, C, size, size]`: bicubic, as published.
pub fn enlarge(small: &Tensor, size: i64) -> Tensor {
    small.internal_upsample_bicubic2d_aa([size, size], false, None, None)
}
