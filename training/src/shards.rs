//! Shards as webdataset writes them: tars in which the members of a sample have one key.
//!
//! A member's key is its name up to the first dot of the last part, and the rest says what it is: `0042.jpg` and `0042.txt`
//! are a picture and its caption, which may also be the field `caption` or `text` of `0042.json`; `0042.npy` is an
//! embedding. A shard's headers are walked once, when it is opened: a read of 512 bytes a member. From then on every sample
//! can be read by itself, so that the order is a true shuffle of all shards, and any step's samples are found at once; what
//! it costs is memory for the keys, and a seek a sample where webdataset would read a shard from its beginning to its end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::folder::{ENDINGS, LONGEST_CAPTION, LONGEST_PICTURE};
use crate::samples::{Broken, Source, left_out};
use crate::tar_index::{Member, Span, walk};

/// What a shard's samples are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Pictures with captions.
    Pictures,
    /// Embeddings with captions.
    Embeddings,
}

/// The samples of one tar, in the order of their first members.
pub(crate) struct Shard {
    path: PathBuf,
    samples: Vec<Sample>,
}

struct Sample {
    key: String,
    content: Span,
    caption: Caption,
}

/// Where a caption is.
#[derive(Clone, Copy)]
enum Caption {
    Text(Span),
    Json(Span),
}

impl Shard {
    /// Finds the samples of the tar at `path`. What is broken in it is noted and left out.
    pub(crate) fn open(path: &Path, wanted: Wanted, broken: &mut Broken) -> Self {
        let mut groups = Groups::default();
        let walked = walk(path, &mut |member| groups.add(member));
        let mut note = |name: String, why: String| {
            left_out(&name, &why);
            broken.insert(name, why);
        };
        if let Err(why) = walked {
            note(path.display().to_string(), why);
        }
        let mut samples = Vec::new();
        for Group { key, again, parts } in groups.groups {
            match parts.sample(key, wanted, again) {
                Some(Ok(sample)) => samples.push(sample),
                Some(Err((key, why))) => {
                    let again = if again { ", again" } else { "" };
                    note(format!("{}/{key}{again}", path.display()), why);
                }
                None => {}
            }
        }
        Self {
            path: path.to_owned(),
            samples,
        }
    }

    /// The keys of its samples.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().map(|sample| sample.key.as_str())
    }

    /// Reads a member that is no longer than `longest`.
    fn read(&self, span: Span, longest: u64) -> Result<Vec<u8>, String> {
        let Span { start, length } = span;
        if length > longest {
            return Err(format!(
                "it has {length} bytes, and at most {longest} are read"
            ));
        }
        let mut bytes = vec![0; length as usize];
        File::open(&self.path)
            .and_then(|file| file.read_exact_at(&mut bytes, start))
            .map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        Ok(bytes)
    }
}

impl Source for Shard {
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
        let Sample {
            content, caption, ..
        } = self.samples[n];
        let (Caption::Text(said) | Caption::Json(said)) = caption;
        [content.length, said.length]
    }

    fn caption(&self, n: usize) -> Result<String, String> {
        match self.samples[n].caption {
            Caption::Text(span) => {
                let text = String::from_utf8(self.read(span, LONGEST_CAPTION)?);
                text.map_err(|_| "its caption is no UTF-8".to_owned())
            }
            Caption::Json(span) => caption_of(&self.read(span, LONGEST_CAPTION)?),
        }
    }

    fn content(&self, n: usize) -> Result<Vec<u8>, String> {
        self.read(self.samples[n].content, LONGEST_PICTURE)
    }
}

/// The field `caption` or else `text` of a JSON.
fn caption_of(json: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Said {
        caption: Option<Value>,
        text: Option<Value>,
    }
    let said: Said =
        serde_json::from_slice(json).map_err(|error| format!("its JSON is damaged: {error}"))?;
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        _ => None,
    };
    text(said.caption)
        .or_else(|| text(said.text))
        .ok_or_else(|| "its JSON has no caption and no text".to_owned())
}

