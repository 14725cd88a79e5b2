//! The segments of a JPEG, walked to its end mark: its decoder makes grey of what a file that was cut short lacks.

use std::ops::RangeInclusive;

/// Markers, each behind a byte 0xff (ITU T.81, table B.1).
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const TEM: u8 = 0x01;

const RST: RangeInclusive<u8> = 0xd0..=0xd7;

/// Why a JPEG is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The file ends before its end mark.
    #[error("it is cut short, its {length} bytes end without an end mark (EOI)")]
    CutShort {
        /// How long the file is.
        length: usize,
    },
    /// A way of coding that hardly anything reads.
    #[error(
        "its coding is {coding}, and only baseline and progressive JPEGs are read: `magick` makes a PNG of it"
    )]
    Coding {
        /// The name of the coding.
        coding: &'static str,
    },
}

/// Refuses a JPEG that does not go on to its own end mark (EOI), behind at least one scan. A thumbnail's lies inside a segment
/// and does not count, another picture's neither, and nothing that follows is looked at.
pub fn check(bytes: &[u8]) -> Result<(), JpegError> {
    let cut_short = Err(JpegError::CutShort {
        length: bytes.len(),
    });
    let Some(mut rest) = bytes.strip_prefix(&[0xff, SOI]) else {
        return cut_short;
    };
    let mut scans = 0;
    while let Some(marker) = next_marker(&mut rest) {
        if let Some(coding) = other_coding(marker) {
            return Err(JpegError::Coding { coding });
        }
        match marker {
            EOI if scans > 0 => return Ok(()),
            EOI | SOI => return cut_short,
            marker if marker == TEM || RST.contains(&marker) => {}
            marker if skip_segment(&mut rest) => scans += usize::from(marker == SOS),
            _ => return cut_short,
        }
    }
    cut_short
}

/// The coding that a frame's marker (SOF3 to SOF15, SOF55) announces, where it is not baseline, extended or progressive with
/// Huffman codes.
fn other_coding(marker: u8) -> Option<&'static str> {
    match marker {
        0xc3 => Some("lossless"),
        0xc5..=0xc7 => Some("hierarchical"),
        0xc9..=0xcb | 0xcd..=0xcf => Some("arithmetic"),
        0xf7 => Some("JPEG-LS"),
        _ => None,
    }
}

/// Goes behind the next marker. What lies before it is passed over: fill bytes, an entropy-coded segment with its stuffed
/// zeros, and what does not belong there, as libjpeg does.
fn next_marker(rest: &mut &[u8]) -> Option<u8> {
    loop {
        let place = rest.iter().position(|&byte| byte == 0xff)?;
        *rest = &rest[place..];
        let fill = rest.iter().position(|&byte| byte != 0xff)?;
        let marker = rest[fill];
        *rest = &rest[fill + 1..];
        if marker != 0 {
            return Some(marker);
        }
    }
}

/// Goes behind a segment, which begins with its own length; false where less than that is there.
fn skip_segment(rest: &mut &[u8]) -> bool {
    let length = rest.first_chunk().map(|length| u16::from_be_bytes(*length));
    let behind = length.filter(|&length| length >= 2);
    let behind = behind.and_then(|length| rest.get(usize::from(length)..));
    *rest = behind.unwrap_or_default();
    behind.is_some()
}
