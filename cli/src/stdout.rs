//! Standard output: paths of files and results, a line each.
//!
//! Commands make files, and a reader who has had enough of their names wants them no less. So a closed pipe ends
//! the printing and nothing else; every other failure is an error that names standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Whether the reader has left.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes these bytes.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.context("cannot write to standard output"),
    }
}

/// Writes one line.
pub(crate) fn print(line: fmt::Arguments) -> Result<()> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Writes one line as `format!` makes it.
macro_rules! print_line {
    ($($line:tt)*) => { $crate::stdout::print(format_args!($($line)*)) };
}
pub(crate) use print_line;

/// Writes a file's name as the system has it, on a line of its own.
pub(crate) fn print_path(path: &Path) -> Result<()> {
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    print_bytes(&line)
}
