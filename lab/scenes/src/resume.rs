//! Resumption of an export that was stopped: a state file says which export a folder belongs to, until all of it is there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use files::atomic;
use serde::Deserialize;

use crate::export::{Export, ExportError};

/// The file; hidden, so that nothing that reads folders of images sees it.
const STATE: &str = ".unclip-scenes.json";

/// The most of such a file that is read.
const LONGEST_STATE: u64 = 1 << 12;

/// The longest line of the metadata that is read: all labels of a scene are a tenth of it.
const LONGEST_LINE: u64 = 1 << 14;

/// Puts down which export a folder belongs to.
pub(crate) fn begin(folder: &Path, options: &Export) -> io::Result<()> {
    let state = serde_json::to_vec(options).expect("plain numbers");
    atomic::write(&folder.join(STATE), &state, true)
}

/// Takes it away: all of the export is there, or nothing.
pub(crate) fn end(folder: &Path) -> io::Result<()> {
    fs::remove_file(folder.join(STATE))
}

/// Whether an export was begun in a folder and not ended. Refuses one that is not `options`.
pub(crate) fn is_begun(folder: &Path, options: &Export) -> Result<bool, ExportError> {
    let path = folder.join(STATE);
    let mut bytes = Vec::new();
    let read = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Ok(found) if !found.is_file() => Err(io::Error::other("it is no plain file")),
        _ => File::open(&path).and_then(|file| file.take(LONGEST_STATE).read_to_end(&mut bytes)),
    };
    let begun: Export = read
        .and_then(|_| Ok(serde_json::from_slice(&bytes)?))
        .map_err(|source| ExportError::State { path, source })?;
    match begun == *options {
        true => Ok(true),
        false => Err(ExportError::Another { folder: folder.to_owned(), begun, new: *options }),
    }
}

/// The point at which an export goes on.
pub(crate) struct ResumePoint {
    /// The file, at its end.
    pub(crate) file: File,
    /// Its bytes, all of them whole lines.
    pub(crate) length: u64,
    /// The images that have a line, in their order.
    pub(crate) done: u64,
}

/// Cuts the metadata at `path` behind the last line that belongs to an image, where lines have the names of `expected`;
/// `None` where there is no line yet.
pub(crate) fn recover(
    path: &Path,
    expected: impl Fn(u64) -> (String, PathBuf),
) -> io::Result<Option<ResumePoint>> {
    #[derive(Deserialize)]
    struct Line {
        file_name: String,
    }
    let mut file = match OpenOptions::new().read(true).append(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut length, mut done) = (0, 0);
    let mut lines = BufReader::new(&mut file);
    let mut line = Vec::new();
    loop {
        line.clear();
        lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        let (name, image) = expected(done);
        let is_ours =
            serde_json::from_slice::<Line>(&line).is_ok_and(|found| found.file_name == name);
        if line.last() != Some(&b'\n') || !is_ours || !image.is_file() {
            break;
        }
        length += line.len() as u64;
        done += 1;
    }
    file.set_len(length)?;
    Ok(Some(ResumePoint { file, length, done }))
}
