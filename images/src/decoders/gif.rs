//! GIFs: the first frame, by its numbers of colours.

use std::io::Cursor;

use gif::{DecodeOptions, Decoder, DecodingError, Frame, MemoryLimit};
use image::metadata::Orientation;

use super::{Channels, UnorientedImage};
use crate::decode::DecodeError;
use crate::memory::{ImageHeader, RGB};

const WHITE: u8 = 255;

const OPAQUE: u8 = 255;

/// The first frame of a GIF, on white.
pub(crate) fn decode(
    bytes: &[u8],
    name: &str,
    channels: Channels,
) -> Result<UnorientedImage, DecodeError> {
    let damaged = |error: DecodingError| DecodeError::damaged(name, error);
    let mut options = DecodeOptions::new();
    options.set_memory_limit(MemoryLimit::Unlimited); // what it limits is no longer than the file
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(damaged)?;
    let header =
        ImageHeader { name, bytes, width: decoder.width().into(), height: decoder.height().into() };
    let frame = match decoder.next_frame_info().map_err(damaged)? {
        Some(frame) => frame.clone(),
        None => return Err(DecodeError::damaged(name, "it holds no picture")),
    };
    if u32::from(frame.left) + u32::from(frame.width) > header.width
        || u32::from(frame.top) + u32::from(frame.height) > header.height
    {
        let (width, height) = (header.width, header.height);
        let reason = format!("its first frame leaves its {width} x {height} pixels");
        return Err(DecodeError::damaged(name, reason));
    }
    let pixels = u64::from(frame.width) * u64::from(frame.height);
    header.check(RGB * header.pixels() + pixels + bytes.len() as u64)?;
    let mut colours = vec![0; pixels as usize];
    decoder.read_into_buffer(&mut colours).map_err(damaged)?;
    let levels = match channels {
        Channels::Rgb => draw(&decoder, &frame, &colours).map_err(damaged)?,
        Channels::Alpha => alpha(header, &frame, &colours),
    };
    drop(colours);
    Ok(UnorientedImage {
        image: channels.image(header.width, header.height, levels),
        orientation: Orientation::NoTransforms,
        animated: matches!(decoder.next_frame_info(), Ok(Some(_))),
    })
}

/// A frame at its place on a canvas: white where one of its colours is transparent, else of its first colour, as Pillow has it.
fn draw<R: std::io::Read>(
    decoder: &Decoder<R>,
    frame: &Frame,
    colours: &[u8],
) -> Result<Vec<u8>, DecodingError> {
    let palette = decoder.palette()?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let around = match frame.transparent {
        Some(_) => [WHITE; 3],
        None => colour_of(palette, 0),
    };
    let mut levels = around.repeat(width * height);
    let rows = colours.chunks_exact(usize::from(frame.width).max(1));
    for (row, y) in rows.zip(top..height) {
        let line = &mut levels[3 * width * y..][..3 * width];
        let pixels = line.as_chunks_mut::<3>().0.iter_mut().skip(left);
        for (pixel, &colour) in pixels.zip(row) {
            if Some(colour) != frame.transparent {
                *pixel = colour_of(palette, colour);
            }
        }
    }
    Ok(levels)
}

/// The alpha of a frame at its place on a canvas: 0 where [`draw`] leaves white.
fn alpha(header: ImageHeader, frame: &Frame, colours: &[u8]) -> Vec<u8> {
    let width = header.width as usize;
    let around = if frame.transparent.is_some() { 0 } else { OPAQUE };
    let mut levels = vec![around; header.pixels() as usize];
    let rows = colours.chunks_exact(usize::from(frame.width).max(1));
    for (row, y) in rows.zip(usize::from(frame.top)..) {
        let line = &mut levels[width * y + usize::from(frame.left)..][..row.len()];
        for (level, &colour) in line.iter_mut().zip(row) {
            *level = if Some(colour) == frame.transparent { 0 } else { OPAQUE };
        }
    }
    levels
}

/// A colour; white where the palette is shorter.
fn colour_of(palette: &[u8], colour: u8) -> [u8; 3] {
    let (colours, _) = palette.as_chunks::<3>();
    colours.get(usize::from(colour)).copied().unwrap_or([WHITE; 3])
}
