//! JPEGs, decoded from the file's bytes where they lie.

use image::{DynamicImage, GrayImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{UnorientedImage, orientation, rgb};
use crate::decode::DecodeError;
use crate::jpeg::{Frame, check};
use crate::memory::{ImageHeader, RGB};

/// Bytes that rows of blocks take for each pixel of the width, before and behind the upsampling of four components.
const ROWS: u64 = 1024;

/// The pixels of a JPEG that goes on to its end mark.
pub(crate) fn decode(bytes: &[u8], name: &str) -> Result<UnorientedImage, DecodeError> {
    let frame = check(bytes).map_err(|error| DecodeError::damaged(name, error))?;
    let damaged = |error: DecodeErrors| DecodeError::damaged(name, error);
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let header = ImageHeader { name, bytes, width, height };
    header.check(memory(&frame))?;
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    if decoder.dimensions() != Some((width as usize, height as usize)) {
        return Err(DecodeError::damaged(name, "it has two sizes"));
    }
    let out = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(out));
    let mut levels = vec![0; decoder.output_buffer_size().unwrap_or(0)];
    decoder.decode_into(&mut levels).map_err(damaged)?;
    let orientation = orientation(decoder.exif().map(Vec::as_slice));
    drop(decoder);
    let image = match out {
        ColorSpace::Luma => {
            let grey = GrayImage::from_raw(width, height, levels).expect("a level a pixel");
            DynamicImage::from(grey).into_rgb8()
        }
        _ => rgb(width, height, levels),
    };
    Ok(UnorientedImage { image: image.into(), orientation, animated: false })
}

/// Bytes that decoding takes: pixels, the coefficients of all blocks where several scans refine them, and copies of
/// profiles and other segments.
fn memory(frame: &Frame) -> u64 {
    let pixels = u64::from(frame.width) * u64::from(frame.height);
    let levels = match frame.components.len() {
        1 => 1 + RGB,
        _ => RGB,
    };
    let rows = ROWS * u64::from(frame.width);
    let coefficients = match frame.scans_refine() {
        true => 2 * frame.samples(),
        false => 0,
    };
    levels * pixels + rows + coefficients + 2 * frame.segments
}
