//! Bytes to images and back. Knows no tensor.
//!
//! Modules in reading order: [`source`] reads files and pipes within bounds, [`formats`] says what they are where they are no
//! images that are read, [`jpeg`] and [`webp`] whether those are whole, [`memory`] what decoding may take, and [`decode`]
//! decodes them by `decoders`; [`resize`] is Pillow's resampling, [`png_text`] finds texts in PNGs, and [`write`](mod@write) puts images
//! in files.

#![forbid(unsafe_code)]

pub mod decode;
mod decoders;
pub mod formats;
pub mod jpeg;
pub mod memory;
pub mod png_text;
pub mod resize;
pub mod source;
pub mod webp;
pub mod write;

pub use decode::{DecodeError, DecodedImage, decode_image, read_image};
pub use memory::MAX_MEMORY;
pub use source::{MAX_FILE_BYTES, read_file, read_stream};
pub use write::write_png;
