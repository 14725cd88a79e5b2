//! Bytes to images and back: decoding, resizing, preprocessing, contact sheets, encoding. Knows no tensor.
//!
//! Modules in reading order: [`source`] reads files and pipes within bounds, [`formats`] names those that are not decoded,
//! [`jpeg`] and [`webp`] check that files are whole, [`memory`] limits what decoding takes, and [`decode`] decodes by
//! `decoders`; [`resize`](mod@resize) is Pillow's resampling, [`preprocess`] makes the arrays that CLIP's image encoder takes;
//! [`mask`] says which pixels are painted anew, [`regions`] where they lie and in which squares, [`canvas`] cuts these and
//! [`seam`] lays them back; [`sheet`] and [`view`] are for people to look at, [`encode`](mod@encode) writes, and [`png_text`] reads texts in PNGs.

#![forbid(unsafe_code)]

pub mod canvas;
pub mod decode;
mod decoders;
pub mod encode;
pub mod formats;
pub mod jpeg;
pub mod mask;
pub mod memory;
pub mod png_text;
pub mod preprocess;
pub mod regions;
pub mod resize;
pub mod seam;
pub mod sheet;
pub mod source;
pub mod view;
pub mod webp;

pub use decode::{DecodeError, DecodedImage, decode_alpha, decode_image, dimensions, read_image};
pub use encode::{EncodeError, EncoderFormat, encode, encode_apng, encode_gif, write_png};
pub use image::{GrayImage, RgbImage};
pub use mask::{Margins, MaskChannel, PaintMask, Rect};
pub use memory::MAX_MEMORY;
pub use preprocess::{CLIP_MEAN, CLIP_STD, ImageProcessor, PreprocessError};
pub use regions::Region;
pub use sheet::{contact_sheet, cut_sheet};
pub use source::{MAX_FILE_BYTES, read_file, read_stream};
