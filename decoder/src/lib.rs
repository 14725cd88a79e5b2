//! The decoder and the upsamplers: from a CLIP image embedding to a picture.
//!
//! In reading order: [`conditioning`] turns embeddings into what the U-Net understands, [`unet`] is the network,
//! [`resnet`] and [`attention`] are its blocks. The upsamplers are U-Nets without conditions.

pub mod conditioning;
pub mod unet;

pub mod attention;
pub mod resnet;

pub use conditioning::{Conditioning, ConditioningConfig, Conditions};
pub use unet::{AttentionConfig, UNet, UNetConfig};
