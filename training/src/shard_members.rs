//! Which members of a webdataset shard make up a sample.
//!
//! A member's key is its name up to the first dot of the last part, and the rest is its ending: `0042.jpg` and `0042.txt` are
//! an image and its caption, which may also be a field of `0042.json`; `0042.npy` is an embedding.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use files::extensions::{is_image, is_unsupported_image};

use crate::shards::SampleKind;
use crate::tar_index::{Member, Span};

/// A sample of a shard.
pub(crate) struct ShardSample {
    pub(crate) key: String,
    /// The image or embedding.
    pub(crate) content: Span,
    pub(crate) caption: CaptionMember,
}

/// The member with a caption.
#[derive(Clone, Copy)]
pub(crate) enum CaptionMember {
    Text(Span),
    Json(Span),
}

/// The members of a tar by their keys.
#[derive(Default)]
pub(crate) struct MemberGroups {
    groups: Vec<MemberGroup>,
    /// The last group of each key.
    last: HashMap<String, usize>,
    /// Members that no sample takes anything from, by their keys.
    others: BTreeMap<String, Vec<UnusedMember>>,
}

struct MemberGroup {
    key: String,
    /// Whether there is one of its key before it.
    again: bool,
    members: Members,
    /// The ending of its first image.
    image: Option<String>,
}

type MemberSlot = Option<Result<Span, &'static str>>;

/// The members that a sample may consist of.
#[derive(Default)]
struct Members {
    image: MemberSlot,
    embedding: MemberSlot,
    text: MemberSlot,
    json: MemberSlot,
}

/// A member that fits no sample.
pub(crate) struct UnusedMember {
    /// Its whole name.
    pub(crate) name: String,
    ending: String,
}

impl MemberGroups {
    /// A second member of a kind begins another group of the same key.
    pub(crate) fn add(&mut self, member: Member) {
        if is_note(&member.name) {
            return;
        }
        let (key, ending) = split(&member.name);
        let mut members = Members::default();
        if members.named(&ending).is_none() {
            let name = member.name.clone();
            let others = self.others.entry(key.to_owned()).or_default();
            return others.push(UnusedMember { name, ending });
        }
        let again = match self.last.entry(key.to_owned()) {
            Entry::Vacant(new) => {
                new.insert(self.groups.len());
                false
            }
            Entry::Occupied(mut last) => {
                let group = &mut self.groups[*last.get()];
                // Of an image and its mask, say, the first is the one that the caption tells of.
                if group.image.as_ref().is_some_and(|first| *first != ending)
                    && members.is_image_ending(&ending)
                {
                    return;
                }
                group.note_image(&ending);
                if let Some(part @ None) = group.members.named(&ending) {
                    *part = Some(member.span);
                    return;
                }
                last.insert(self.groups.len());
                true
            }
        };
        if let Some(part) = members.named(&ending) {
            *part = Some(member.span);
        }
        let mut group = MemberGroup { key: key.to_owned(), again, members, image: None };
        group.note_image(&ending);
        self.groups.push(group);
    }

    /// The samples that the groups make up, in the order of their first members. `broken` is called with each group that makes up
    /// none, and why.
    pub(crate) fn samples(
        &mut self,
        kind: SampleKind,
        broken: &mut dyn FnMut(String, String),
    ) -> Vec<ShardSample> {
        let mut samples = Vec::new();
        for MemberGroup { key, again, members, .. } in std::mem::take(&mut self.groups) {
            let others = self.others.get(&key).map_or(&[][..], Vec::as_slice);
            match members.sample(kind, again, others) {
                Ok((content, caption)) => samples.push(ShardSample { key, content, caption }),
                Err(why) if again => broken(format!("{key}, again"), why),
                Err(why) => broken(key, why),
            }
        }
        samples
    }

    /// The members whose key is no group's, in the order of their keys.
    pub(crate) fn unused(&mut self) -> Vec<UnusedMember> {
        let others = std::mem::take(&mut self.others).into_iter();
        let alone = others.filter(|(key, _)| !self.last.contains_key(key));
        alone.flat_map(|(_, members)| members).collect()
    }
}

impl MemberGroup {
    /// Notes the ending of its first image.
    fn note_image(&mut self, ending: &str) {
        if self.image.is_none() && self.members.is_image_ending(ending) {
            self.image = Some(ending.to_owned());
        }
    }
}

