//! The zip archive around a state dict: where its files lie.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use zip::{CompressionMethod, ZipArchive};

use super::PickleError;
use crate::error::shown;
use crate::stored::Blob;

/// A longer program than any model's is refused before it is read.
const LONGEST_PROGRAM: usize = 1 << 28;

/// The files of an archive by their name below its one folder, as `(start, length)` within the archive.
pub(super) struct Archive<'a> {
    blob: &'a Blob,
    files: HashMap<String, (usize, usize)>,
}

impl<'a> Archive<'a> {
    /// Reads the archive's directory. Everything in it must be stored as it is, as PyTorch does.
    pub fn open(blob: &'a Blob) -> Result<Self, PickleError> {
        let begins = blob.read(0, blob.len().min(2));
        match begins[..] {
            [b'P', b'K'] => {}
            [0x80, _] => return Err(PickleError::Legacy),
            _ => return Err(PickleError::NoArchive),
        }
        let damaged = |error: &dyn std::fmt::Display| PickleError::Archive(error.to_string());
        let reader = BufReader::new(Reader { blob, at: 0 });
        let mut zip = ZipArchive::new(reader).map_err(|error| damaged(&error))?;
        if zip
            .file_names()
            .any(|name| name.ends_with("/constants.pkl"))
        {
            return Err(PickleError::TorchScript);
        }
        let mut files = HashMap::new();
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(|error| damaged(&error))?;
            let name = file.name().to_owned();
            if file.compression() != CompressionMethod::Stored || file.encrypted() {
                return Err(PickleError::Compressed(shown(&name)));
            }
            let (start, length) = (file.data_start(), file.size());
            let end = start.checked_add(length);
            if end.is_none_or(|end| end > blob.len() as u64) {
                let name = shown(&name);
                return Err(damaged(&format!("its file {name} ends beyond it")));
            }
            // PyTorch puts everything into one folder of any name.
            let below = match name.split_once('/') {
                Some((_, below)) => below.to_owned(),
                None => name,
            };
            files.insert(below, (start as usize, length as usize));
        }
        let archive = Self { blob, files };
        match archive.read("byteorder").as_deref() {
            None | Some(b"little") => Ok(archive),
            _ => Err(PickleError::ByteOrder),
        }
    }

    /// The pickle.
    pub fn program(&self) -> Result<Vec<u8>, PickleError> {
        self.read("data.pkl").ok_or(PickleError::NoProgram)
    }

    /// Where a storage's bytes lie in the file, `(start, length)`.
    pub fn storage(&self, key: &str) -> Option<(usize, usize)> {
        self.files.get(&format!("data/{key}")).copied()
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let &(start, length) = self.files.get(name)?;
        (length <= LONGEST_PROGRAM).then(|| self.blob.read(start, length))
    }
}

/// A blob as the zip crate wants to see it.
struct Reader<'a> {
    blob: &'a Blob,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = (self.blob.len() as u64).saturating_sub(self.at);
        let length = left.min(buffer.len() as u64) as usize;
        if length > 0 {
            let bytes = self.blob.read(self.at as usize, length);
            buffer[..length].copy_from_slice(&bytes);
        }
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => (self.blob.len() as u64).checked_add_signed(by),
        };
        let outside = || std::io::Error::other("a place before the beginning");
        self.at = at.ok_or_else(outside)?;
        Ok(self.at)
    }
}
