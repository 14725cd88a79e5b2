//! Names of pictures' files: by a pattern of the user's, or by what the pictures show.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use files::digest::sha256;

use crate::output::format_of;

/// The format of pictures whose name the user did not give.
const ENDING: &[u8] = b".png";

/// The longest part of a caption that becomes a name, in bytes; file systems allow 255 with what is added to it.
const LONGEST_SLUG: usize = 80;

/// How the files of pictures are named.
pub(crate) struct Names {
    pattern: Vec<Part>,
    /// The folder, where the user named one.
    folder: Option<PathBuf>,
}

/// A part of a pattern. Names of files are bytes, not all of which are text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Index,
    Seed,
    /// A name from what the picture shows, where the user gave none.
    Name,
}

impl Names {
    /// Names by `out`, a pattern or a folder, or by what the pictures show. A folder that is not there ends in a slash.
    pub(crate) fn new(out: Option<&OsStr>) -> Result<Self> {
        let by_content =
            [Part::Name, Part::Bytes(b"-".to_vec()), Part::Seed, Part::Bytes(ENDING.to_vec())];
        let Some(out) = out else {
            return Ok(Self { pattern: by_content.to_vec(), folder: None });
        };
        ensure!(!out.is_empty(), "--out is empty: please give a file name");
        let is_there = Path::new(out).is_dir();
        if is_there || out.as_bytes().ends_with(b"/") {
            ensure!(
                is_there || parse(out)?.iter().all(|part| matches!(part, Part::Bytes(_))),
                "--out {}: a new folder's name has no placeholders, please put a file's behind it",
                out.display()
            );
            let end = out.as_bytes().iter().rposition(|&byte| byte != b'/');
            let folder = &out.as_bytes()[..end.map_or(0, |end| end + 1)];
            let before = Part::Bytes([folder, b"/"].concat());
            return Ok(Self {
                pattern: [before].into_iter().chain(by_content).collect(),
                folder: Some(PathBuf::from(out)),
            });
        }
        format_of(Path::new(out))?;
        Ok(Self { pattern: parse(out)?, folder: None })
    }

    /// The folder that the user named instead of files; it may not be there yet.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether files are named by what the pictures show.
    pub(crate) fn by_content(&self) -> bool {
        self.pattern.contains(&Part::Name)
    }

    /// The file of picture `index` of the `count` that are named so.
    pub(crate) fn path(&self, name: &str, index: usize, count: usize, seed: u64) -> PathBuf {
        let pattern = match count {
            1 => self.pattern.clone(),
            _ => numbered(&self.pattern),
        };
        let bytes = pattern.iter().flat_map(|part| match part {
            Part::Bytes(bytes) => bytes.clone(),
            Part::Index => index.to_string().into_bytes(),
            Part::Seed => seed.to_string().into_bytes(),
            Part::Name => name.as_bytes().to_vec(),
        });
        OsString::from_vec(bytes.collect()).into()
    }
}

/// The parts of a pattern. Refuses `{name}`s that are no placeholders: a misspelt one would become part of the file's name.
fn parse(pattern: &OsStr) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = pattern.as_bytes();
    let find = |bytes: &[u8], mark: u8| bytes.iter().position(|&byte| byte == mark);
    while let Some(start) = find(rest, b'{')
        && let Some(length) = find(&rest[start..], b'}')
    {
        let (before, placeholder) = rest.split_at(start);
        let (placeholder, after) = placeholder.split_at(length + 1);
        parts.push(Part::Bytes(before.to_vec()));
        parts.push(match placeholder {
            b"{index}" => Part::Index,
            b"{seed}" => Part::Seed,
            _ => bail!(
                "--out {}: {} is no placeholder, there are {{index}} and {{seed}}",
                pattern.display(),
                String::from_utf8_lossy(placeholder)
            ),
        });
        rest = after;
    }
    parts.push(Part::Bytes(rest.to_vec()));
    Ok(parts)
}

/// A pattern that names several pictures: where it has no placeholder, the index goes before the ending.
fn numbered(pattern: &[Part]) -> Vec<Part> {
    if let [Part::Bytes(name)] = pattern
        && let Some(dot) = name.iter().rposition(|&byte| byte == b'.')
    {
        let (stem, ending) = name.split_at(dot);
        return vec![Part::Bytes([stem, b"-"].concat()), Part::Index, Part::Bytes(ending.to_vec())];
    }
    pattern.to_vec()
}

/// A caption as a file name: its letters and digits, in lower case, with single dashes between. Where these say too little
/// of it, because it has too many or none, some digits of its hash follow.
pub(crate) fn slug(caption: &str) -> String {
    nth_slug(caption, 0)
}

/// The names that a caption may have: its letters and digits, these with its hash, and with numbers from 2 on.
fn nth_slug(caption: &str, n: usize) -> String {
    let (letters, whole) = letters(caption);
    match n + usize::from(!whole) {
        0 => letters,
        1 => format!("{letters}-{}", hash(caption)),
        n => format!("{letters}-{}-{n}", hash(caption)),
    }
}

/// The letters and digits of a caption with dashes between its words, and whether these are all. Words that are too many
/// are left out, and a first one that is too long is cut.
fn letters(caption: &str) -> (String, bool) {
    let words = caption.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let whole = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
    if whole.is_empty() {
        return ("picture".to_owned(), false);
    }
    if whole.len() <= LONGEST_SLUG {
        return (whole, true);
    }
    let (words, first) = (&whole.as_bytes()[..=LONGEST_SLUG], 0..=LONGEST_SLUG);
    let cut = words.iter().rposition(|&byte| byte == b'-');
    let cut = cut.or(first.rev().find(|&end| whole.is_char_boundary(end)));
    (whole[..cut.unwrap_or_default()].to_owned(), false)
}

/// Digits that another caption hardly has.
fn hash(caption: &str) -> String {
    sha256(caption.as_bytes())[..8].to_owned()
}

/// The names of the captions of a list, in its order. A caption's depends on those before it and not on what is drawn
/// already, so that a list goes on where it stopped.
#[derive(Default)]
pub(crate) struct ListNames {
    /// How many names a caption with this first seed cannot have any more.
    taken: HashMap<(String, u64), usize>,
}

impl ListNames {
    /// The first of a caption's names that is `free`.
    pub(crate) fn next(&mut self, caption: &str, seed: u64, free: impl Fn(&str) -> bool) -> String {
        let taken = self.taken.entry((caption.to_owned(), seed)).or_default();
        loop {
            let name = nth_slug(caption, *taken);
            *taken += 1;
            if free(&name) {
                return name;
            }
        }
    }
}
