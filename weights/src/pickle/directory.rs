//! The directory of a zip archive that all readers read alike: every member lies where the directory says and is called
//! so there, and no byte belongs to two of them or to none.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use rawzip::{
    CompressionMethod, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ReaderAt, ZipArchive,
    ZipArchiveEntryWayfinder, ZipFileHeaderRecord, ZipLocator,
};

use super::PickleError;
use crate::budget::Budget;
use crate::lazy_tensor::Blob;
use files::text::excerpt;

/// The bytes of a member beside its name, which is there twice.
const MEMBER: usize = 256;

/// The mark that a data descriptor may begin with.
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

/// A file in an archive.
pub(super) struct Member {
    /// Its name.
    pub name: String,
    /// How it is packed.
    pub packing: Packing,
    /// The CRC-32 of its contents.
    pub crc: u32,
    /// The length of its contents.
    pub size: u64,
    /// Where in the archive it lies, as it is packed.
    pub place: Range<u64>,
}

/// How a file is packed.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Packing {
    /// It lies there as it is.
    LazyTensor,
    /// By deflate.
    Deflated,
    /// It is encrypted, or packed in another way.
    Other,
}

/// An entry of the directory.
struct Entry {
    member: Member,
    method: CompressionMethod,
    descriptor: bool,
    packed: u64,
    start: u64,
    wayfinder: ZipArchiveEntryWayfinder,
}

/// The members of an archive, in their order in it.
pub(super) fn read(blob: &Rc<Blob>, budget: &mut Budget) -> Result<Vec<Member>, PickleError> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let length = blob.len() as u64;
    let archive = ZipLocator::new().locate_in_reader(Reader(blob.clone()), &mut buffer, length);
    let archive = archive.map_err(|(_, error)| damaged(&error))?;
    let mut entries = entries(&archive, &mut buffer, budget)?;
    if entries.len() as u64 != archive.entries_hint() {
        return Err(ambiguous(format!(
            "it says that it has {} members, and lists {}",
            archive.entries_hint(),
            entries.len()
        )));
    }
    entries.sort_by_key(|entry| entry.start);
    check_names(&entries)?;

    let end = archive.directory_offset();
    let mut next = 0;
    for at in 0..entries.len() {
        let following = entries.get(at + 1).map_or(end, |entry| entry.start);
        let entry = &mut entries[at];
        follows(&excerpt(&entry.member.name), entry.start, next)?;
        check_header(&archive, entry, &mut buffer)?;
        next = check_descriptor(blob, entry, following)?;
    }
    follows("its directory", end, next)?;
    follows("its end", length, archive.end_offset())?;
    Ok(entries.into_iter().map(|entry| entry.member).collect())
}

/// The entries of the directory in its order.
fn entries(
    archive: &ZipArchive<Reader>,
    buffer: &mut [u8],
    budget: &mut Budget,
) -> Result<Vec<Entry>, PickleError> {
    let mut found = Vec::new();
    let mut entries = archive.entries(buffer);
    while let Some(record) = entries.next_entry().map_err(|error| damaged(&error))? {
        let name = record.file_path().as_bytes();
        budget.pay((MEMBER + 2 * name.len()) as u64)?;
        found.push(entry(&record));
    }
    Ok(found)
}

fn entry(record: &ZipFileHeaderRecord) -> Entry {
    let name = record.file_path().as_bytes();
    let method = record.compression_method();
    let packing = match method {
        _ if record.flags().is_encrypted() => Packing::Other,
        CompressionMethod::STORE => Packing::LazyTensor,
        CompressionMethod::DEFLATE => Packing::Deflated,
        _ => Packing::Other,
    };
    Entry {
        member: Member {
            name: String::from_utf8_lossy(name).into_owned(),
            packing,
            crc: record.crc32(),
            size: record.uncompressed_size_hint(),
            place: 0..0,
        },
        method,
        descriptor: record.flags().has_data_descriptor(),
        packed: record.compressed_size_hint(),
        start: record.local_header_offset(),
        wayfinder: record.wayfinder(),
    }
}

