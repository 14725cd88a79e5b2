//! The index of a tar's files, from its headers alone: old, POSIX (ustar and pax) and GNU.
//!
//! The headers are parsed by the crate `tar`; the way from one to the next is this file's, so that a damaged archive costs
//! no more than what is behind the damage, and no header's claim is believed before it is checked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use files::contents::{Contents, ENOUGH};
use files::text::excerpt;
use tar::{EntryType, Header, PaxExtensions};

use crate::rejects::describe;

/// Headers and contents begin at multiples of this.
const BLOCK: u64 = 512;

/// The most zeros that a tar without files has: a record.
const EMPTY_TAR: u64 = 20 * BLOCK;

/// The longest long name, and the most extended attributes, that are read.
const LONGEST_EXTENSION: u64 = 1 << 16;

/// A file in a tar.
pub(crate) struct Member {
    /// Its whole name. It is never opened.
    pub(crate) name: String,
    /// Where its bytes are, or why they are not there.
    pub(crate) span: Result<Span, &'static str>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: u64,
    /// How many.
    pub(crate) length: u64,
}

/// Calls `found` with every file in the tar at `path`, in their order. An error says why the walk ended before the tar did.
pub(crate) fn walk(path: &Path, found: &mut dyn FnMut(Member)) -> Result<(), String> {
    let file = File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut walk = Walk { file, length, at: 0, next: Extensions::default() };
    let mut step = walk.first_step()?;
    while let Some(member) = step {
        member.into_iter().for_each(&mut *found);
        step = walk.step()?;
    }
    Ok(())
}

/// Why a file is no tar.
fn described(contents: Contents) -> String {
    format!("it is no tar but {}", describe(contents))
}

/// The kind of bytes that follow a header.
enum Payload {
    /// Nothing, whatever length it claims.
    Nothing,
    /// More about the next file.
    Extension,
    /// A file.
    Content,
}

impl Payload {
    fn of(kind: EntryType) -> Self {
        match kind {
            EntryType::Link
            | EntryType::Symlink
            | EntryType::Directory
            | EntryType::Char
            | EntryType::Block
            | EntryType::Fifo => Self::Nothing,
            EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::XHeader
            | EntryType::XGlobalHeader => Self::Extension,
            _ => Self::Content,
        }
    }
}

struct Walk {
    file: File,
    length: u64,
    at: u64,
    /// The extended headers before the next file.
    next: Extensions,
}

/// Extended headers of the next file: fields that its own header has no room for.
#[derive(Default)]
struct Extensions {
    name: Option<String>,
    length: Option<u64>,
    sparse: bool,
}

impl Walk {
    /// The first step, which tells a file that is no tar by what it is.
    fn first_step(&mut self) -> Result<Option<Option<Member>>, String> {
        let mut first = [0; ENOUGH];
        let length = self.length.min(ENOUGH as u64) as usize;
        let first = &mut first[..length];
        let read = self.file.read_exact_at(first, 0);
        read.map_err(|error| error.to_string())?;
        if self.length > EMPTY_TAR && first.iter().all(|&byte| byte == 0) {
            let length = self.length;
            return Err(format!(
                "it has {length} bytes and begins with zeros, as a download that was not finished does: please download it again"
            ));
        }
        match (self.step(), Contents::of(first)) {
            (Ok(None), Some(Contents::Empty)) => Err(described(Contents::Empty)),
            (Err(_), Some(other)) if self.at <= BLOCK && other != Contents::Tar => {
                Err(described(other))
            }
            (step, _) => step,
        }
    }

