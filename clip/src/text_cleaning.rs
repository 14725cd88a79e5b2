//! The cleaning of captions before they are split, as in OpenAI's code (`simple_tokenizer.py`) and open_clip's: the repairs of
//! the package ftfy, HTML's character references twice, single spaces, small letters.
//!
//! Of ftfy's repairs (6.3) one is done in part: text that was decoded as Windows-1252 or Latin-1 and is UTF-8 is decoded again
//! where the whole line is such, and other encodings' stay as they are.

use htmlize::unescape as unescape_named;
use unicode_normalization::UnicodeNormalization;

/// The text that is split in place of `text`.
pub fn clean(text: &str) -> String {
    let text = unescape(&unescape(&fix(text)));
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// ftfy's `fix_text`: line by line, each until nothing changes.
fn fix(text: &str) -> String {
    // A tag says that the text is HTML, and its references stay, in this line and in those that follow.
    let mut unescapes = true;
    let lines = text.split_inclusive('\n').map(|line| {
        unescapes &= !line.contains('<');
        let mut fixed = fix_once(line, unescapes);
        // Each pass takes something away or is the last but one: a reference, an escape, an encoding, or a character of two
        // spellings.
        for _ in 0..line.len() {
            let next = fix_once(&fixed, unescapes && !fixed.contains('<'));
            if next == fixed {
                break;
            }
            fixed = next;
        }
        fixed
    });
    lines.collect()
}

fn fix_once(line: &str, unescapes: bool) -> String {
    let mut line = if unescapes { unescape_strictly(line) } else { line.to_owned() };
    // Each time it is shorter.
    while let Some(decoded) = decode_again(&line) {
        line = decoded;
    }
    let mut fixed = String::with_capacity(line.len());
    for character in line.chars() {
        push_plain(&mut fixed, character);
    }
    let fixed = fixed.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    let mut fixed = without_terminal_escapes(&fixed);
    fixed.retain(|character| !is_control(character));
    fixed.nfc().collect()
}

/// Pushes a character by those that ftfy writes for it: a control of Latin-1's by the character that Windows has there, a
/// ligature by its letters, a wide or narrow form by the usual one, a curly quote by a straight one.
fn push_plain(text: &mut String, character: char) {
    match character {
        '\u{80}'..='\u{9f}' => match windows_1252(character) {
            // Windows has quotes and ligatures there too.
            plain @ '\u{80}'..='\u{9f}' => text.push(plain),
            other => push_plain(text, other),
        },
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => text.push('\''),
        '\u{201c}'..='\u{201f}' => text.push('"'),
        '\u{3000}' => text.push(' '),
        '\u{ff01}'..='\u{ffef}' => text.extend([character].into_iter().nfkc()),
        'ŉ' => text.push_str("'n"),
        // These fall apart in more steps than are wanted here.
        'ﬅ' => text.push_str("ſt"),
        'Ǆ' => text.push_str("DŽ"),
        'ǅ' => text.push_str("Dž"),
        'ǆ' => text.push_str("dž"),
        'Ĳ' | 'ĳ' | 'Ǳ'..='ǳ' | 'Ǉ'..='ǌ' | 'ﬀ'..='ﬆ' => {
            text.extend([character].into_iter().nfkd());
        }
        other => text.push(other),
    }
}

/// The characters that windows-1252 has from 0x80 on; a control where it has none.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The character that windows-1252 has in the place of a control, and itself where it has none.
fn windows_1252(control: char) -> char {
    let place = (control as usize).wrapping_sub(0x80);
    WINDOWS_1252.get(place).copied().unwrap_or(control)
}

/// The characters that UTF-8's pairs of bytes begin with in text that was decoded as windows-1252, for the scripts of Europe and the
/// Near East. Others, such as É, end words before a sign.
const FIRST_OF_TWO: &str = "ÂÃÄÅÎÏÐÑ×ØÙ";

/// The text that was decoded as windows-1252 and is UTF-8; `None` of any other.
fn decode_again(text: &str) -> Option<String> {
    let byte = |character: char| match WINDOWS_1252.iter().position(|&other| other == character) {
        Some(place) => Some(0x80 + place as u8),
        None => u8::try_from(u32::from(character)).ok(),
    };
    let bytes: Vec<u8> = text.chars().map(byte).collect::<Option<_>>()?;
    let decoded = String::from_utf8(bytes).ok().filter(|decoded| decoded != text)?;
    let pairs = decoded.chars().filter(|character| character.len_utf8() == 2);
    let first = |character: char| char::from(character.encode_utf8(&mut [0; 2]).as_bytes()[0]);
    pairs.map(first).all(|first| FIRST_OF_TWO.contains(first)).then_some(decoded)
}

/// Whether a character says nothing that can be read.
fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffc}'
    )
}

