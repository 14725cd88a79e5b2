//! Messages on standard error, each best effort: a log on a full disk or a reader that left ends no run.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use crate::error_flags::with_flags;
use clap::error::ContextValue;
use console::strip_ansi_codes;
use files::text::{LONGEST_EXCERPT, REPLACEMENT, excerpt, steers};

/// The longest message, in characters, without the command's name before it.
const LONGEST: usize = 1_900;

/// How much of a longer one is its beginning, which names the file; the advice is at its end.
const BEGINNING: usize = 1_300;

/// Writes one line, whatever line breaks a message has.
pub(crate) fn complain(message: &str) {
    let words: Vec<&str> = message.split_whitespace().collect();
    write_line(format_args!("{}", words.join(" ")));
}

/// Writes a message of our own as one line.
pub(crate) fn write_line(message: fmt::Arguments) {
    let message = bounded(&message.to_string());
    let line = format!("unclip: {}\n", message.replace(steers, REPLACEMENT));
    // Best effort.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// A message of bearable length: without most of a word that is longer than any, and without its middle.
fn bounded(message: &str) -> String {
    let words = message.split_inclusive(char::is_whitespace);
    let message: String = words.map(bounded_word).collect();
    let length = message.chars().count();
    if length <= LONGEST {
        return message;
    }
    let end = length - (LONGEST - BEGINNING);
    let beginning = message.chars().take(BEGINNING);
    beginning.chain(" ... ".chars()).chain(message.chars().skip(end)).collect()
}

fn bounded_word(word: &str) -> Cow<'_, str> {
    match word.len() > LONGEST_EXCERPT {
        true => excerpt(word).into(),
        false => word.into(),
    }
}

/// Writes a message as `format!` makes it, as one line.
macro_rules! say {
    ($($message:tt)*) => { $crate::messages::write_line(format_args!($($message)*)) };
}
pub(crate) use say;

/// Standard error as a writer that never fails.
pub(crate) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error for the lines of libraries, each of bearable length.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = format!("{}\n", bounded(text.trim_end()));
        StandardError.write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// clap's complaint and its advice, without the usage below them. What the user wrote has no power over where they end.
pub(crate) fn complaint(error: &clap::Error) -> String {
    // What a user wrote is found in it only with its escape sequences.
    let mut rendered = error.render().ansi().to_string();
    for (_, value) in error.context() {
        if let ContextValue::String(value) = value
            && excerpt(value) != *value
        {
            rendered = rendered.replace(value, &excerpt(value));
        }
    }
    let rendered = strip_ansi_codes(&rendered);
    let mut paragraphs = rendered.split("\n\n").map(str::trim);
    let error = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    match paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: ")) {
        Some(tip) => format!("{error}: {tip}"),
        None => format!("{error} (see unclip --help)"),
    }
}

/// Which arguments cannot be read as text, where one had to be.
pub(crate) fn not_utf8() -> String {
    let arguments = std::env::args_os().skip(1);
    let unreadable = arguments.filter(|argument| argument.to_str().is_none());
    let shown: Vec<String> = unreadable.map(|a| excerpt(&a.to_string_lossy())).collect();
    format!("captions, labels and numbers are UTF-8, and an argument is not: {}", shown.join(", "))
}

/// Where a trace of libtorch's begins.
const TRACE: &str = "Exception raised from ";

/// An error and its causes, but for those that it repeats.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    // libtorch says where in its own code it stood.
    let without_trace =
        |text: String| text.split(TRACE).next().unwrap_or_default().trim_end().to_owned();
    for cause in error.chain() {
        let plain = without_trace(cause.to_string());
        let cause = without_trace(with_flags(cause));
        if sentence.is_empty() {
            sentence = cause;
        } else if sentence.contains(&plain) {
            sentence = sentence.replacen(&plain, &cause, 1);
        } else {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}
