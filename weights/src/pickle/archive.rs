//! The zip archive around a state dict: where its files lie, in the archive itself or unpacked. That of a TorchScript module has
//! its code and its constants beside, none of which is read.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use crc32fast::Hasher;
use flate2::bufread::DeflateDecoder;

use super::directory::{self, Member, Packing, ambiguous};
use super::machine;
use super::program::Program;
use super::{PickleError, Span, StateDict, Views};
use crate::blob::Blob;
use crate::budget::{Budget, OverBudget};
use files::text::excerpt;

/// The name of the pickle.
const PROGRAM: &str = "data.pkl";

/// The bytes that are looked at in one go.
const PART: usize = 1 << 18;

/// The tensors of a state dict, and where their numbers lie.
pub(super) fn read(blob: &Rc<Blob>) -> Result<StateDict, PickleError> {
    let mut archive = Archive::open(blob)?;
    if let Some(order) = archive.file("byteorder")?
        && order.blob.read(order.start, order.length.min(16)) != b"little"
    {
        return Err(PickleError::ByteOrder);
    }
    let tensors = archive.tensors()?;
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

/// The names of a state dict's tensors.
pub(super) fn read_names(blob: &Rc<Blob>) -> Result<Vec<String>, PickleError> {
    let tensors = Archive::open(blob)?.tensors()?;
    Ok(tensors.into_iter().map(|(name, _)| name.to_string()).collect())
}

/// The files of an archive by their names beside the pickle.
struct Archive {
    blob: Rc<Blob>,
    files: HashMap<String, Member>,
    budget: Budget,
}

impl Archive {
    /// Reads the archive's directory.
    fn open(blob: &Rc<Blob>) -> Result<Self, PickleError> {
        let mut budget = Budget::of(blob.len());
        let members = directory::read(blob, &mut budget)?;
        let folder = folder(&members)?.to_owned();
        let mut files = HashMap::new();
        for member in members {
            if let Some(name) = member.name.strip_prefix(&folder) {
                files.insert(name.to_owned(), member);
            } else if !member.name.ends_with('/') || !folder.starts_with(&member.name) {
                return Err(ambiguous(format!(
                    "{} lies outside {}, the folder of its {PROGRAM}",
                    excerpt(&member.name),
                    excerpt(&folder)
                )));
            }
        }
        Ok(Self { files, budget, blob: blob.clone() })
    }

    /// The tensors that the pickle makes.
    fn tensors(&mut self) -> Result<Views, PickleError> {
        let program = self.file(PROGRAM)?.ok_or(PickleError::NoProgram)?;
        let end = program.start + program.length;
        let mut bytes = Program::new(&program.blob, program.start, end);
        machine::run(&mut bytes, &mut self.budget)?.tensors(&mut self.budget)
    }

    /// The bytes of a file, where there is one of this name.
    fn file(&mut self, name: &str) -> Result<Option<Span>, PickleError> {
        let Some(member) = self.files.get(name) else {
            return Ok(None);
        };
        let place = member.place.start as usize..member.place.end as usize;
        let span = match member.packing {
            Packing::StoredTensor => {
                let mut part = vec![0; PART.min(place.len())];
                let mut crc = Hasher::new();
                for start in place.clone().step_by(PART) {
                    let part = &mut part[..PART.min(place.end - start)];
                    self.blob.read_into(start, part);
                    crc.update(part);
                }
                check(member, crc)?;
                Span { blob: self.blob.clone(), start: place.start, length: place.len() }
            }
            Packing::Deflated => unpack(&self.blob, member, &mut self.budget)?,
            Packing::Other => return Err(PickleError::Compressed(excerpt(name))),
        };
        Ok(Some(span))
    }
}

/// The one folder with a pickle in it. PyTorch puts everything into one of any name; whoever packs its contents again may put
/// none around them.
fn folder(members: &[Member]) -> Result<&str, PickleError> {
    let folder = |member: &'_ Member| {
        let folder = member.name.strip_suffix(PROGRAM)?;
        (folder.is_empty() || folder.ends_with('/')).then_some(folder.len())
    };
    let mut folders = members.iter().filter_map(|member| Some(&member.name[..folder(member)?]));
    match (folders.next(), folders.next()) {
        (None, _) => Err(PickleError::NoProgram),
        (Some(folder), None) => Ok(folder),
        (Some(first), Some(second)) => Err(ambiguous(format!(
            "{PROGRAM} is in it twice, as {}{PROGRAM} and {}{PROGRAM}",
            excerpt(first),
            excerpt(second)
        ))),
    }
}

fn unpack(blob: &Rc<Blob>, member: &Member, budget: &mut Budget) -> Result<Span, PickleError> {
    let problem = |error: std::io::Error| {
        PickleError::Archive(format!("its file {}: {error}", excerpt(&member.name)))
    };
    let memory = |OverBudget { left, .. }| PickleError::TooLarge {
        file: excerpt(&member.name),
        length: member.size,
        most: left,
    };
    budget.pay(member.size).map_err(memory)?;
    let packed = blob.part(member.place.start as usize..member.place.end as usize);
    let mut unpacking = Unpacking {
        decoder: DeflateDecoder::new(std::io::BufReader::with_capacity(PART, packed)),
        crc: Hasher::new(),
    };
    let length = member.size as usize;
    let unpacked = Blob::unpacked(blob.name.clone(), &mut unpacking, length).map_err(problem)?;
    let rest = member.place.end - member.place.start - unpacking.decoder.total_in();
    if rest > 0 {
        return Err(ambiguous(format!("{rest} bytes follow the packed {}", excerpt(&member.name))));
    }
    check(member, unpacking.crc)?;
    Ok(Span { blob: Rc::new(unpacked), start: 0, length })
}

fn check(member: &Member, crc: Hasher) -> Result<(), PickleError> {
    match (crc.finalize(), member.crc) {
        (found, expected) if found == expected => Ok(()),
        (found, expected) => {
            Err(PickleError::Checksum { file: excerpt(&member.name), found, expected })
        }
    }
}

/// Bytes out of a file, and their CRC-32 so far.
struct Unpacking<R> {
    decoder: DeflateDecoder<R>,
    crc: Hasher,
}

impl<R: std::io::BufRead> Read for Unpacking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.decoder.read(buffer)?;
        self.crc.update(&buffer[..length]);
        Ok(length)
    }
}
