//! The segments of a JPEG, walked to its end mark: its decoder makes grey of what a file that was cut short lacks.

use std::ops::RangeInclusive;

/// Markers, each behind a byte 0xff (ITU T.81, table B.1).
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DHT: u8 = 0xc4;
const TEM: u8 = 0x01;
const SOF2: u8 = 0xc2;

const RST: RangeInclusive<u8> = 0xd0..=0xd7;
const APP: RangeInclusive<u8> = 0xe0..=0xef;

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
    /// A scan that refines what no scan has begun.
    #[error("the scan of coefficients {first} to {last} has impossible parameters")]
    Scan {
        /// The first coefficient.
        first: u8,
        /// The last one.
        last: u8,
    },
    /// A second frame, or a scan behind that of all components.
    #[error("a second {segment} stands behind its pixels")]
    Twice {
        /// The segment's name.
        segment: &'static str,
    },
    /// A scan is coded by a table that no segment has.
    #[error("no Huffman table {table} stands before the scan that is coded by it")]
    NoTable {
        /// The table's number.
        table: u8,
    },
    /// Nothing says how large the picture is.
    #[error("no frame header (SOF) stands before its pixels")]
    NoFrame,
}

/// The frame as a JPEG's segments describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// The sampling factors of each component, horizontal and vertical.
    pub(crate) components: Vec<[u8; 2]>,
    progressive: bool,
    /// Components in the first scan.
    first_scan: usize,
    /// The Huffman tables that were defined, by their classes and numbers (ITU T.81, B.2.4.2).
    tables: [bool; 32],
    /// Bytes of segments that applications wrote: profiles, EXIF, thumbnails.
    pub(crate) segments: u64,
}

impl Frame {
    /// The frame header's fields (ITU T.81, B.2.2).
    fn read(&mut self, marker: u8, segment: &[u8]) {
        let [_, _, _, high, low, wide, narrow, count, components @ ..] = segment else {
            return;
        };
        self.height = u16::from_be_bytes([*high, *low]);
        self.width = u16::from_be_bytes([*wide, *narrow]);
        self.progressive = marker == SOF2;
        let (components, _) = components.as_chunks::<3>();
        let factors = |[_, factors, _]: &[u8; 3]| [factors >> 4, factors & 15];
        self.components = components.iter().take((*count).into()).map(factors).collect();
    }

    /// Takes the tables of a segment (DHT): `[class and number, 16 counts, values]` each.
    fn define_tables(&mut self, segment: &[u8]) {
        let mut rest = segment.get(2..).unwrap_or_default();
        while let Some((head, behind)) = rest.split_first_chunk::<17>() {
            if let Some(table) = self.tables.get_mut(usize::from(head[0])) {
                *table = true;
            }
            let values = head[1..].iter().map(|&count| usize::from(count)).sum();
            rest = behind.get(values..).unwrap_or_default();
        }
    }

    /// Checks that the tables of a scan are there: those of the first coefficient, and those of the others.
    fn check_tables(&self, segment: &[u8]) -> Result<(), JpegError> {
        let Some((&[first, _, bits], head)) = segment.split_last_chunk::<3>().map(|(h, t)| (t, h))
        else {
            return Ok(());
        };
        let (components, _) = head.get(3..).unwrap_or_default().as_chunks::<2>();
        for [_, tables] in components {
            let [direct, others] = [tables >> 4, 16 + (tables & 15)];
            let refines = bits >> 4 > 0;
            let direct = (first == 0 && !refines).then_some(direct);
            let others = (first > 0 || !self.progressive).then_some(others);
            for table in [direct, others].into_iter().flatten() {
                if !self.tables.get(usize::from(table)).is_some_and(|&there| there) {
                    return Err(JpegError::NoTable { table: table & 15 });
                }
            }
        }
        Ok(())
    }

    /// Checks the header of a scan of a progressive picture (ITU T.81, G.1.1.1); `[components, .., Ss, Se, Ah and Al]`.
    fn check_scan(&self, segment: &[u8]) -> Result<(), JpegError> {
        let [_, _, components, .., first, last, bits] = *segment else {
            return Ok(());
        };
        let (before, now) = (bits >> 4, bits & 15);
        let spectrum = match first {
            0 => last == 0,
            _ => (first..64).contains(&last) && components == 1,
        };
        let precision = now <= 13 && (before == 0 || before == now + 1);
        match !self.progressive || spectrum && precision {
            true => Ok(()),
            false => Err(JpegError::Scan { first, last }),
        }
    }

    /// Whether the blocks of all scans are kept until the last one is read.
    pub(crate) fn scans_refine(&self) -> bool {
        self.progressive || self.first_scan != self.components.len()
    }

    /// Samples of all components, filled up to whole blocks.
    pub(crate) fn samples(&self) -> u64 {
        let most = |direction: usize| {
            let factors = self.components.iter().map(|factors| factors[direction]);
            u64::from(factors.max().unwrap_or(0).max(1))
        };
        let blocks = |side: u16, most: u64| u64::from(side).div_ceil(8 * most);
        let units = blocks(self.width, most(0)) * blocks(self.height, most(1));
        let factors = self.components.iter().map(|[h, v]| u64::from(h * v));
        64 * units * factors.sum::<u64>()
    }
}

/// Refuses a JPEG that does not go on to its own end mark (EOI), behind at least one scan. A thumbnail's lies inside a segment
/// and does not count, another picture's neither, and nothing that follows is looked at.
pub(crate) fn check(bytes: &[u8]) -> Result<Frame, JpegError> {
    let cut_short = Err(JpegError::CutShort { length: bytes.len() });
    let Some(mut rest) = bytes.strip_prefix(&[0xff, SOI]) else {
        return cut_short;
    };
    let (mut frame, mut scans) = (Frame::default(), 0);
    while let Some(marker) = next_marker(&mut rest) {
        if let Some(coding) = other_coding(marker) {
            return Err(JpegError::Coding { coding });
        }
        match marker {
            EOI if scans > 0 && frame.components.is_empty() => return Err(JpegError::NoFrame),
            EOI if scans > 0 => return Ok(frame),
            EOI | SOI => return cut_short,
            marker if marker == TEM || RST.contains(&marker) => continue,
            _ => {}
        }
        let Some(segment) = segment(&mut rest) else {
            return cut_short;
        };
        match marker {
            SOS if scans > 0 && !frame.scans_refine() => {
                return Err(JpegError::Twice { segment: "scan (SOS)" });
            }
            SOS => {
                frame.check_scan(segment)?;
                frame.check_tables(segment)?;
            }
            0xc0..=SOF2 if !frame.components.is_empty() => {
                return Err(JpegError::Twice { segment: "frame header (SOF)" });
            }
            DHT => frame.define_tables(segment),
            _ => {}
        }
        match marker {
            SOS if scans == 0 => frame.first_scan = segment.get(2).copied().unwrap_or(0).into(),
            0xc0..=SOF2 if frame.components.is_empty() => frame.read(marker, segment),
            marker if APP.contains(&marker) => frame.segments += segment.len() as u64,
            _ => {}
        }
        scans += usize::from(marker == SOS);
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

/// Goes behind a segment, which begins with its own length; `None` where less than that is there.
fn segment<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.first_chunk().map(|length| u16::from_be_bytes(*length));
    let length = length.filter(|&length| length >= 2)?;
    let (segment, behind) = rest.split_at_checked(length.into())?;
    *rest = behind;
    Some(segment)
}