/// The members of a tar by their keys.
#[derive(Default)]
struct Groups {
    groups: Vec<Group>,
    /// The last group of each key.
    last: HashMap<String, usize>,
}

struct Group {
    key: String,
    /// Whether there is one of its key before it.
    again: bool,
    parts: Parts,
}

type Part = Option<Result<Span, &'static str>>;

/// What a sample may consist of.
#[derive(Default)]
struct Parts {
    picture: Part,
    embedding: Part,
    text: Part,
    json: Part,
}

impl Parts {
    /// The place of members that end so.
    fn named(&mut self, ending: &str) -> Option<&mut Part> {
        match ending {
            "txt" => Some(&mut self.text),
            "json" => Some(&mut self.json),
            "npy" => Some(&mut self.embedding),
            _ if ENDINGS.contains(&ending) => Some(&mut self.picture),
            _ => None,
        }
    }

    /// The sample that they make up, or what is missing or broken; `None` where they are none of what is wanted.
    fn sample(
        self,
        key: String,
        wanted: Wanted,
        again: bool,
    ) -> Option<Result<Sample, (String, String)>> {
        let (content, what) = match wanted {
            Wanted::Pictures => (self.picture, "picture"),
            Wanted::Embeddings => (self.embedding, "embedding"),
        };
        // Where both are there, they say the same.
        let caption = match (self.text, self.json) {
            (Some(text), _) => Some(text.map(Caption::Text)),
            (None, Some(json)) => Some(json.map(Caption::Json)),
            (None, None) => None,
        };
        let made = match (content, caption) {
            (None, None) => return None,
            _ if again => Err("the shard has one of this key before it".to_owned()),
            (Some(Err(why)), _) => Err(format!("its {what}: {why}")),
            (_, Some(Err(why))) => Err(format!("its caption: {why}")),
            (None, Some(Ok(_))) if self.embedding.is_some() => Err(
                "it has an embedding and no picture, and no embeddings.json is beside its shard"
                    .to_owned(),
            ),
            (None, Some(Ok(_))) => Err(format!("it has no {what}")),
            (Some(Ok(_)), None) => Err("it has no caption".to_owned()),
            (Some(Ok(content)), Some(Ok(caption))) => Ok((content, caption)),
        };
        Some(match made {
            Ok((content, caption)) => Ok(Sample {
                key,
                content,
                caption,
            }),
            Err(why) => Err((key, why)),
        })
    }
}

impl Groups {
    /// A second member of a kind begins another group of the same key.
    fn add(&mut self, member: Member) {
        let Some((key, ending)) = split(&member.name) else {
            return;
        };
        let mut parts = Parts::default();
        if parts.named(&ending).is_none() {
            return;
        }
        let again = match self.last.entry(key.to_owned()) {
            Entry::Vacant(new) => {
                new.insert(self.groups.len());
                false
            }
            Entry::Occupied(mut last) => {
                let group = &mut self.groups[*last.get()];
                if let Some(part @ None) = group.parts.named(&ending) {
                    *part = Some(member.span);
                    return;
                }
                last.insert(self.groups.len());
                true
            }
        };
        if let Some(part) = parts.named(&ending) {
            *part = Some(member.span);
        }
        let key = key.to_owned();
        self.groups.push(Group { key, again, parts });
    }
}

/// A member's key and, in small letters, its ending. Hidden files are of no sample, nor are webdataset's own notes, whose
/// names begin and end with two underscores.
fn split(name: &str) -> Option<(&str, String)> {
    if name.starts_with("__") && name.ends_with("__") {
        return None;
    }
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[last..].find('.').filter(|&dot| dot > 0)?;
    let (key, ending) = name.split_at(last + dot);
    Some((key, ending[1..].to_ascii_lowercase()))
}
