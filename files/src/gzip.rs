//! Files that gzip packed, unpacked in memory.

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use crate::contents::Contents;

/// The bytes that are packed in `bytes`, or `bytes` themselves where their beginning is not gzip's (RFC 1952). Of either
/// there may be at most `most`: a few packed bytes can unpack to any number.
pub fn gunzip(bytes: &[u8], most: u64) -> io::Result<Cow<'_, [u8]>> {
    let unpacked = match Contents::of(bytes) {
        Some(Contents::Gzip) => {
            let mut unpacked = Vec::new();
            let mut decoder = MultiGzDecoder::new(bytes).take(most.saturating_add(1));
            decoder.read_to_end(&mut unpacked).map_err(broken)?;
            Cow::Owned(unpacked)
        }
        _ => Cow::Borrowed(bytes),
    };
    match unpacked.len() as u64 > most {
        true => Err(io::Error::other(format!("it has more than {most} bytes, which is the most"))),
        false => Ok(unpacked),
    }
}

fn broken(error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
        _ => error.to_string(),
    };
    let reason = format!("it is packed by gzip, and cannot be unpacked: {reason}");
    io::Error::new(error.kind(), reason)
}
