//! Messages on standard error, each best effort: a log on a full disk or a reader that left ends no run.

use std::fmt;
use std::io::{self, Write};

use files::text::{REPLACEMENT, excerpt, steers};

/// Writes one line, whatever line breaks a message has.
pub fn complain(message: &str) {
    let words: Vec<&str> = message.split_whitespace().collect();
    write_line(format_args!(
        "{}",
        words.join(" ").replace(steers, REPLACEMENT)
    ));
}

/// Writes a message of our own as one line.
pub fn write_line(message: fmt::Arguments) {
    let line = format!(
        "unclip: {}\n",
        message.to_string().replace(steers, REPLACEMENT)
    );
    // Best effort.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Writes a message as `format!` makes it, as one line.
macro_rules! say {
    ($($message:tt)*) => { $crate::messages::write_line(format_args!($($message)*)) };
}
pub(crate) use say;

/// Standard error as a writer that never fails.
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// clap's complaint and its advice, without the usage below them.
pub fn complaint(rendered: &str) -> String {
    let mut paragraphs = rendered.split("\n\n").map(str::trim);
    let error = paragraphs
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    match paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: ")) {
        Some(tip) => format!("{error}: {tip}"),
        None => format!("{error} (see unclip --help)"),
    }
}

/// Which arguments cannot be read as text, where one had to be.
pub fn not_utf8() -> String {
    let arguments = std::env::args_os().skip(1);
    let unreadable = arguments.filter(|argument| argument.to_str().is_none());
    let shown: Vec<String> = unreadable.map(|a| excerpt(&a.to_string_lossy())).collect();
    format!(
        "captions, labels and numbers are UTF-8, and an argument is not: {}",
        shown.join(", ")
    )
}

/// An error and its causes, but for those that it tells already.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}