/// Refuses names that two readers may take for different files, and two files that one may take for the same: PyTorch does
/// not tell capital letters from small ones.
fn check_names(entries: &[Entry]) -> Result<(), PickleError> {
    let mut names = HashSet::new();
    for Entry { member, .. } in entries {
        let name = &member.name;
        let within = name.strip_suffix('/').unwrap_or(name);
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
        if !within.split('/').all(plain) {
            return Err(ambiguous(format!("{:?} is no plain name", excerpt(name))));
        }
        if !names.insert(within.to_ascii_lowercase()) {
            return Err(ambiguous(format!("{} is in it twice", excerpt(name))));
        }
    }
    Ok(())
}

/// Refuses a part that does not begin where the one before it ends.
fn follows(part: &str, start: u64, end: u64) -> Result<(), PickleError> {
    if start == end {
        return Ok(());
    }
    Err(ambiguous(match start.checked_sub(end) {
        Some(gap) => format!("{gap} bytes before {part} belong to nothing"),
        None => format!("{part} overlaps with what lies before it"),
    }))
}

/// Compares an entry with the header of the file that it leads to.
fn check_header(
    archive: &ZipArchive<Reader>,
    entry: &mut Entry,
    buffer: &mut [u8],
) -> Result<(), PickleError> {
    let name = excerpt(&entry.member.name);
    let problem = |error: rawzip::Error| {
        PickleError::Archive(format!("its file {name} is not where it says: {}", lower(&error)))
    };
    let found = archive.get_entry(entry.wayfinder).map_err(problem)?;
    let header = found.local_header(buffer).map_err(problem)?;
    let (start, end) = found.compressed_data_range();
    entry.member.place = start..end;
    // Where a descriptor follows the file, its header may leave out what that says.
    let same = |here: u64, there: u64| here == there || (entry.descriptor && here == 0);
    let differs = |what: &str| Err(ambiguous(format!("{name} has another {what} where it lies")));
    let member = &entry.member;
    if String::from_utf8_lossy(header.file_path().as_bytes()) != member.name {
        differs("name")
    } else if header.compression_method() != entry.method
        || header.flags().has_data_descriptor() != entry.descriptor
        || header.flags().is_encrypted() && member.packing != Packing::Other
    {
        differs("way of packing")
    } else if !same(header.crc32().into(), member.crc.into()) {
        differs("CRC-32")
    } else if !same(header.compressed_size_hint(), entry.packed)
        || !same(header.uncompressed_size_hint(), member.size)
        || member.packing == Packing::LazyTensor && member.size != entry.packed
    {
        differs("size")
    } else {
        Ok(())
    }
}

/// Compares an entry with the descriptor between its file and what begins at `following`; where that ends.
fn check_descriptor(blob: &Blob, entry: &Entry, following: u64) -> Result<u64, PickleError> {
    let end = entry.member.place.end;
    let gap = following.checked_sub(end).filter(|_| following <= blob.len() as u64);
    let (Some(gap @ (12 | 16 | 20 | 24)), true) = (gap, entry.descriptor) else {
        return Ok(end);
    };
    let bytes = blob.read(end as usize, gap as usize);
    let fields = match gap {
        16 | 24 => bytes.strip_prefix(&DESCRIPTOR),
        _ => Some(&bytes[..]),
    };
    let (crc, sizes) = fields.unwrap_or_default().split_at(4.min(fields.map_or(0, <[u8]>::len)));
    let (packed, size) = sizes.split_at(sizes.len() / 2);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let found = [crc, packed, size].map(number);
    match found == [entry.member.crc.into(), entry.packed, entry.member.size] {
        true => Ok(following),
        false => Err(ambiguous(format!(
            "{} has another descriptor behind it",
            excerpt(&entry.member.name)
        ))),
    }
}

pub(super) fn ambiguous(reason: String) -> PickleError {
    PickleError::Ambiguous(reason)
}

fn damaged(error: &rawzip::Error) -> PickleError {
    PickleError::Archive(lower(error))
}

/// Another crate's message, as the end of a sentence.
fn lower(error: &rawzip::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_lowercase());
    first.into_iter().flatten().chain(letters).collect()
}

/// A blob as the rawzip crate wants to see it.
struct Reader(Rc<Blob>);

impl ReaderAt for Reader {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        let left = (self.0.len() as u64).saturating_sub(at);
        let length = left.min(buffer.len() as u64) as usize;
        if length > 0 {
            self.0.read_into(at as usize, &mut buffer[..length]);
        }
        Ok(length)
    }
}
