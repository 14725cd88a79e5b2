//! The chunks of a WebP, walked to its end as libwebp does: its decoder takes what lengths claim at their word.

/// A chunk's name and length.
const HEADER: usize = 8;

/// Bytes of an animation's frame before its own chunks, and the header of an extended file.
const FRAME_HEADER: usize = 16;
const EXTENDED_HEADER: usize = 10;

/// Flags of an extended file.
const ANIMATION: u8 = 0x02;
const XMP: u8 = 0x04;
const EXIF: u8 = 0x08;
const ALPHA: u8 = 0x10;
const RESERVED: u8 = 0xc1;

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
        /// The class that is there.
        left: usize,
    },
    /// Less than a chunk's header is left.
    #[error("its declared length ends {left} bytes into a chunk's header of {HEADER}")]
    Rest {
        /// The rest.
        left: usize,
    },
    /// A chunk stands where it may not.
    #[error("its chunk {name} stands where it may not")]
    Order {
        /// The chunk's name.
        name: String,
    },
    /// The header of an extended file is too short, or has bits that nothing may set.
    #[error("its chunk VP8X is damaged")]
    Extended,
    /// There are no pixels.
    #[error("it holds no picture: neither a chunk VP8 nor VP8L")]
    NoImage,
}

/// The first frame as a WebP's chunks describe it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) lossless: bool,
    /// Whether a lossy frame has a chunk of alpha.
    pub(crate) alpha: bool,
    pub(crate) animated: bool,
    /// The place of the flags of an extended file, and those whose chunks are not there.
    pub(crate) unmet: Option<(usize, u8)>,
}

/// Refuses a WebP whose chunks do not lie within its declared length, and that within its file. What follows is not looked at.
pub(crate) fn check(bytes: &[u8]) -> Result<Layout, WebpError> {
    let declared = bytes
        .get(4..HEADER)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    let end = declared + HEADER as u64;
    if end > bytes.len() as u64 {
        return Err(WebpError::CutShort { declared: end, length: bytes.len() });
    }
    let body = bytes.get(HEADER + 4..end as usize).unwrap_or_default();
    let mut chunks = Chunks(body);
    match chunks.next().transpose()? {
        Some(first) if first.name == b"VP8X" => extended(&first, chunks),
        Some(first) if first.is_image() => Ok(frame(&first, None)),
        _ => Err(WebpError::NoImage),
    }
}

/// An extended file, of which every chunk has to be whole.
fn extended(header: &Chunk, chunks: Chunks) -> Result<Layout, WebpError> {
    let flags = match header.data {
        [flags, ..] if header.data.len() >= EXTENDED_HEADER && flags & RESERVED == 0 => *flags,
        _ => return Err(WebpError::Extended),
    };
    let (mut layout, mut met, mut before) = (None, 0, None);
    for chunk in chunks {
        let chunk = chunk?;
        let of_animation = flags & ANIMATION != 0;
        let alone = match chunk.name {
            b"VP8X" => return Err(chunk.misplaced()),
            b"ALPH" => layout.is_none() && before != Some(b"ALPH") && !of_animation,
            b"ANMF" if of_animation => {
                let inner = Chunks(chunk.data.get(FRAME_HEADER..).unwrap_or_default());
                let found = first_frame(inner)?;
                layout.get_or_insert(found);
                true
            }
            _ if chunk.is_image() => {
                let first = layout.is_none() && !of_animation;
                layout.get_or_insert(frame(&chunk, before));
                first
            }
            _ => true,
        };
        if !alone || before == Some(b"ALPH") && !chunk.is_image() {
            return Err(chunk.misplaced());
        }
        met |= chunk.flag();
        before = Some(chunk.name);
    }
    let mut layout = layout.ok_or(WebpError::NoImage)?;
    layout.animated = flags & ANIMATION != 0;
    if layout.animated || layout.lossless || layout.alpha {
        met |= ALPHA;
    }
    let flagged = flags & (EXIF | XMP | ALPHA);
    layout.unmet = Some((HEADER + 4 + HEADER, flagged & !met)).filter(|(_, flags)| *flags != 0);
    Ok(layout)
}

/// A frame of an animation.
fn first_frame(chunks: Chunks) -> Result<Layout, WebpError> {
    let mut before = None;
    for chunk in chunks {
        let chunk = chunk?;
        if chunk.is_image() {
            return Ok(frame(&chunk, before));
        }
        before = Some(chunk.name);
    }
    Err(WebpError::NoImage)
}

/// The sizes that an image's chunk and the one before it say.
fn frame(image: &Chunk, before: Option<&[u8; 4]>) -> Layout {
    Layout { lossless: image.name == b"VP8L", alpha: before == Some(b"ALPH"), ..Layout::default() }
}

struct Chunk<'a> {
    name: &'a [u8; 4],
    data: &'a [u8],
}

impl Chunk<'_> {
    fn is_image(&self) -> bool {
        matches!(self.name, b"VP8 " | b"VP8L")
    }

    /// The flag that announces it.
    fn flag(&self) -> u8 {
        match self.name {
            b"EXIF" => EXIF,
            b"XMP " => XMP,
            _ => 0,
        }
    }

    fn misplaced(&self) -> WebpError {
        WebpError::Order { name: shown(self.name) }
    }
}

fn shown(name: &[u8; 4]) -> String {
    let name = String::from_utf8_lossy(name);
    name.trim_end().escape_default().to_string()
}

/// Chunks that follow each other, each filled up to an even length.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, WebpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let Some((name, behind)) = rest.split_first_chunk() else {
            return Some(Err(WebpError::Rest { left: rest.len() }));
        };
        let Some((length, behind)) = behind.split_first_chunk() else {
            return Some(Err(WebpError::Rest { left: rest.len() }));
        };
        let declared = u32::from_le_bytes(*length) as usize;
        let Some((data, behind)) = behind.split_at_checked(declared.next_multiple_of(2)) else {
            return Some(Err(WebpError::Chunk { name: shown(name), declared, left: behind.len() }));
        };
        self.0 = behind;
        let data = &data[..declared];
        Some(Ok(Chunk { name, data }))
    }
}
