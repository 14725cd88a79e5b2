//! The bytes of a picture's file, or of a stream that cannot seek, within bounds.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use files::contents::ENOUGH;

use crate::decode::DecodeError;
use crate::formats::FileKind;
use crate::memory::MAX_MEMORY;

/// The longest file that is read, in bytes: one of 16-bit RGBA without compression, whose pixels still have room beside it.
pub const MAX_FILE_BYTES: u64 = MAX_MEMORY / (8 + 2 * 3) * 8;

/// The bytes of a picture's file, which may be a pipe. What does not begin as a picture is refused unread.
pub fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| match file.metadata()? {
        folder if folder.is_dir() => Err(ErrorKind::IsADirectory.into()),
        metadata => Ok((file, metadata.len())),
    });
    match opened {
        Ok((file, length)) => read(file, length, &name),
        Err(error) => Err(DecodeError::File { path: name, error }),
    }
}

/// The same of a stream that errors call `name`.
pub fn read_stream(stream: impl Read, name: &str) -> Result<Vec<u8>, DecodeError> {
    read(stream, 0, name)
}

/// Reads a stream of so many bytes or more.
fn read(mut stream: impl Read, length: u64, name: &str) -> Result<Vec<u8>, DecodeError> {
    let path = || name.to_owned();
    let file_error = |error| DecodeError::File { path: path(), error };
    let mut bytes = Vec::new();
    let mut first = stream.by_ref().take(ENOUGH as u64);
    first.read_to_end(&mut bytes).map_err(file_error)?;
    if let Some(kind) = FileKind::of(&bytes, Path::new(name)) {
        return Err(DecodeError::Unknown { path: path(), kind });
    }
    if length <= MAX_FILE_BYTES {
        let mut rest = stream.take(MAX_FILE_BYTES + 1 - bytes.len() as u64);
        rest.read_to_end(&mut bytes).map_err(file_error)?;
    }
    match length.max(bytes.len() as u64) > MAX_FILE_BYTES {
        true => Err(DecodeError::TooLong { path: path() }),
        false => Ok(bytes),
    }
}
