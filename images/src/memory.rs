//! The limit on the memory that one image takes, from its file to its resized pixels.

use crate::decode::DecodeError;

/// The most memory that a picture may take, in bytes: its file, what decodes it, its pixels, and what turns or resizes them.
pub const MAX_MEMORY: u64 = 700_000_000;

/// Bytes of an 8-bit RGB pixel.
pub(crate) const RGB: u64 = 3;

/// The most pixels of an image: those of one that may be read, turned and resized.
pub const MOST_PIXELS: u64 = MAX_MEMORY / (2 * RGB);

/// Bytes of a filter's weights for each pixel along the side that is resized.
const WEIGHTS: u64 = 16;

/// An image's file, and the size that its header declares.
#[derive(Clone, Copy)]
pub(crate) struct ImageHeader<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl ImageHeader<'_> {
    pub(crate) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Refuses a picture without pixels, and one that would take too much memory, of which decoding takes `decoding` bytes beside the file. Whoever
    /// turns, cuts or resizes it has its pixels twice.
    pub(crate) fn check(self, decoding: u64) -> Result<(), DecodeError> {
        if self.pixels() == 0 {
            return Err(DecodeError::damaged(self.name, "it has no pixels"));
        }
        let longer = u64::from(self.width.max(self.height));
        let resizing = (2 * RGB * self.pixels()).saturating_add(WEIGHTS * longer);
        let needed = decoding.max(resizing).saturating_add(self.bytes.len() as u64);
        match needed > MAX_MEMORY {
            true => Err(DecodeError::TooLarge {
                path: self.name.to_owned(),
                width: self.width,
                height: self.height,
                needed,
            }),
            false => Ok(()),
        }
    }
}
