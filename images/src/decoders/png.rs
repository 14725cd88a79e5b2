//! PNGs, row by row: neither a frame of 16 bits nor one with transparency is ever whole in memory.

use std::io::Cursor;
use std::slice::IterMut;

use png::{
    ColorType, DecodeOptions, Decoder, DecodingError, InterlaceInfo, Reader, Transformations,
    expand_interlaced_row,
};

use super::{Channels, UnorientedImage, on_white, orientation};
use crate::decode::DecodeError;
use crate::memory::{ImageHeader, RGB};

/// The most bytes of a pixel: those of RGBA with 16 bits a sample.
const PIXEL: u64 = 8;

/// Bytes of a column in the rows that the decoder keeps: packed, unfiltered, the one before, and unpacked.
const ROWS: u64 = 6 * PIXEL;

/// The pixels of a PNG. Of a profile or a text nothing is unpacked.
pub(crate) fn decode(
    bytes: &[u8],
    name: &str,
    channels: Channels,
) -> Result<UnorientedImage, DecodeError> {
    let damaged = |error: DecodingError| DecodeError::damaged(name, reason(&error));
    check_names(bytes).map_err(|reason| DecodeError::damaged(name, reason))?;
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_adler32(false);
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    let (width, height) = decoder.read_header_info().map_err(damaged)?.size();
    let header = ImageHeader { name, bytes, width, height };
    header.check(RGB * header.pixels() + ROWS * u64::from(width))?;
    // Chunks that are kept are no longer than the file; one unpacked row, which may be longer, counts too.
    let row = usize::try_from(PIXEL * u64::from(width)).unwrap_or(usize::MAX);
    decoder.set_limits(png::Limits { bytes: bytes.len().saturating_mul(2).saturating_add(row) });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(damaged)?;
    if let Some(palette) = reader.info().palette.as_deref()
        && !palette.len().is_multiple_of(RGB as usize)
    {
        let reason = format!("its PLTE has {} bytes, and a colour three", palette.len());
        return Err(DecodeError::damaged(name, reason));
    }
    let levels = read_rows(&mut reader, channels).map_err(damaged)?;
    let info = reader.info();
    Ok(UnorientedImage {
        orientation: orientation(info.exif_metadata.as_deref()),
        animated: info.animation_control.is_some(),
        image: channels.image(width, height, levels),
    })
}

/// Refuses chunks whose names are not four letters (PNG 3, 5.3), which the decoder passes over as it does others that it does
/// not know.
fn check_names(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let [length, name] =
            [[head[0], head[1], head[2], head[3]], [head[4], head[5], head[6], head[7]]];
        if !name.iter().all(u8::is_ascii_alphabetic) {
            let place = bytes.len() - rest.len();
            return Err(format!("the chunk at byte {place} has no name of four letters"));
        }
        if &name == b"IEND" {
            break;
        }
        // The checksum follows.
        let length = u32::from_be_bytes(length) as usize;
        rest = behind.get(length.saturating_add(4)..).unwrap_or_default();
    }
    Ok(())
}

/// The decoder's message, with a chunk's name in the place of all that it knows of the chunk.
fn reason(error: &DecodingError) -> String {
    let reason = error.to_string();
    let chunk = reason.split_once("ChunkType { type: ").and_then(|(before, behind)| {
        let (name, behind) = behind.split_once(',')?;
        let (_, behind) = behind.split_once('}')?;
        Some(format!("{before}{name}{behind}"))
    });
    chunk.unwrap_or(reason)
}

/// All rows in RGB on white, or their alpha.
fn read_rows(
    reader: &mut Reader<Cursor<&[u8]>>,
    channels: Channels,
) -> Result<Vec<u8>, DecodingError> {
    let (width, height) = reader.info().size();
    let (color, _) = reader.output_color_type();
    let write = match channels {
        Channels::Rgb => write_rgb,
        Channels::Alpha => write_alpha,
    };
    let stride = channels.count() * width as usize;
    let mut levels = vec![0; stride * height as usize];
    let mut row = Vec::with_capacity(stride);
    let mut line = 0;
    while let Some(read) = reader.next_interlaced_row()? {
        match read.interlace() {
            InterlaceInfo::Null(_) => {
                let place = &mut levels[line * stride..][..stride];
                write(color, read.data(), place.iter_mut());
                line += 1;
            }
            InterlaceInfo::Adam7(pass) => {
                row.clear();
                row.resize(channels.count() * (read.data().len() / color.samples()), 0);
                write(color, read.data(), row.iter_mut());
                let bits = 8 * channels.count() as u8;
                expand_interlaced_row(&mut levels, stride, &row, pass, bits);
            }
        }
    }
    Ok(levels)
}

/// Writes pixels of 8 bits a sample as RGB.
fn write_rgb(color: ColorType, pixels: &[u8], mut levels: IterMut<u8>) {
    let mut write = |pixel: [u8; 3]| {
        for level in pixel {
            *levels.next().expect("as many pixels as the row has") = level;
        }
    };
    match color {
        ColorType::Grayscale | ColorType::Indexed => pixels.iter().for_each(|&l| write([l; 3])),
        ColorType::GrayscaleAlpha => {
            let pixels = pixels.as_chunks::<2>().0.iter();
            pixels.for_each(|&[l, alpha]| write(on_white([l, l, l, alpha])));
        }
        ColorType::Rgb => pixels.as_chunks::<3>().0.iter().for_each(|&p| write(p)),
        ColorType::Rgba => {
            let pixels = pixels.as_chunks::<4>().0.iter();
            pixels.for_each(|&pixel| write(on_white(pixel)));
        }
    }
}

/// Writes the alpha of pixels of 8 bits a sample.
fn write_alpha(color: ColorType, pixels: &[u8], levels: IterMut<u8>) {
    match color {
        ColorType::GrayscaleAlpha | ColorType::Rgba => {
            let alpha = pixels.iter().skip(color.samples() - 1).step_by(color.samples());
            levels.zip(alpha).for_each(|(level, alpha)| *level = *alpha);
        }
        ColorType::Grayscale | ColorType::Indexed | ColorType::Rgb => {
            levels.for_each(|level| *level = u8::MAX);
        }
    }
}
