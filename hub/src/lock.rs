//! The lock of a blob, which the Hub's Python client takes too: one process downloads it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use files::atomic::folder_of;

use crate::Error;
use crate::retry::{LOOK, Wait, pause};

/// A lock that ends when it is dropped; its file stays, so that all who wait for it wait for the same.
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits until no other process has it. Where the file system has no locks, nobody is waited for.
    pub(crate) fn take(path: &Path, wait: Wait) -> Result<Self, Error> {
        fs::create_dir_all(folder_of(path)).map_err(Error::io("make the folder of", path))?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).mode(0o664).open(path);
        let file = file.map_err(Error::io("open the lock", path))?;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            pause(2 * LOOK, wait)?;
        }
        Ok(Self { _file: file })
    }
}