impl Members {
    /// Whether members that end so are images.
    fn is_image_ending(&self, ending: &str) -> bool {
        !ending.contains('.') && is_image(format!("a.{ending}"))
    }

    /// The place of members that end so.
    fn named(&mut self, ending: &str) -> Option<&mut MemberSlot> {
        match ending {
            "txt" => Some(&mut self.text),
            "json" => Some(&mut self.json),
            "npy" => Some(&mut self.embedding),
            _ if self.is_image_ending(ending) => Some(&mut self.image),
            _ => None,
        }
    }

    /// The content and the caption of the sample that they make up, or what is missing or broken; `others` are members of the
    /// same key.
    fn sample(
        self,
        kind: SampleKind,
        again: bool,
        others: &[UnusedMember],
    ) -> Result<(Span, CaptionMember), String> {
        let (content, what) = match kind {
            SampleKind::Images => (self.image, "picture"),
            SampleKind::Embeddings => (self.embedding, "embedding"),
        };
        // Where both are there, they say the same.
        let caption = match (self.text, self.json) {
            (Some(text), _) => Some(text.map(CaptionMember::Text)),
            (None, Some(json)) => Some(json.map(CaptionMember::Json)),
            (None, None) => None,
        };
        match (content, caption) {
            _ if again => Err("the shard has one of this key before it".to_owned()),
            (Some(Err(why)), _) => Err(format!("its {what}: {why}")),
            (_, Some(Err(why))) => Err(format!("its caption: {why}")),
            (None, _) if self.embedding.is_some() => Err(
                "it has an embedding and no picture, and no embeddings.json is beside its shard"
                    .to_owned(),
            ),
            (None, _) => Err(without(what, others)),
            (Some(Ok(_)), None) => Err(without("caption", others)),
            (Some(Ok(content)), Some(Ok(caption))) => Ok((content, caption)),
        }
    }
}

/// A sample lacks something, in the place of which it may have one of `others`.
fn without(what: &str, others: &[UnusedMember]) -> String {
    let unread = others.iter().find(|member| is_unsupported_image(&member.name));
    match (unread, others) {
        (Some(member), _) if what == "picture" => {
            format!("its picture: {}", unread_image(&member.ending))
        }
        (_, []) => format!("it has no {what}"),
        (_, [member, ..]) => {
            format!("it has no {what}, but a member that ends in .{}", member.ending)
        }
    }
}

/// Why an image is not read, by its ending.
fn unread_image(ending: &str) -> String {
    format!("it ends in .{ending}, and PNG, JPEG, WebP and GIF are read")
}

impl UnusedMember {
    /// Why it fits no sample.
    pub(crate) fn why(&self) -> String {
        let (name, ending) = (&self.name, &self.ending);
        if ending.is_empty() {
            return "its name has no ending".to_owned();
        }
        if is_unsupported_image(name) {
            return unread_image(ending);
        }
        let (key, _) = split(name);
        match ending.contains('.') {
            true => format!(
                "a member's key ends at its first dot, so that its key is {key} and its ending .{ending}, no picture's and no caption's"
            ),
            false => format!("its ending .{ending} is no picture's and no caption's"),
        }
    }
}

/// How many members fit no sample, one of them, and some of their endings; `None` where there are none.
pub(crate) fn describe_unused(unused: &[UnusedMember]) -> Option<String> {
    const SHOWN: usize = 4;
    let first = unused.first()?;
    let endings: BTreeSet<&str> = unused.iter().map(|member| &*member.ending).collect();
    let shown: Vec<String> = endings.iter().take(SHOWN).map(|e| format!(".{e}")).collect();
    let (count, shown) = (unused.len(), shown.join(", "));
    Some(format!(
        "{count} members fit no sample, with the endings {shown}; of {}, {}",
        first.name,
        first.why()
    ))
}

/// Whether a member is none of the data: hidden, or webdataset's own note, whose name begins and ends with two underscores.
fn is_note(name: &str) -> bool {
    let hidden = |part: &str| part.starts_with('.') && part != "." && part != "..";
    name.split('/').any(hidden) || name.starts_with("__") && name.ends_with("__")
}

/// A member's key and, in small letters, its ending.
fn split(name: &str) -> (&str, String) {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[last..].find('.') {
        Some(dot) => {
            let (key, ending) = name.split_at(last + dot);
            (key, ending[1..].to_ascii_lowercase())
        }
        None => (name, String::new()),
    }
}
