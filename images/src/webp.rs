//! The chunks of a WebP, walked to its end: its decoder takes what lengths claim at their word.

/// A header of a chunk: its name and its length.
const HEADER: usize = 8;

/// What a chunk of a frame has before its own chunks.
const FRAME_HEADER: usize = 16;

/// Why a WebP is not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebpError {
    /// The file ends before its declared length.
    #[error("it is cut short: its header declares {declared} bytes, and {length} are there")]
    CutShort {
        /// The declared length, with the header's own.
        declared: u64,
        /// How long the file is.
        length: usize,
    },
    /// A chunk ends behind what holds it.
    #[error("its chunk {name} declares {declared} bytes, and {left} are left of what holds it")]
    Chunk {
        /// The chunk's name.
        name: String,
        /// Its declared length.
        declared: usize,
        /// What is there.
        left: usize,
    },
    /// There are no pixels.
    #[error("it holds no picture: neither a chunk VP8 nor VP8L")]
    NoPicture,
}

/// What a WebP's chunks say of its first frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) lossless: bool,
    /// Whether a lossy frame has a chunk of alpha.
    pub(crate) alpha: bool,
    pub(crate) animated: bool,
}

/// Refuses a WebP whose chunks do not lie within its file. What follows its declared length is not looked at.
pub(crate) fn check(bytes: &[u8]) -> Result<Layout, WebpError> {
    let declared = bytes
        .get(4..HEADER)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    let end = declared + HEADER as u64;
    if end > bytes.len() as u64 {
        return Err(WebpError::CutShort {
            declared: end,
            length: bytes.len(),
        });
    }
    let mut layout = Layout::default();
    let body = bytes.get(HEADER + 4..end as usize).unwrap_or_default();
    match walk(body, &mut layout)? {
        true => Ok(layout),
        false => Err(WebpError::NoPicture),
    }
}

/// Goes over chunks, up to the first that is a picture or a frame; false where there is none.
fn walk(mut rest: &[u8], layout: &mut Layout) -> Result<bool, WebpError> {
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
        let [name @ .., _, _, _, _] = header;
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let Some(data) = behind.get(..length) else {
            return Err(WebpError::Chunk {
                name: String::from_utf8_lossy(name).trim_end().to_owned(),
                declared: length,
                left: behind.len(),
            });
        };
        match name {
            b"VP8 " => return Ok(true),
            b"VP8L" => {
                layout.lossless = true;
                return Ok(true);
            }
            b"ALPH" => layout.alpha = true,
            b"ANMF" => {
                layout.animated = true;
                return walk(data.get(FRAME_HEADER..).unwrap_or_default(), layout);
            }
            _ => {}
        }
        rest = behind.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    Ok(false)
}
