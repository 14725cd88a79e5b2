//! Tables of text that are read line by line, or record by record, with a bound on each.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use files::text::decode;

/// The longest line or record that is read, in bytes.
pub(crate) const LONGEST_ROW: u64 = 1 << 20;

/// The longest table in UTF-16, which is decoded whole.
const LONGEST_UTF16: u64 = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A table's bytes, in UTF-8 without a mark.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut reader = BufReader::new(file);
    let first = reader.fill_buf().map_err(|error| error.to_string())?;
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        if length > LONGEST_UTF16 {
            return Err(format!(
                "it is UTF-16 and has {length} bytes, of which at most {LONGEST_UTF16} are read: please save it as UTF-8"
            ));
        }
        let mut bytes = Vec::new();
        let read = reader.take(LONGEST_UTF16).read_to_end(&mut bytes);
        read.map_err(|error| error.to_string())?;
        let text = decode(&bytes).map_err(|error| error.to_string())?;
        return Ok(Box::new(Cursor::new(text.into_bytes())));
    }
    if first.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(Box::new(reader))
}

/// The lines of a table, however they end, each with its number or with why it is not read.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    number: u64,
    /// Whether the last line ended in a carriage return, to which a line feed belongs.
    returned: bool,
}

impl Lines {
    pub(crate) fn new(reader: Box<dyn BufRead>) -> Self {
        Self { reader, number: 0, returned: false }
    }

    /// The next line, of which no more is kept than may be read, and how long it is; `None` at the end.
    fn next_line(&mut self) -> io::Result<Option<(Vec<u8>, u64)>> {
        let (mut line, mut length, mut any) = (Vec::new(), 0, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            let skipped = usize::from(self.returned && buffer.first() == Some(&b'\n'));
            self.returned &= buffer.is_empty();
            if buffer.is_empty() {
                return Ok(any.then_some((line, length)));
            }
            let rest = &buffer[skipped..];
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &rest[..end.unwrap_or(rest.len())];
            let room = LONGEST_ROW.saturating_sub(length).min(part.len() as u64);
            line.extend_from_slice(&part[..room as usize]);
            length += part.len() as u64;
            any |= skipped < buffer.len();
            self.returned |= end.is_some_and(|end| rest[end] == b'\r');
            let used = skipped + part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some((line, length)));
            }
        }
    }
}

impl Iterator for Lines {
    type Item = (u64, Result<String, String>);

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_line().map_err(|error| error.to_string());
        self.number += 1;
        let line = match line.transpose()? {
            Ok((_, length)) if length > LONGEST_ROW => Err(too_long(length)),
            Ok((line, _)) => text(line),
            Err(why) => Err(why),
        };
        Some((self.number, line))
    }
}

fn too_long(length: u64) -> String {
    format!("it has {length} bytes, and at most {LONGEST_ROW} are read")
}

fn text(line: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(line).map_err(|_| NOT_UTF8.to_owned())?;
    check_zeros(&text)?;
    Ok(text)
}

/// Refuses zero bytes, which no text has.
pub(crate) fn check_zeros(text: &str) -> Result<(), String> {
    match text.contains('\0') {
        true => Err("it holds a zero byte, as UTF-16 without a byte order mark does: please save the table as UTF-8".to_owned()),
        false => Ok(()),
    }
}

/// Why a row is no text.
pub(crate) const NOT_UTF8: &str = "it is not UTF-8: please save the table as UTF-8";

/// A reader that ends with an error where more is read than [`LONGEST_ROW`] since it was last allowed to.
pub(crate) struct BoundedReader {
    reader: Box<dyn BufRead>,
    left: Allowance,
}

/// Bytes that may be read of a [`BoundedReader`] reader yet.
#[derive(Clone)]
pub(crate) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// Allows another row.
    pub(crate) fn renew(&self) {
        self.0.set(LONGEST_ROW);
    }
}

impl BoundedReader {
    pub(crate) fn new(reader: Box<dyn BufRead>) -> (Self, Allowance) {
        let left = Allowance(Rc::new(Cell::new(LONGEST_ROW)));
        let allowance = left.clone();
        (Self { reader, left }, allowance)
    }
}

impl Read for BoundedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.0.get().checked_sub(read as u64) {
            Some(left) => self.left.0.set(left),
            None => {
                return Err(io::Error::other(format!(
                    "a row of more than {LONGEST_ROW} bytes begins there, as one does whose quote is not closed"
                )));
            }
        }
        Ok(read)
    }
}
