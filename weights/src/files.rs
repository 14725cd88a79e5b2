//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use files::atomic::AtomicFile;

use crate::Error;

/// Writes a file through `write`, and puts it in the place of `path` only when all of it is on the disk: to a file
/// beside it first, which is synchronised and renamed. After an error the old file is as it was.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = path.as_ref();
    let failed = || Error::io("write", path.display());
    let mut file = AtomicFile::create(path).map_err(failed())?;
    let mut writer = file.writer();
    write(&mut writer)?;
    writer.flush().map_err(failed())?;
    drop(writer);
    file.commit(true).map_err(failed())
}

/// Copies a file to `to`, which is called `shown` in errors.
pub fn copy_file(from: &Path, to: &Path, shown: &Path) -> Result<(), Error> {
    let mut source = File::open(from).map_err(Error::io("read", from.display()))?;
    let mut copy = || {
        let mut file = AtomicFile::create(to)?;
        let mut writer = file.writer();
        io::copy(&mut source, &mut writer)?;
        writer.flush()?;
        drop(writer);
        file.commit(true)
    };
    copy().map_err(Error::io("write", shown.display()))
}
