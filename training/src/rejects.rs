//! Data that cannot be learned from: named once, counted, and left out.

use std::collections::BTreeMap;

use files::contents::{Contents, ENOUGH};
use files::text::decode;
use files::walk::Walk;

/// Names of what is broken, and why it is.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    named: BTreeMap<String, String>,
}

impl Rejects {
    /// Notes something, and tells the user.
    pub(crate) fn note(&mut self, name: String, why: String) {
        left_out(&name, &why);
        self.add(name, why);
    }

    /// Notes something that the user is told of otherwise.
    pub(crate) fn add(&mut self, name: String, why: String) {
        self.named.insert(name, why);
    }

    /// Notes what a walk could not come to, and tells what it came to twice.
    pub(crate) fn note_walk(&mut self, walk: &Walk) {
        for note in &walk.repeated {
            tracing::warn!("{}: {}", note.path.display(), note.why);
        }
        for note in &walk.unreadable {
            self.note(note.path.display().to_string(), note.why.clone());
        }
    }

    /// How much.
    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// In the order of the names, the first with its reason in brackets, for the end of a sentence.
    pub(crate) fn first(&self) -> String {
        let first = self.named.iter().next();
        first.map_or(String::new(), |(name, why)| match why.contains(name) {
            true => format!(" ({why})"),
            false => format!(" ({name}: {why})"),
        })
    }

    /// In the order of the names.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        self.named.clone().into_iter().collect()
    }
}

/// Tells the user of something broken.
fn left_out(path: &str, why: &str) {
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
