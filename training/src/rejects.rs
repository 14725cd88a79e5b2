//! Data that cannot be learned from: named once, counted, and left out.

use std::collections::BTreeMap;

use files::contents::{Contents, ENOUGH};
use files::text::decode;
use files::walk::Walk;

/// The names of broken data, each with the reason.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    reasons: BTreeMap<String, String>,
}

impl Rejects {
    /// Notes a reject, and warns the user.
    pub(crate) fn note(&mut self, name: String, why: String) {
        warn(&name, &why);
        self.add(name, why);
    }

    /// Notes a reject of which the user is warned otherwise.
    pub(crate) fn add(&mut self, name: String, why: String) {
        self.reasons.insert(name, why);
    }

    /// Notes the files that a walk could not read, and warns of those that it met twice.
    pub(crate) fn note_walk(&mut self, walk: &Walk) {
        for note in &walk.repeated {
            tracing::warn!("{}: {}", note.path.display(), note.why);
        }
        for note in &walk.unreadable {
            self.note(note.path.display().to_string(), note.why.clone());
        }
    }

    /// The number of rejects.
    pub(crate) fn len(&self) -> usize {
        self.reasons.len()
    }

    /// In the order of the names, the first with its reason in brackets, for the end of a sentence.
    pub(crate) fn first(&self) -> String {
        let first = self.reasons.iter().next();
        first.map_or(String::new(), |(name, why)| match why.contains(name) {
            true => format!(" ({why})"),
            false => format!(" ({name}: {why})"),
        })
    }

    /// In the order of the names.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        self.reasons.clone().into_iter().collect()
    }
}

/// Warns the user of something broken.
fn warn(path: &str, why: &str) {
    match why.contains(path) {
        true => tracing::warn!("{why}: it is left out"),
        false => tracing::warn!("{path}: {why}: it is left out"),
    }
}

/// Describes a file's contents, with advice.
pub(crate) fn describe(contents: Contents) -> String {
    match contents.advice() {
        "" => contents.to_string(),
        advice => format!("{contents}: {advice}"),
    }
}

/// The text of a caption in any Unicode encoding.
pub(crate) fn decode_caption(bytes: &[u8]) -> Result<String, String> {
    match Contents::of(&bytes[..bytes.len().min(ENOUGH)]) {
        Some(other @ (Contents::LfsPointer | Contents::Html)) => {
            Err(format!("its caption is {}", describe(other)))
        }
        _ => decode(bytes).map_err(|error| format!("its caption: {error}")),
    }
}
