//! The beginning of a blob: hashed as it grows, resumed by the next run, and a blob once it is whole and right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use files::atomic::folder_of;

use crate::digest::Hasher;
use crate::{Digest, Error};

/// Bytes that are read and written at once.
pub(crate) const CHUNK: usize = 1 << 18;

/// The beginning of a blob.
pub(crate) struct Partial<'a> {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    digest: &'a Digest,
    size: u64,
    /// Bytes that are there.
    pub(crate) length: u64,
}

impl<'a> Partial<'a> {
    /// Opens what an earlier run left at `path`, or begins. `seen` is called with the bytes that were read again so far.
    pub(crate) fn open(
        path: PathBuf,
        digest: &'a Digest,
        size: u64,
        seen: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        fs::create_dir_all(folder_of(&path)).map_err(Error::io("make the folder of", &path))?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        let there = file.metadata().map_err(Error::io("open", &path))?.len();
        let mut partial =
            Self { path, file, hasher: Hasher::new(digest, size), digest, size, length: 0 };
        if there > size {
            partial.restart()?;
        } else {
            let mut buffer = vec![0; CHUNK];
            while partial.length < there {
                let most = (there - partial.length).min(CHUNK as u64) as usize;
                let read = partial.file.read(&mut buffer[..most]);
                match read.map_err(Error::io("read", &partial.path))? {
                    0 => break,
                    count => partial.hasher.update(&buffer[..count]),
                }
                partial.length =
                    partial.file.stream_position().map_err(Error::io("read", &partial.path))?;
                seen(partial.length)?;
            }
        }
        Ok(partial)
    }

    /// Throws away what is there.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(Error::io("empty", &self.path))?;
        self.hasher = Hasher::new(self.digest, self.size);
        self.length = 0;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let path = || self.path.display().to_string();
        self.file.write_all(bytes).map_err(|source| Error::Write { path: path(), source })?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes it the blob, where its digest is right; else removes it, and says which digest it has.
    pub(crate) fn finish(self, blob: &Path) -> Result<Result<(), Digest>, Error> {
        let found = self.hasher.finish();
        if found != *self.digest {
            fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))?;
            return Ok(Err(found));
        }
        // The rename takes the place of a link to the store of all repositories, and never writes through it.
        let named = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.path, blob)?;
            File::open(folder_of(blob))?.sync_all()
        };
        named().map_err(Error::io("write", blob))?;
        Ok(Ok(()))
    }

    /// Removes it.
    pub(crate) fn remove(self) -> Result<(), Error> {
        fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }
}

/// Removes a partial file of which nothing came. Where it cannot be removed it does no harm.
pub(crate) fn remove_empty(path: &Path) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        let _ = fs::remove_file(path);
    }
}