/// The text without the sequences that colour a terminal's: ESC, a bracket, numbers with semicolons, a letter.
fn without_terminal_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A decimal digit of any script is one.
        let rest = part.trim_start_matches(|c: char| c.is_numeric() || c == ';');
        match rest.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(rest) => kept.push_str(rest),
            None => {
                kept.push_str("\u{1b}[");
                kept.push_str(part);
            }
        }
    }
    kept
}

/// Python's `html.unescape`: every reference of HTML 5, those without a semicolon too.
fn unescape(text: &str) -> String {
    references(text, |reference| match reference.strip_prefix("&#") {
        Some(number) => match numeric(number) {
            Some((character, rest)) => (character.map(String::from).unwrap_or_default(), rest),
            None => (reference.to_owned(), ""),
        },
        None => (unescape_named(reference).into_owned(), ""),
    })
}

/// ftfy's: those that end in a semicolon, and those of small letters that are written in capitals.
fn unescape_strictly(text: &str) -> String {
    const LONGEST: usize = 24;
    references(text, |reference| {
        let name = reference.split_inclusive(';').next().unwrap_or_default();
        let word = name.trim_start_matches('&').trim_start_matches('#').trim_end_matches(';');
        let is_whole = name.ends_with(';')
            && (1..=LONGEST).contains(&word.len())
            && word.chars().all(|c| c.is_ascii_alphanumeric());
        let rest = &reference[name.len()..];
        if !is_whole {
            return (reference.to_owned(), "");
        }
        let plain = || (name.to_owned(), rest);
        if let Some(number) = name.strip_prefix("&#") {
            return match numeric(number) {
                Some((character, "")) => (character.map(String::from).unwrap_or_default(), rest),
                _ => plain(),
            };
        }
        let found = unescape_named(name);
        if found != name {
            // A shorter name before other letters is a guess.
            return if found.contains(';') && name != "&semi;" {
                plain()
            } else {
                (found.into_owned(), rest)
            };
        }
        let small = name.to_ascii_lowercase();
        let capital = name == name.to_ascii_uppercase();
        match unescape_named(&*small) {
            found if capital && found != small && !found.contains(';') => {
                (found.to_uppercase(), rest)
            }
            _ => plain(),
        }
    })
}

/// The text with each part that begins with an ampersand, up to the next, replaced: by what `replace` makes of its beginning,
/// and the rest of it.
fn references(text: &str, mut replace: impl FnMut(&str) -> (String, &str)) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(start) = text[at..].find('&').map(|place| at + place) {
        let end = text[start + 1..].find('&').map_or(text.len(), |place| start + 1 + place);
        let (made, rest) = replace(&text[start..end]);
        replaced.push_str(&text[at..start]);
        replaced.push_str(&made);
        replaced.push_str(rest);
        at = end;
    }
    replaced.push_str(&text[at..]);
    replaced
}

/// The character of a numeric reference behind its `&#`, and what follows it. No character for the numbers of controls and of
/// what is none, which Python drops; `None` where there is no number.
fn numeric(reference: &str) -> Option<(Option<char>, &str)> {
    let hexadecimal = reference.strip_prefix(['x', 'X']);
    let (digits, radix) = hexadecimal.map_or((reference, 10), |digits| (digits, 16));
    let rest = digits.trim_start_matches(|c: char| c.is_digit(radix));
    let digits = &digits[..digits.len() - rest.len()];
    if digits.is_empty() {
        return None;
    }
    let rest = rest.strip_prefix(';').unwrap_or(rest);
    let number = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    let character = match number {
        0 => Some('\u{fffd}'),
        0x80..=0x9f => char::from_u32(number).map(windows_1252),
        0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef => None,
        _ if number <= 0x10ffff && number & 0xfffe == 0xfffe => None,
        _ => Some(char::from_u32(number).unwrap_or('\u{fffd}')),
    };
    Some((character, rest))
}
