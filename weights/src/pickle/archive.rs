//! The zip archive around a state dict: where its files lie, in the archive itself or unpacked.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use files::text::excerpt;
use zip::{CompressionMethod, ZipArchive};

use super::machine;
use super::program::Program;
use super::{PickleError, Span, StateDict};
use crate::stored::Blob;

/// Beside twice the archive's own length, so many bytes may come out of it.
const SPARE: u64 = 64 << 20;

/// The name of the pickle.
const PROGRAM: &str = "data.pkl";

/// The tensors of a state dict, and where their numbers lie.
pub(super) fn read(blob: &Rc<Blob>) -> Result<StateDict, PickleError> {
    let mut archive = Archive::open(blob)?;
    if let Some(order) = archive.file("byteorder")?
        && order.blob.read(order.start, order.length.min(16)) != b"little"
    {
        return Err(PickleError::ByteOrder);
    }
    let program = archive.file(PROGRAM)?.ok_or(PickleError::NoProgram)?;
    let end = program.start + program.length;
    let tensors = machine::run(&mut Program::new(&program.blob, program.start, end))?.tensors()?;
    let mut spans = HashMap::new();
    for (_, view) in &tensors {
        let key = &view.storage.key;
        if !spans.contains_key(key)
            && let Some(span) = archive.file(&format!("data/{key}"))?
        {
            spans.insert(key.clone(), span);
        }
    }
    Ok(StateDict { tensors, spans })
}

/// The files of an archive by their names beside the pickle.
struct Archive {
    blob: Rc<Blob>,
    zip: ZipArchive<BufReader<Reader>>,
    files: HashMap<String, usize>,
    /// How many bytes may still be unpacked.
    room: u64,
}

impl Archive {
    /// Reads the archive's directory.
    fn open(blob: &Rc<Blob>) -> Result<Self, PickleError> {
        let reader = BufReader::new(Reader {
            blob: blob.clone(),
            at: 0,
        });
        let zip = ZipArchive::new(reader).map_err(damaged)?;
        // PyTorch puts everything into one folder of any name; whoever packs its contents again may put none around them.
        let folder = |name: &&str| match name.strip_suffix(PROGRAM) {
            Some(folder) => folder.is_empty() || folder.ends_with('/'),
            None => false,
        };
        let program = zip
            .file_names()
            .filter(folder)
            .min_by_key(|name| name.len());
        let folder = program.ok_or(PickleError::NoProgram)?;
        let folder = folder[..folder.len() - PROGRAM.len()].to_owned();
        let mut files = HashMap::new();
        for index in 0..zip.len() {
            if let Some(below) = zip
                .name_for_index(index)
                .and_then(|n| n.strip_prefix(&folder))
            {
                files.insert(below.to_owned(), index);
            }
        }
        if files.contains_key("constants.pkl") {
            return Err(PickleError::TorchScript);
        }
        Ok(Self {
            zip,
            files,
            room: 2 * blob.len() as u64 + SPARE,
            blob: blob.clone(),
        })
    }

    /// The bytes of a file, where there is one of this name.
    fn file(&mut self, name: &str) -> Result<Option<Span>, PickleError> {
        let Some(&index) = self.files.get(name) else {
            return Ok(None);
        };
        let file = self.zip.by_index_raw(index).map_err(damaged)?;
        let (start, length) = (file.data_start(), file.size());
        let outside = || PickleError::Archive(format!("its file {} ends beyond it", excerpt(name)));
        match (file.compression(), file.encrypted()) {
            (CompressionMethod::Stored, false) => {
                let end = start.checked_add(length);
                if end.is_none_or(|end| end > self.blob.len() as u64) {
                    return Err(outside());
                }
                Ok(Some(Span {
                    blob: self.blob.clone(),
                    start: start as usize,
                    length: length as usize,
                }))
            }
            (CompressionMethod::Deflated, false) => {
                drop(file);
                self.unpack(index, name, length).map(Some)
            }
            _ => Err(PickleError::Compressed(excerpt(name))),
        }
    }

    fn unpack(&mut self, index: usize, name: &str, length: u64) -> Result<Span, PickleError> {
        let most = self.room;
        let room = most.checked_sub(length);
        self.room = room.ok_or_else(|| PickleError::TooLarge {
            file: excerpt(name),
            length,
            most,
        })?;
        let mut file = self.zip.by_index(index).map_err(damaged)?;
        let unpacked = Blob::unpacked(self.blob.name.clone(), &mut file, length as usize);
        let unpacked = unpacked.map_err(|error| {
            PickleError::Archive(format!("its file {}: {error}", excerpt(name)))
        })?;
        Ok(Span {
            blob: Rc::new(unpacked),
            start: 0,
            length: length as usize,
        })
    }
}

fn damaged(error: zip::result::ZipError) -> PickleError {
    PickleError::Archive(error.to_string())
}

/// A blob as the zip crate wants to see it.
struct Reader {
    blob: Rc<Blob>,
    at: u64,
}

impl Read for Reader {
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

impl Seek for Reader {
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
