//! Whole files of bounded length.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The longest configuration, vocabulary, or other text beside a model.
pub const LONGEST_TEXT: u64 = 1 << 24;

/// The bytes of the plain file at `path`, of which there may be at most `most`: a fifo or a device would have no end.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let too_long = |length| {
        let reason = format!("it has {length} bytes, and at most {most} are read");
        Err(io::Error::other(reason))
    };
    if metadata.len() > most {
        return too_long(metadata.len());
    }
    // Some files have more than they say.
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        length if length > most => too_long(length),
        _ => Ok(bytes),
    }
}