    /// Goes over one header and what belongs to it, which may be a file; `None` at the end.
    fn step(&mut self) -> Result<Option<Option<Member>>, String> {
        // Not every writer marks the end.
        if self.at >= self.length {
            return Ok(None);
        }
        let at = self.at;
        let block = self.block()?;
        if block == [0; BLOCK as usize] {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        let sound = header.cksum().is_ok_and(|sum| sum == checksum(&block));
        let kind = header.entry_type();
        let length = match header.entry_size() {
            Ok(length) if sound => match Payload::of(kind) {
                Payload::Nothing => 0,
                Payload::Extension => length,
                Payload::Content => self.next.length.unwrap_or(length),
            },
            _ => return Err(format!("at byte {at} there is no tar header")),
        };
        let sparse = kind.is_gnu_sparse();
        if sparse {
            self.pass_sparse_map(&block)?;
        }
        let span = Span { start: self.at, length };
        let end = span.start.checked_add(length);
        let Some(end) = end.filter(|&end| end <= self.length) else {
            let (name, all) = (self.name(header), self.length);
            return Err(format!(
                "it ends at byte {all}, within the {length} bytes of {}",
                excerpt(&name)
            ));
        };
        self.at = end.next_multiple_of(BLOCK);
        if let Payload::Extension = Payload::of(kind) {
            self.extend(kind, span)?;
            return Ok(Some(None));
        }
        let name = self.name(header);
        let extensions = std::mem::take(&mut self.next);
        let span = match kind {
            _ if sparse || extensions.sparse => Err("it is stored with holes, which are not read"),
            EntryType::Regular | EntryType::Continuous => Ok(span),
            EntryType::Link | EntryType::Symlink => Err("it is a link, which is not followed"),
            _ => return Ok(Some(None)), // a folder or a device
        };
        Ok(Some(Some(Member { name, span })))
    }

    fn block(&mut self) -> Result<[u8; BLOCK as usize], String> {
        let mut block = [0; BLOCK as usize];
        let read = self.file.read_exact_at(&mut block, self.at);
        read.map_err(|_| format!("it ends at byte {}, within a header", self.length))?;
        self.at += BLOCK;
        Ok(block)
    }

    /// GNU's map of a sparse file goes on in blocks after the header as long as each says so.
    fn pass_sparse_map(&mut self, header: &[u8; BLOCK as usize]) -> Result<(), String> {
        let mut more = header[482] != 0;
        while more {
            more = self.block()?[504] != 0;
        }
        Ok(())
    }

    /// Reads an extended header of the next file.
    fn extend(&mut self, kind: EntryType, span: Span) -> Result<(), String> {
        match kind {
            EntryType::GNULongName => {
                let bytes = self.extension(span)?;
                let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
                self.next.name = Some(String::from_utf8_lossy(name).into_owned());
            }
            EntryType::XHeader => {
                let bytes = self.extension(span)?;
                for record in PaxExtensions::new(&bytes).flatten() {
                    let value = String::from_utf8_lossy(record.value_bytes()).into_owned();
                    match record.key() {
                        Ok("path") if !self.next.sparse => self.next.name = Some(value),
                        Ok("size") => {
                            let length = value.parse();
                            let place = span.start;
                            self.next.length = Some(length.map_err(|_| {
                                let value = excerpt(&value);
                                format!("at byte {place} a file's size is {value}, which is no number of bytes")
                            })?);
                        }
                        Ok(key) if key.starts_with("GNU.sparse.") => {
                            self.next.sparse = true;
                            if key == "GNU.sparse.name" {
                                self.next.name = Some(value);
                            }
                        }
                        _ => {}
                    }
                }
            }
            _ => {} // where a link leads, and what holds for the whole tar
        }
        Ok(())
    }

    fn extension(&self, span: Span) -> Result<Vec<u8>, String> {
        if span.length > LONGEST_EXTENSION {
            return Err(format!(
                "at byte {} a name or its like claims {} bytes, and at most {LONGEST_EXTENSION} are read",
                span.start, span.length
            ));
        }
        let mut bytes = vec![0; span.length as usize];
        let read = self.file.read_exact_at(&mut bytes, span.start);
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn name(&self, header: &Header) -> String {
        let own = || String::from_utf8_lossy(&header.path_bytes()).into_owned();
        self.next.name.clone().unwrap_or_else(own)
    }
}

/// The sum of a header's bytes, with blanks in the place of the sum.
fn checksum(block: &[u8; BLOCK as usize]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}
