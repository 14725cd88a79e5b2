//! Completes a model with the components of another.

use std::path::Path;

use files::atomic::{AtomicFolder, folder_of};

use crate::karlo::INDEX;
use crate::{Family, glide, karlo};
use weights::{Error, Folder};

/// Copies into the model of a family at `to` each component that it lacks and the model at `from` has, but for those in `except`,
/// and the index where it has none. Existing components stay as they are, and a new one has its name once all of its
/// files are there.
pub fn complete_model(
    from: &Folder,
    to: &Path,
    family: &Family,
    except: &[&str],
) -> Result<(), Error> {
    let components = family.all_components();
    for name in components.into_iter().filter(|name| !except.contains(name)) {
        copy_component(&from.component(name), &to.join(name))?;
    }
    let index = to.join(INDEX);
    match from.has(INDEX) && !index.exists() {
        true => from.copy_file(INDEX, &index),
        false => Ok(()),
    }
}

/// Copies into a model of compact GLIDE at `to` what it lacks and takes from an unCLIP model at `from` as it is: the tokenizer
/// and the upsampler, but for those in `except`.
pub fn complete_compact_glide(from: &Folder, to: &Path, except: &[&str]) -> Result<(), Error> {
    for (ours, theirs) in [
        (glide::TOKENIZER, karlo::TOKENIZER),
        (glide::UPSAMPLER, karlo::UPSAMPLER),
        (glide::UPSAMPLER_SCHEDULER, karlo::UPSAMPLER_SCHEDULER),
    ] {
        if !except.contains(&ours) {
            copy_component(&from.component(theirs), &to.join(ours))?;
        }
    }
    Ok(())
}

/// Copies a component's folder, where it is there and the other is not.
pub fn copy_component(from: &Folder, to: &Path) -> Result<(), Error> {
    match !from.file_names().is_empty() && !to.exists() {
        true => copy_folder(from, to),
        false => Ok(()),
    }
}

fn copy_folder(from: &Folder, to: &Path) -> Result<(), Error> {
    // With the process's number: another may complete the same model.
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{name}-{}", std::process::id());
    let failed = || Error::io("write", to.display());
    let partial = AtomicFolder::create(folder_of(to), &name).map_err(failed())?;
    for name in from.file_names() {
        from.copy_file(&name, &partial.path().join(&name))?;
    }
    match partial.commit(to) {
        // Another process was faster.
        Err(_) if to.is_dir() => Ok(()),
        placed => placed.map_err(failed()),
    }
}
