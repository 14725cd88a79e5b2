//! Shards as webdataset writes them: tars in which the members of a sample have one key.
//!
//! [`crate::shard_members`] says which members make up a sample. A shard's headers are walked once, when it is opened: a read of
//! 512 bytes a member. From then on every sample can be read by itself, so that the order is a true shuffle of all shards, and
//! any step's samples are found at once. The cost is memory for the keys, and a seek a sample where webdataset would read a
//! shard from its beginning to its end.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use files::text::decode;
use images::MAX_FILE_BYTES;
use serde_json::Value;

use crate::dataset::SampleSource;
use crate::folder::LONGEST_CAPTION;
use crate::other_formats;
use crate::rejects::{Rejects, decode_caption};
use crate::shard_members::{CaptionMember, MemberGroups, ShardSample, describe_unused};
use crate::tar_index::{Span, walk};

/// The content of a shard's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleKind {
    /// Images with captions.
    Images,
    /// Embeddings with captions.
    Embeddings,
}

/// The samples of one tar, in the order of their first members.
pub(crate) struct Shard {
    path: PathBuf,
    /// The file's identity when its headers were walked.
    stamp: Option<Stamp>,
    samples: Vec<ShardSample>,
}

/// A file's number, length and time of its last change, in seconds and billionths.
type Stamp = (u64, u64, i64, i64);

fn stamp(file: &Metadata) -> Stamp {
    (file.ino(), file.len(), file.mtime(), file.mtime_nsec())
}

impl Shard {
    /// Finds the samples of the tar at `path`. Broken ones are noted and left out.
    pub(crate) fn open(path: &Path, kind: SampleKind, broken: &mut Rejects) -> Self {
        let mut groups = MemberGroups::default();
        let stamp = path.metadata().ok().as_ref().map(stamp);
        let result = walk(path, &mut |member| groups.add(member));
        let shown = path.display();
        if let Err(why) = result {
            broken.note(shown.to_string(), other_formats::advice(path).unwrap_or(why));
        }
        let samples = groups.samples(kind, &mut |name, why| {
            broken.note(format!("{shown}/{name}"), why);
        });
        let unused = groups.unused();
        if let Some(why) = describe_unused(&unused) {
            tracing::warn!("{shown}: {why}: left out");
        }
        for member in unused {
            broken.add(format!("{shown}/{}", member.name), member.why());
        }
        Self { path: path.to_owned(), stamp, samples }
    }

    /// The keys of its samples.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().map(|sample| sample.key.as_str())
    }

    /// Reads a member that is no longer than `longest`.
    fn read(&self, span: Span, longest: u64) -> Result<Vec<u8>, String> {
        let Span { start, length } = span;
        if length > longest {
            return Err(format!("it has {length} bytes, and at most {longest} are read"));
        }
        let shown = self.path.display();
        let failed = |error| format!("cannot read {shown}: {error}");
        let file = File::open(&self.path).map_err(failed)?;
        let now = file.metadata().map_err(failed)?;
        if self.stamp != Some(stamp(&now)) {
            return Err(format!("{shown} has changed since its members were found"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, start).map_err(failed)?;
        Ok(bytes)
    }
}

impl SampleSource for Shard {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, n: usize) -> String {
        let shard = self.path.file_name().unwrap_or_default();
        format!("{}/{}", shard.to_string_lossy(), self.samples[n].key)
    }

    fn path(&self, n: usize) -> String {
        format!("{}/{}", self.path.display(), self.samples[n].key)
    }

    fn lengths(&self, n: usize) -> [u64; 2] {
        let ShardSample { content, caption, .. } = self.samples[n];
        let (CaptionMember::Text(span) | CaptionMember::Json(span)) = caption;
        [content.length, span.length]
    }

    fn caption(&self, n: usize) -> Result<String, String> {
        match self.samples[n].caption {
            CaptionMember::Text(span) => decode_caption(&self.read(span, LONGEST_CAPTION)?),
            CaptionMember::Json(span) => caption_of(&self.read(span, LONGEST_CAPTION)?),
        }
    }

    fn content(&self, n: usize) -> Result<Vec<u8>, String> {
        self.read(self.samples[n].content, MAX_FILE_BYTES)
    }
}

/// The field `caption` or else `text` of a JSON.
fn caption_of(json: &[u8]) -> Result<String, String> {
    let json = decode(json).map_err(|error| format!("its JSON: {error}"))?;
    let value =
        serde_json::from_str(&json).map_err(|error| format!("its JSON is damaged: {error}"))?;
    let Value::Object(mut fields) = value else {
        return Err("its JSON is no object with a caption or a text".to_owned());
    };
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        _ => None,
    };
    text("caption")
        .or_else(|| text("text"))
        .ok_or_else(|| "its JSON has no caption and no text".to_owned())
}
