//! Bytes to images and back. Knows no tensor.
//!
//! Modules in reading order: [`decode`] reads the images that users bring; [`resize`] is Pillow's resampling.

#![forbid(unsafe_code)]

pub mod decode;
pub mod resize;

pub use decode::{DecodeError, DecodedImage, MAX_PIXELS, decode_image, read_image};
