//! Completes a model with the parts of another.

use std::fs;
use std::path::{Path, PathBuf};

use crate::index::{COMPONENTS, INDEX};
use crate::{Error, write_atomically};

/// Folders of ours that no publisher's class opens.
pub(crate) const OURS: &[&str] = &["image_pca", "prior_autoregressive"];

/// Copies into the model at `to` each component that it lacks and the model at `from` has, but for those in `except`,
/// and the index where it has none. What is there already stays as it is, and a part has its name once all of its files
/// are there.
pub fn complete_model(from: &Path, to: &Path, except: &[&str]) -> Result<(), Error> {
    let published = COMPONENTS.iter().map(|(name, ..)| *name);
    let all = published.chain(OURS.iter().copied());
    for name in all.filter(|name| !except.contains(name)) {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() && !to.exists() {
            copy_folder(&from, &to)?;
        }
    }
    let (from, to) = (from.join(INDEX), to.join(INDEX));
    if from.is_file() && !to.exists() {
        copy_file(&from, &to)?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    fs::create_dir_all(&partial).map_err(Error::io("make the folder", partial.display()))?;
    for entry in fs::read_dir(from).map_err(Error::io("read the folder", from.display()))? {
        let entry = entry.map_err(Error::io("read the folder", from.display()))?;
        if entry.path().is_file() {
            copy_file(&entry.path(), &partial.join(entry.file_name()))?;
        }
    }
    fs::rename(&partial, to).map_err(Error::io("write", to.display()))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let mut source = fs::File::open(from).map_err(Error::io("read", from.display()))?;
    write_atomically(to, |out| {
        let copied = std::io::copy(&mut source, out).map(drop);
        copied.map_err(Error::io("write", to.display()))
    })
}
