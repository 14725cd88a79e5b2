//! Writes any model that is read as safetensors, in our own layout: a folder for each component, as diffusers has it.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use files::atomic::{AtomicFolder, folder_of};
use tch::Kind;
use weights::{Folder, save_safetensors};

use crate::clip_files::{self, own_layout};
use crate::components::{Component, ComponentKind};
use crate::index::{read_logit_scale, save_model_index};
use crate::karlo::INDEX;
use crate::open::CODES;
use crate::{Error, Family, glide, karlo_files, recognise};

/// A step of a conversion: a component was checked, or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversionStep {
    /// The component's folder.
    pub component: &'static str,
    /// How many steps are done, this one included.
    pub done: usize,
    /// How many there are.
    pub total: usize,
}

/// Writes the model in `from` as safetensors into the folder `to`, which must be new or empty. Networks are written in
/// `dtype`, or as they are stored where it is `None`; principal components and quantisers always stay as they are.
///
/// Every component is opened before anything is written, so a damaged one is refused with its error, and the folder has its
/// name once all of it is there. Configurations, tokenizers, schedulers, the index and licences are copied. The observer may
/// stop it after each step.
///
/// Gives the names of the files and folders in `from` that belong to no component and were not copied.
pub fn convert_model(
    from: &Folder,
    to: &Path,
    dtype: Option<Kind>,
    observer: &mut dyn FnMut(ConversionStep) -> ControlFlow<()>,
) -> Result<Vec<String>, Error> {
    if own_layout(from).is_some() {
        return Err(Error::Destination {
            folder: to.display().to_string(),
            reason: format!("{from} is a CLIP in its publisher's layout, which is read as it is"),
        });
    }
    let family = recognise(from);
    let components = Component::to_convert(from, &family)?;
    let place = destination(from, to)?;
    let total = 2 * components.len();
    let mut done = 0;
    let mut observe = |component| {
        done += 1;
        match observer(ConversionStep { component, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    };
    for component in &components {
        component.check()?;
        observe(component.name)?;
    }
    let name = format!("unclip-{}", std::process::id());
    let failed = || weights::Error::io("write", to.display());
    let partial = AtomicFolder::create(folder_of(&place), &name).map_err(failed())?;
    let mut write = || {
        let mut used = UsedFiles::default();
        for component in &components {
            write_component(component, partial.path(), dtype, &mut used)?;
            observe(component.name)?;
        }
        write_rest(from, &family, &components, partial.path())?;
        Ok(left_out(from, &components, &used))
    };
    let left_out = write().map_err(|error| with_path(error, partial.path(), to))?;
    partial.commit(&place).map_err(failed())?;
    Ok(left_out)
}

/// The folder that is written, with links followed. Refuses one that holds something, or lies within the model.
fn destination(from: &Folder, to: &Path) -> Result<PathBuf, Error> {
    let refuse = |reason: String| Error::Destination { folder: to.display().to_string(), reason };
    let entry = match fs::read_dir(to) {
        Ok(mut entries) => entries.next(),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(refuse(error.to_string())),
    };
    let parent = folder_of(to);
    let name = to.file_name().unwrap_or_default();
    let place = to.canonicalize().or_else(|_| Ok(parent.canonicalize()?.join(name)));
    let place = place
        .map_err(|_: std::io::Error| refuse(format!("there is no folder {}", parent.display())))?;
    let model = from.path().and_then(|path| path.canonicalize().ok());
    if let Some(model) = model
        && place.starts_with(&model)
    {
        return Err(refuse(match place == model {
            true => "it is the model itself".to_owned(),
            false => format!("it lies in the model's folder {from}"),
        }));
    }
    match entry {
        Some(_) => Err(refuse("it is there already, and not empty".to_owned())),
        None => Ok(place),
    }
}

/// The files of a model that were read for what was written, each by its path.
#[derive(Default)]
struct UsedFiles(HashSet<String>);

impl UsedFiles {
    fn add(&mut self, folder: &Folder, name: &str) {
        self.0.insert(folder.name_of(name));
    }

    fn contains(&self, folder: &Folder, name: &str) -> bool {
        self.0.contains(&folder.name_of(name))
    }
}

/// Writes a component into its folder in `model`.
fn write_component(
    component: &Component,
    model: &Path,
    dtype: Option<Kind>,
    used: &mut UsedFiles,
) -> Result<(), Error> {
    let Component { name, folder_name, kind, folder } = component;
    let to = model.join(folder_name);
    fs::create_dir_all(&to).map_err(weights::Error::io("make the folder", to.display()))?;
    let mut copies = Vec::new();
    match kind {
        ComponentKind::GlideNetwork => {
            let (config, tensors) = glide::read_network(folder, name)?;
            glide::save_network(&to, &config, &tensors, dtype)?;
            match glide::published_file(name).filter(|file| folder.has(file)) {
                Some(file) => {
                    used.add(folder, file);
                    used.add(folder, glide::OPTIONS);
                }
                None => mark_weights(component, used)?,
            }
            used.add(folder, crate::open::CONFIG);
        }
        ComponentKind::GlideScheduler if !folder.has(crate::open::SCHEDULER_CONFIG) => {
            glide::write_scheduler(&to, name)?;
        }
        ComponentKind::GlideTokenizer | ComponentKind::NoisedClipTokenizer
            if glide::is_published(folder) =>
        {
            copies = glide::tokenizer_files(folder, name);
        }
        _ if folder.file_component().is_some() => {
            karlo_files::write_component(folder, &to, dtype)?;
            karlo_files::source_files(folder).iter().for_each(|file| used.add(folder, file));
        }
        _ if let Some(file) = folder.weights_file() => {
            write_of_clip(*kind, folder, &to, dtype)?;
            clip_files::tokenizer_sources().for_each(|file| used.add(folder, &file));
            used.add(folder, file);
        }
        _ => {
            if let Some(weights) = component.weights_name() {
                let is_network = *kind != ComponentKind::PrincipalComponents;
                let tensors = component.checkpoint()?.tensors()?;
                save_safetensors(to.join(weights), &tensors, dtype.filter(|_| is_network))?;
                mark_weights(component, used)?;
            }
            copies = folder.file_names().into_iter().filter(|name| is_kept(name)).collect();
        }
    }
    for file in copies {
        folder.copy_file(&file, &to.join(&file))?;
        used.add(folder, &file);
    }
    Ok(())
}

/// Writes a component of the CLIP in a file of OpenAI's.
fn write_of_clip(
    kind: ComponentKind,
    folder: &Folder,
    to: &Path,
    dtype: Option<Kind>,
) -> Result<(), Error> {
    match kind {
        ComponentKind::TextEncoder => clip_files::write_text_encoder(folder, to, dtype),
        ComponentKind::ImageEncoder => clip_files::write_image_encoder(folder, to, dtype),
        _ => clip_files::write_tokenizer(folder, to),
    }
}

fn mark_weights(component: &Component, used: &mut UsedFiles) -> Result<(), Error> {
    let folder = &component.folder;
    folder.weight_files("a component")?.iter().for_each(|file| used.add(folder, file));
    Ok(())
}

/// Whether a file of a component is copied as it is: a text, but for the index of shards, which become one file.
fn is_kept(name: &str) -> bool {
    let is_text = [".json", ".txt", ".bpe", ".gz"].iter().any(|ending| name.ends_with(ending));
    let is_shards = name.ends_with(".json") && name.contains(".index");
    name == CODES || is_licence(name) || is_text && !is_shards && !name.starts_with('.')
}

/// Whether a file says what may be done with a model: a licence, a notice, or the card that names one.
pub(crate) fn is_licence(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let names = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "README"];
    names.iter().any(|beginning| name.starts_with(beginning))
}

/// Writes what belongs to the whole model: its index, and licences.
fn write_rest(
    from: &Folder,
    family: &Family,
    components: &[Component],
    to: &Path,
) -> Result<(), Error> {
    // A component alone has them in its own folder.
    if components.iter().any(|component| component.name.is_empty()) {
        return Ok(());
    }
    for name in from.file_names().into_iter().filter(|name| is_licence(name)) {
        from.copy_file(&name, &to.join(&name))?;
    }
    match from.has(INDEX) {
        true => Ok(from.copy_file(INDEX, &to.join(INDEX))?),
        false => save_model_index(to, family, read_logit_scale(from)?),
    }
}

/// The files and folders that were not copied, hidden ones left out, by their names in the model.
fn left_out(from: &Folder, components: &[Component], used: &UsedFiles) -> Vec<String> {
    let is_new = |folder: &Folder, name: &str| {
        !used.contains(folder, name) && !name.starts_with('.') && !is_licence(name) && name != INDEX
    };
    let files = from.file_names().into_iter().filter(|name| is_new(from, name));
    let folders = from.folder_names().into_iter();
    let folders =
        folders.filter(|name| components.iter().all(|component| component.folder_name != name));
    let mut names: Vec<String> = files.chain(folders.map(|name| format!("{name}/"))).collect();
    let own = |component: &&Component| component.folder.name_of("") != from.name_of("");
    for Component { folder_name: name, folder, .. } in components.iter().filter(own) {
        let files = folder.file_names().into_iter().filter(|file| is_new(folder, file));
        names.extend(files.map(|file| format!("{name}/{file}")));
    }
    names
}

/// The error with the path that a file will have in the place of the one that it had until now.
fn with_path(error: Error, partial: &Path, to: &Path) -> Error {
    let [partial, to] = [partial, to].map(|path| path.display().to_string());
    let renamed = |path: String| path.replacen(&partial, &to, 1);
    match error {
        Error::Weights(weights::Error::Io { action, path, source }) => {
            weights::Error::Io { action, path: renamed(path), source }.into()
        }
        Error::Weights(weights::Error::Save { file, tensor, reason }) => {
            weights::Error::Save { file: renamed(file), tensor, reason }.into()
        }
        other => other,
    }
}
