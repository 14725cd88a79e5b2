//! WebPs, lossy and lossless: the first frame.

use std::borrow::Cow;
use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{Channels, UnorientedImage, on_white, orientation};
use crate::decode::DecodeError;
use crate::memory::{ImageHeader, RGB};
use crate::webp::{Layout, check};

const RGBA: u64 = 4;

/// The longest EXIF that is read: what a JPEG's segment holds.
const MAX_EXIF: usize = 1 << 16;

/// The pixels of a WebP whose chunks are whole.
pub(crate) fn decode(
    bytes: &[u8],
    name: &str,
    channels: Channels,
) -> Result<UnorientedImage, DecodeError> {
    let layout = check(bytes).map_err(|error| DecodeError::damaged(name, error))?;
    let damaged = |error: DecodingError| DecodeError::damaged(name, error);
    let sound = announce_what_is_there(bytes, &layout);
    let mut decoder = WebPDecoder::new(Cursor::new(&*sound)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let header = ImageHeader { name, bytes, width, height };
    let alpha = decoder.has_alpha();
    header.check(memory(header, &layout, alpha))?;
    decoder.set_memory_limit(MAX_EXIF);
    let exif = decoder.exif_metadata().ok().flatten();
    let mut levels = vec![0; decoder.output_buffer_size().unwrap_or(0)];
    decoder.read_image(&mut levels).map_err(damaged)?;
    let animated = decoder.num_frames() > 1;
    drop(decoder);
    match channels {
        Channels::Rgb if alpha => lay_on_white(&mut levels),
        Channels::Rgb => {}
        Channels::Alpha if alpha => levels = levels.into_iter().skip(3).step_by(4).collect(),
        Channels::Alpha => levels = vec![u8::MAX; header.pixels() as usize],
    }
    Ok(UnorientedImage {
        image: channels.image(width, height, levels),
        orientation: orientation(exif.as_deref()),
        animated,
    })
}

/// The same file, which announces no EXIF, XMP or alpha that it has not: libwebp reads those, and the decoder does not.
fn announce_what_is_there<'a>(bytes: &'a [u8], layout: &Layout) -> Cow<'a, [u8]> {
    let mut bytes = Cow::Borrowed(bytes);
    if let Some((place, flags)) = layout.unmet {
        bytes.to_mut()[place] &= !flags;
    }
    bytes
}

/// Bytes that decoding takes. A lossless frame is always decoded with alpha, and its transforms take a part of it; a lossy one
/// as luma and chroma, whose alpha may itself be a lossless frame; an animation has a canvas of its own.
fn memory(header: ImageHeader, layout: &Layout, alpha: bool) -> u64 {
    let out = if alpha { RGBA } else { RGB };
    let frame = match (layout.lossless, layout.alpha) {
        (true, _) => RGBA + 1,
        (false, true) => 2 + RGBA + 2,
        (false, false) => 2,
    };
    let canvas = match layout.animated {
        true => 2 * RGBA,
        false => 0,
    };
    let copies = 1 + u64::from(layout.unmet.is_some());
    (out + frame + canvas) * header.pixels() + copies * header.bytes.len() as u64
}

/// RGBA to RGB, in its place.
fn lay_on_white(levels: &mut Vec<u8>) {
    let pixels = levels.len() / RGBA as usize;
    for pixel in 0..pixels {
        let rgba = *levels[4 * pixel..].first_chunk().expect("four levels");
        levels[3 * pixel..][..3].copy_from_slice(&on_white(rgba));
    }
    levels.truncate(3 * pixels);
    levels.shrink_to_fit();
}
