//! MoVQ (2209.09002): an autoencoder between images and the latents that latent diffusion (2112.10752) denoises.
//!
//! In reading order: [`movq`] is the network of the shape in [`config`], [`encoder`] and [`decoder`] are its halves, [`resnet`]
//! and [`attention`] their layers over a [`norm`], and [`quantizer`] is the codebook that the latents were trained with.

#![forbid(unsafe_code)]

pub mod config;
pub mod movq;

pub mod attention;
mod blocks;
pub mod decoder;
pub mod encoder;
pub mod norm;
pub mod quantizer;
pub mod resnet;

pub use config::{MovqConfig, MovqLevel};
pub use movq::Movq;
pub use quantizer::VectorQuantizer;
