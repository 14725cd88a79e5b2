//! Bytes to images and back. Knows no tensor.
//!
//! Modules in reading order: [`source`] reads files and pipes within bounds, [`formats`] says what they are where they are no
//! images that are read, [`jpeg`] whether a JPEG is whole, and [`decode`] decodes them; [`resize`] is Pillow's resampling,
//! and [`png_text`] finds texts in PNGs.

#![forbid(unsafe_code)]

pub mod decode;
pub mod formats;
pub mod jpeg;
pub mod png_text;
pub mod resize;
pub mod source;

pub use decode::{DecodeError, DecodedImage, MAX_PIXELS, decode_image, read_image};
pub use source::{MAX_FILE_BYTES, read_file, read_stream};
