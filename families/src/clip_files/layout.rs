//! Tells the layouts of a CLIP apart.

use std::path::Path;

use tch::{Device, Kind};
use weights::{Checkpoint, Error, Folder};

use super::inference::{FIRST_CONVOLUTION, without_prefix};
use super::open_clip::{OPEN_CLIP_CONFIG, open_clip_weights};
use crate::karlo::INDEX;
use crate::open::CONFIG;
use crate::{glide, karlo_files, may_be_clip};

/// The layout of a CLIP in one folder or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClipLayout {
    /// transformers' folder of a `CLIPModel`, or of one of its towers.
    Transformers,
    /// One file by OpenAI's names of the tensors, which say the shape too.
    OpenAi,
    /// open_clip's folder, or a file beside its configuration.
    OpenClip,
}

/// The layout of the CLIP in `folder`; `None` where nothing says that it holds one. Where transformers' files lie beside
/// open_clip's, theirs are read, unless a file of open_clip's is named.
pub(crate) fn clip_layout(folder: &Folder) -> Option<ClipLayout> {
    // A file with another component is none.
    if folder.file_component().is_some() {
        return None;
    }
    let is_file = folder.weights_file().is_some();
    let is_open_clip = folder.has(OPEN_CLIP_CONFIG)
        && (is_file || !folder.has(CONFIG) || folder.weight_files("CLIP").is_err());
    match is_open_clip {
        true => Some(ClipLayout::OpenClip),
        false if is_file => Some(ClipLayout::OpenAi),
        false => may_be_clip(folder).then_some(ClipLayout::Transformers),
    }
}

/// The layout of the CLIP in `folder` where it is not transformers', whose components are opened as those of any family.
pub(crate) fn own_layout(folder: &Folder) -> Option<ClipLayout> {
    clip_layout(folder).filter(|layout| *layout != ClipLayout::Transformers)
}

/// The file that is a CLIP by itself, where `folder` holds one of PyTorch's and no configuration.
pub(crate) fn only_clip_file(folder: &Folder) -> Option<String> {
    let names = folder.file_names();
    let mut files = names.iter().filter(|name| name.ends_with(".pt"));
    let (Some(only), None) = (files.next(), files.next()) else { return None };
    let is_other = [CONFIG, INDEX, OPEN_CLIP_CONFIG].iter().any(|name| folder.has(name))
        || glide::is_published(folder)
        || karlo_files::is_published(folder);
    let path = folder.path()?.join(only);
    (!is_other && is_clip_file(&path).unwrap_or(false)).then(|| only.clone())
}

/// Whether the file at `path` holds a CLIP: by OpenAI's names, or as weights beside open_clip's configuration. An error where
/// the weights in it cannot be read.
pub(crate) fn is_clip_file(path: &Path) -> Result<bool, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(OPEN_CLIP_CONFIG);
    if open_clip_weights().contains(&&*name) && beside.is_file() {
        return Ok(true);
    }
    let checkpoint = Checkpoint::open(path, "CLIP", Device::Cpu, Kind::Float)?;
    Ok(without_prefix(checkpoint).shape(FIRST_CONVOLUTION).is_some())
}
