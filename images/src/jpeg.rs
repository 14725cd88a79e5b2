//! The segments of a JPEG, walked to its end mark: its decoder makes grey of what a file that was cut short lacks.

use std::ops::RangeInclusive;

/// Markers, each behind a byte 0xff (ITU T.81, table B.1).
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const TEM: u8 = 0x01;

const RST: RangeInclusive<u8> = 0xd0..=0xd7;

/// Whether a JPEG goes on to its own end mark (EOI), behind at least one scan. A thumbnail's lies inside a segment and does
/// not count, another picture's neither, and nothing that follows is looked at.
pub fn is_complete(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&[0xff, SOI]) else {
        return false;
    };
    let mut scans = 0;
    while let Some(marker) = next_marker(&mut rest) {
        match marker {
            EOI => return scans > 0,
            SOI => return false,
            marker if marker == TEM || RST.contains(&marker) => {}
            marker if skip_segment(&mut rest) => scans += usize::from(marker == SOS),
            _ => return false,
        }
    }
    false
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
