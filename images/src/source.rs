//! The bytes of a picture's file, or of a stream that cannot seek, within bounds.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use files::contents::ENOUGH;

use crate::MAX_PIXELS;
use crate::decode::DecodeError;
use crate::formats::FileKind;

/// The longest file that is read, in bytes: every pixel unpacked, as 16-bit RGBA, and a quarter more for what lies around
/// them.
pub const MAX_FILE_BYTES: u64 = 10 * MAX_PIXELS;

/// The bytes of a picture's file, which may be a pipe. What does not begin as a picture is refused unread.
pub fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, _)) if metadata.is_dir() => Err(DecodeError::File {
            path: name,
            error: ErrorKind::IsADirectory.into(),
        }),
        Ok((metadata, _)) if metadata.len() > MAX_FILE_BYTES => {
            Err(DecodeError::TooLong { path: name })
        }
        Ok((_, file)) => read_stream(file, &name),
        Err(error) => Err(DecodeError::File { path: name, error }),
    }
}

/// The same of a stream that errors call `name`.
pub fn read_stream(mut stream: impl Read, name: &str) -> Result<Vec<u8>, DecodeError> {
    let path = || name.to_owned();
    let file_error = |error| DecodeError::File {
        path: path(),
        error,
    };
    let mut bytes = Vec::new();
    let mut first = stream.by_ref().take(ENOUGH as u64);
    first.read_to_end(&mut bytes).map_err(file_error)?;
    if let Some(kind) = FileKind::of(&bytes, Path::new(name)) {
        return Err(DecodeError::Unknown { path: path(), kind });
    }
    let mut rest = stream.take(MAX_FILE_BYTES + 1 - bytes.len() as u64);
    rest.read_to_end(&mut bytes).map_err(file_error)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(DecodeError::TooLong { path: path() }),
        false => Ok(bytes),
    }
}
