//! A pickle's bytes, read from its file a window at a time: a state dict may be followed by gigabytes of numbers.

use crate::blob::Blob;

/// The usual length of a window.
const WINDOW: usize = 1 << 16;

/// The bytes of a file from one place to another, and how many of them were taken.
pub(super) struct Program<'a> {
    blob: &'a Blob,
    at: usize,
    end: usize,
    window: Vec<u8>,
    /// Where in the file the window begins.
    from: usize,
}

impl<'a> Program<'a> {
    /// The bytes from `start` to `end`, which must be within the file.
    pub(crate) fn new(blob: &'a Blob, start: usize, end: usize) -> Self {
        Self { blob, at: start, end, window: Vec::new(), from: start }
    }

    /// The place of the next byte in the file.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Whether `count` more bytes are there.
    pub(crate) fn has(&self, count: usize) -> bool {
        self.end_of(count).is_some()
    }

    /// The next `count` bytes; `None` where it ends before.
    pub(crate) fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.end_of(count)?;
        if end > self.from + self.window.len() {
            let length = count.max(WINDOW).min(self.end - self.at);
            self.window = self.blob.read(self.at, length);
            self.from = self.at;
        }
        let start = self.at - self.from;
        self.at = end;
        Some(&self.window[start..start + count])
    }

    /// Passes over `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.end_of(count)?;
        if self.at > self.from + self.window.len() {
            self.window.clear();
            self.from = self.at;
        }
        Some(())
    }

    /// The bytes before the next line feed, which is passed over; `None` where none comes within `most` bytes.
    pub(crate) fn line(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        while line.len() <= most {
            match self.take(1)?[0] {
                b'\n' => return Some(line),
                byte => line.push(byte),
            }
        }
        None
    }

    fn end_of(&self, count: usize) -> Option<usize> {
        let end = self.at.checked_add(count)?;
        (end <= self.end).then_some(end)
    }
}
