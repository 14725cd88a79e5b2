//! The published files, each with the components that it holds.

use std::path::Path;

use weights::{Folder, tensor_names};

use super::inference::{FIRST_STEPS, PRIOR_QUERY, UNCONDITIONAL};
use crate::clip_files::{has_tokenizer, no_tokenizer};
use crate::glide::CLIP_MERGES;
use crate::karlo::*;
use crate::{Error, Family, glide};

/// The endings of the files, and how many with such a folder has at most: one with more is full of something else.
const ENDINGS: [&str; 4] = [".ckpt", ".pt", ".pth", ".th"];
const MOST_FILES: usize = 12;

/// A published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleaseFile {
    /// Both towers of OpenAI's CLIP.
    Clip,
    /// The mean and the standard deviation of image embeddings.
    Statistics,
    /// The prior's network.
    Prior,
    /// The decoder's U-Net and its conditioning.
    Decoder,
    /// Both networks of the upsampler.
    Upsampler,
}

impl ReleaseFile {
    /// All of them.
    const ALL: [Self; 5] =
        [Self::Clip, Self::Statistics, Self::Prior, Self::Decoder, Self::Upsampler];

    /// The file that a component comes from; of a scheduler, that of the network which was trained with it.
    fn of(component: &str) -> Option<Self> {
        Some(match component {
            TOKENIZER | TEXT_ENCODER | IMAGE_ENCODER | IMAGE_PROCESSOR => Self::Clip,
            PRIOR | PRIOR_SCHEDULER => Self::Prior,
            CONDITIONING | DECODER | DECODER_SCHEDULER => Self::Decoder,
            UPSAMPLER | LAST_UPSAMPLER | UPSAMPLER_SCHEDULER => Self::Upsampler,
            _ => return None,
        })
    }

    /// The name under which it is published.
    fn name(self) -> &'static str {
        match self {
            Self::Clip => "ViT-L-14.pt",
            Self::Statistics => "ViT-L-14_stats.th",
            Self::Prior => "prior-ckpt-step=01000000-of-01000000.ckpt",
            Self::Decoder => "decoder-ckpt-step=01000000-of-01000000.ckpt",
            Self::Upsampler => "improved-sr-ckpt-step=1.2M.ckpt",
        }
    }

    /// The beginning of its name, before the `=` that is `%3D` in its address, and in the name that some programs save it under.
    fn beginning(self) -> &'static str {
        let name = self.name();
        name.split_once('=').map_or(name, |(beginning, _)| beginning)
    }

    /// The components in it, with their article.
    fn noun(self) -> &'static str {
        match self {
            Self::Clip => "CLIP",
            Self::Statistics => "the prior's normalisation (mean and deviation)",
            Self::Prior => "the prior",
            Self::Decoder => "the decoder",
            Self::Upsampler => "the upsampler",
        }
    }

    /// Whether tensors of these names are its own.
    fn has_tensors(self, names: &[String]) -> bool {
        let has = |leaf: &str| {
            let mut prefixes = names.iter().filter_map(|name| name.strip_suffix(leaf));
            prefixes.any(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        };
        match self {
            Self::Clip => has("visual.conv1.weight") && has("token_embedding.weight"),
            Self::Statistics => names == ["0", "1"],
            Self::Prior => has(PRIOR_QUERY),
            Self::Decoder => has(UNCONDITIONAL),
            Self::Upsampler => names.iter().any(|name| name.starts_with(FIRST_STEPS)),
        }
    }

    /// The name of this file in `folder`: the published one, or that of a file with its tensors. No number is read.
    pub(super) fn in_folder(self, folder: &Folder) -> Option<String> {
        let (path, names) = (folder.path()?, file_names(folder));
        let published = names.iter().find(|name| name.starts_with(self.beginning()));
        let by_tensors = || {
            let of_another =
                |name: &str| Self::ALL.iter().any(|file| name.starts_with(file.beginning()));
            let is_this =
                |path: &Path| tensor_names(path).is_ok_and(|names| self.has_tensors(&names));
            names.iter().find(|name| !of_another(name) && is_this(&path.join(name)))
        };
        published.or_else(by_tensors).cloned()
    }
}

/// The names of the files in `folder` that may be published ones.
fn file_names(folder: &Folder) -> Vec<String> {
    let mut names = folder.file_names();
    names.retain(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)));
    match names.len() {
        ..=MOST_FILES => names,
        _ => Vec::new(),
    }
}

/// Whether a published network of Karlo's own lies in `folder`, which is no model in another layout.
pub(crate) fn is_published(folder: &Folder) -> bool {
    let networks = [ReleaseFile::Prior, ReleaseFile::Decoder, ReleaseFile::Upsampler];
    folder.weights_file().is_none()
        && folder.path().is_some()
        && !folder.has(INDEX)
        && !glide::is_published(folder)
        && networks.iter().any(|file| file.in_folder(folder).is_some())
}

/// The folder that a component of `family` opens in, where it is in one of the published files in `folder`.
pub(crate) fn component_in(
    family: &Family,
    folder: &Folder,
    component: &'static str,
) -> Option<Folder> {
    let file = ReleaseFile::of(component)?;
    if family.pipeline != PIPELINE || !is_published(folder) {
        return None;
    }
    let found = folder.clone().with_weights_file(&file.in_folder(folder)?);
    match component {
        TOKENIZER => has_tokenizer(folder).then_some(found),
        TEXT_ENCODER | IMAGE_ENCODER => Some(found),
        PRIOR if ReleaseFile::Statistics.in_folder(folder).is_none() => None,
        _ => Some(found.with_file_component(component)),
    }
}

/// The error for a component that is in none of the published files in `folder`, where one would hold it.
pub(crate) fn missing(folder: &Folder, component: &str) -> Option<Error> {
    let file = is_published(folder).then(|| missing_release_file(folder, component))??;
    Some(match (component, file.in_folder(folder)) {
        (TOKENIZER, Some(clip)) => no_tokenizer(&folder.clone().with_weights_file(&clip)),
        _ => Error::NoPublishedFile { file: folder.name_of(file.name()), noun: file.noun() },
    })
}

/// The name of the file that is missing for such a component.
pub(crate) fn missing_file(folder: &Folder, component: &str) -> Option<&'static str> {
    let file = is_published(folder).then(|| missing_release_file(folder, component))??;
    Some(match (component, file.in_folder(folder)) {
        (TOKENIZER, Some(_)) => CLIP_MERGES,
        _ => file.name(),
    })
}

fn missing_release_file(folder: &Folder, component: &str) -> Option<ReleaseFile> {
    let file = ReleaseFile::of(component)?;
    let has_network = component == PRIOR && file.in_folder(folder).is_some();
    Some(if has_network { ReleaseFile::Statistics } else { file })
}
