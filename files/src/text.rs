//! Text in any Unicode encoding: every text of a user's is decoded here.

/// Why bytes are no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// They are not UTF-8, and no mark says what else they are.
    #[error(
        "line {line} is not UTF-8: please save it as UTF-8, or as UTF-16 with a byte order mark"
    )]
    NotUtf8 {
        /// The first such line, from 1 on.
        line: usize,
    },
    /// A mark says UTF-16, and they are not.
    #[error("it begins as UTF-16 does, and line {line} is none: please save it as UTF-8")]
    NotUtf16 {
        /// The first such line, from 1 on.
        line: usize,
    },
    /// Zero bytes, which no text has, stand between its letters.
    #[error(
        "line {line} holds a zero byte, as UTF-16 without a byte order mark does: please save it as UTF-8"
    )]
    Zero {
        /// The first such line, from 1 on.
        line: usize,
    },
}

/// Decodes UTF-8, with or without a byte order mark, or UTF-16 with one, as PowerShell's `>` and Notepad write. Lines end
/// in `\n` afterwards, whatever ended them.
pub fn decode(bytes: &[u8]) -> Result<String, TextError> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = std::str::from_utf8(bytes).map_err(|error| TextError::NotUtf8 {
                line: line_of(bytes[..error.valid_up_to()].iter().map(|&byte| byte.into())),
            })?;
            text.to_owned()
        }
    };
    if let Some(zero) = text.find('\0') {
        let line = line_of(text[..zero].chars());
        return Err(TextError::Zero { line });
    }
    Ok(match text.contains('\r') {
        true => text.replace("\r\n", "\n").replace('\r', "\n"),
        false => text,
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, TextError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for decoded in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        let line = || line_of(text.chars());
        text.push(decoded.map_err(|_| TextError::NotUtf16 { line: line() })?);
    }
    match rest {
        [] => Ok(text),
        _ => Err(TextError::NotUtf16 { line: line_of(text.chars()) }),
    }
}

/// The number of the line that follows these characters.
fn line_of(before: impl Iterator<Item = char>) -> usize {
    1 + before.filter(|&c| c == '\n').count()
}

/// The longest value that a message repeats, in characters.
pub const LONGEST_EXCERPT: usize = 400;

/// A value that a file or a user says, as a message repeats it: the first characters of many, and none that steers a
/// terminal.
pub fn excerpt(value: &str) -> String {
    let end = value.char_indices().nth(LONGEST_EXCERPT);
    let (shown, left) = value.split_at(end.map_or(value.len(), |(end, _)| end));
    let shown = shown.replace(steers, REPLACEMENT);
    match left.chars().count() {
        0 => shown,
        left => format!("{shown}... and {left} more characters"),
    }
}

/// The character that stands for one that would steer the terminal.
pub const REPLACEMENT: &str = "\u{fffd}";

/// Whether a character steers a terminal: control characters, line separators, and those that turn the direction of
/// writing.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
