//! Brace expansion as in shells: `{000..123}` and `{a,b}`.

use std::ops::RangeInclusive;

use files::text::excerpt;

/// The most files that one pattern may name.
pub(crate) const MOST_FILES: usize = 1_000_000;

/// The longest name that is read as a pattern: no path of a file is longer.
const LONGEST_NAME: usize = 4096;

/// The most digits of a number: those of the largest.
const MOST_DIGITS: usize = 20;

/// A name with ranges and lists in braces.
pub(crate) struct Braces<'a> {
    parts: Vec<Part<'a>>,
    count: usize,
}

/// A text between braces, or around them.
enum Part<'a> {
    Text(&'a str),
    /// Numbers, filled up with zeros to a width.
    Range(RangeInclusive<u64>, usize),
    List(Vec<&'a str>),
}

impl Part<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Text(_) => 1,
            Self::Range(range, _) => (range.end() - range.start()).saturating_add(1),
            Self::List(words) => words.len() as u64,
        }
    }

    fn write(&self, n: u64, name: &mut String) {
        match self {
            Self::Text(text) => name.push_str(text),
            Self::Range(range, width) => {
                let number = (range.start() + n).to_string();
                name.extend(std::iter::repeat_n('0', width.saturating_sub(number.len())));
                name.push_str(&number);
            }
            Self::List(words) => name.push_str(words[n as usize]),
        }
    }
}

impl<'a> Braces<'a> {
    /// Reads a name. An error where a range is none, or where there are more names than [`MOST_FILES`].
    pub(crate) fn read(name: &'a str) -> Result<Self, String> {
        if name.len() > LONGEST_NAME {
            return Err(format!(
                "it has {} bytes, and a path has at most {LONGEST_NAME}",
                name.len()
            ));
        }
        let (mut parts, mut rest) = (Vec::new(), name);
        while let Some((text, inside, behind)) = split_braces(rest) {
            parts.push(Part::Text(text));
            parts.push(part(inside)?);
            rest = behind;
        }
        parts.push(Part::Text(rest));
        let count = parts.iter().fold(1, |count: u64, part| count.saturating_mul(part.len()));
        match usize::try_from(count) {
            Ok(count) if count <= MOST_FILES => Ok(Self { parts, count }),
            _ => Err(format!("it names {count} files, and at most {MOST_FILES} are read")),
        }
    }

    /// The names, in their order: the last part changes first.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.count as u64).map(|number| {
            let mut left = self.count as u64;
            let mut number = number;
            let mut name = String::new();
            for part in &self.parts {
                left /= part.len();
                part.write(number / left, &mut name);
                number %= left;
            }
            name
        })
    }
}

/// The text before the first pair of braces, what stands in them, and what follows.
fn split_braces(name: &str) -> Option<(&str, &str, &str)> {
    let (before, behind) = name.split_once('{')?;
    let (inside, behind) = behind.split_once('}')?;
    Some((before, inside, behind))
}

/// A range or a list.
fn part(inside: &str) -> Result<Part<'_>, String> {
    let shown = excerpt(inside);
    if inside.contains('{') {
        return Err(format!("{{{shown}}} has braces within braces, which are not read"));
    }
    let Some((first, last)) = inside.split_once("..") else {
        return Ok(Part::List(inside.split(',').collect()));
    };
    let number = |text: &str| {
        let digits = text.len() <= MOST_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|_| digits);
        number.ok_or_else(|| format!("{{{shown}}} is no range such as {{000..123}}"))
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(format!("{{{shown}}} is an empty range"));
    }
    // A zero in front gives all numbers one width.
    let padded = [first, last].iter().any(|text| text.starts_with('0') && text.len() > 1);
    let width = match padded {
        true => first.len().max(last.len()),
        false => 0,
    };
    Ok(Part::Range(from..=to, width))
}
