//! Texts in a PNG, of every kind and wherever they stand: iTXt, tEXt and zTXt, before and behind the pixels.

use std::io::Cursor;

use png::{Decoder, DecodingError, Info, Limits};

/// The longest text that is read, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Why a text is not read.
#[derive(Debug, thiserror::Error)]
pub enum PngTextError {
    /// The file is no sound PNG.
    #[error("cannot be read as a PNG: {0}")]
    File(DecodingError),
    /// The text itself is damaged, or too long.
    #[error("what it says of itself is damaged: {0}")]
    Text(DecodingError),
}

/// The first text under this keyword. The file is read to its end only where none stands before the pixels.
pub fn find_text(png: &[u8], keyword: &str) -> Result<Option<String>, PngTextError> {
    let limits = Limits { bytes: 16 * MAX_TEXT };
    let decoder = Decoder::new_with_limits(Cursor::new(png), limits);
    let mut reader = decoder.read_info().map_err(PngTextError::File)?;
    if let Some(text) = text_in(reader.info(), keyword)? {
        return Ok(Some(text));
    }
    reader.finish().map_err(PngTextError::File)?;
    text_in(reader.info(), keyword)
}

fn text_in(info: &Info, keyword: &str) -> Result<Option<String>, PngTextError> {
    if let Some(text) = info.utf8_text.iter().find(|t| t.keyword == keyword) {
        let mut text = text.clone();
        let unpacked = text.decompress_text_with_limit(MAX_TEXT);
        let text = unpacked.and_then(|()| text.get_text());
        return text.map(Some).map_err(PngTextError::Text);
    }
    let plain = &info.uncompressed_latin1_text;
    if let Some(text) = plain.iter().find(|t| t.keyword == keyword) {
        return Ok(Some(utf8(&text.text)));
    }
    let packed = &info.compressed_latin1_text;
    let Some(text) = packed.iter().find(|t| t.keyword == keyword) else {
        return Ok(None);
    };
    let mut text = text.clone();
    let unpacked = text.decompress_text_with_limit(MAX_TEXT);
    let text = unpacked.and_then(|()| text.get_text());
    text.map(|text| Some(utf8(&text))).map_err(PngTextError::Text)
}

/// A text that was read as Latin-1, as the format has it; or as UTF-8, which many write there all the same.
fn utf8(latin1: &str) -> String {
    let bytes = latin1.chars().map(|c| u8::try_from(u32::from(c)));
    let bytes: Result<Vec<u8>, _> = bytes.collect();
    let utf8 = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    utf8.unwrap_or_else(|| latin1.to_owned())
}
