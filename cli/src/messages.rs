//! Messages on standard error, each best effort: a log on a full disk or a reader that left ends no run.

use std::fmt;
use std::io::{self, Write};

/// What stands for a character that would steer the terminal.
const UNPRINTABLE: &str = "\u{fffd}";

/// The longest text of a user's that a message repeats, in characters.
const LONGEST: usize = 200;

/// A user's words as a message repeats them: the first of many, and nothing that steers the terminal.
pub fn repeated(words: &str) -> String {
    let mut shown: String = words.chars().take(LONGEST).collect();
    let left = words.chars().count().saturating_sub(LONGEST);
    if left > 0 {
        shown += &format!("... and {left} more characters");
    }
    shown.replace(steers, UNPRINTABLE)
}

/// Control characters, and those that turn the direction of writing.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes one line, whatever line breaks a message has.
pub fn complain(message: &str) {
    let words: Vec<&str> = message.split_whitespace().collect();
    write_line(format_args!(
        "{}",
        words.join(" ").replace(steers, UNPRINTABLE)
    ));
}

/// Writes a message of our own as one line.
pub fn write_line(message: fmt::Arguments) {
    let line = format!(
        "unclip: {}\n",
        message.to_string().replace(steers, UNPRINTABLE)
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
    let shown: Vec<String> = unreadable.map(|a| repeated(&a.to_string_lossy())).collect();
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
