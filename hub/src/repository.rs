//! Names of repositories, as people write them.

use std::fmt;
use std::str::FromStr;

/// A repository of the Hub, at a revision: `OWNER/NAME[@REVISION]`, also with `hf://` before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    /// The user or organisation.
    pub owner: String,
    /// The repository's own name.
    pub name: String,
    /// A branch, a tag or a commit; `None` where none is named, which means `main`.
    pub revision: Option<String>,
}

/// The longest part of a name.
const LONGEST: usize = 96;

impl Repository {
    /// Reads a name; `None` where a repository cannot have it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("hf://").unwrap_or(text);
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let (owner, name) = id.split_once('/')?;
        let fits = is_name(owner) && is_name(name) && revision.is_none_or(is_revision);
        fits.then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// Its name without a revision: `OWNER/NAME`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The revision that is meant: `main` where none is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

/// By the Hub's rules: letters, digits, `-`, `_` and `.`, no `-` or `.` at either end, and neither `--` nor `..`.
fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let inner = ['-', '.'];
    (1..=LONGEST).contains(&part.len())
        && part.chars().all(plain)
        && !part.starts_with(inner)
        && !part.ends_with(inner)
        && !part.contains("--")
        && !part.contains("..")
}

/// A branch may lie in folders, as `refs/pr/3` does; none of them leads out of the cache.
fn is_revision(revision: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | ':' | '?' | '*' | '[' | '~' | '^');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    revision.len() <= 255 && revision.split('/').all(part)
}

impl fmt::Display for Repository {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}/{}", self.owner, self.name)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(to, "@{revision}"))
    }
}

/// A text that names no repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} names no repository of the Hub: OWNER/NAME or OWNER/NAME@REVISION does")]
pub struct ParseError(String);

impl FromStr for Repository {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text).ok_or_else(|| ParseError(files::text::excerpt(text)))
    }
}
