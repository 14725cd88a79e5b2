//! Walks over folders: links are followed, every real file comes once, and what is hidden never.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, Error, WalkDir};

/// A file that a walk came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder that is walked over.
    pub path: PathBuf,
    /// Where it lies, with all links followed.
    pub real: PathBuf,
}

/// A sentence about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The path.
    pub path: PathBuf,
    /// The reason.
    pub why: String,
}

/// Everything that a walk came to.
#[derive(Debug, Default)]
pub struct Walk {
    /// The files, in the order of their paths.
    pub files: Vec<File>,
    /// Other paths of files and folders that were walked over already. Nothing is lost by passing over them.
    pub repeated: Vec<Note>,
    /// Folders that cannot be looked into, and links to nothing.
    pub unreadable: Vec<Note>,
}

/// Whether a name is one that file managers do not show.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Walks over a folder and the folders in it, for files whose path `include` accepts.
pub fn walk(folder: &Path, include: impl Fn(&Path) -> bool) -> Walk {
    let mut found = Walk::default();
    // By where they really lie, the paths that everything was first come to by.
    let mut known: HashMap<PathBuf, PathBuf> = HashMap::new();
    // Where the folders that lead to an entry really lie.
    let mut parents: Vec<PathBuf> = Vec::new();
    let mut entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.note(&error, &include);
                continue;
            }
        };
        let (path, is_folder) = (entry.path(), entry.file_type().is_dir());
        parents.truncate(entry.depth());
        if entry.depth() > 0 && is_hidden(entry.file_name()) {
            if is_folder {
                entries.skip_current_dir();
            }
            continue;
        }
        if !is_folder && !include(path) {
            continue;
        }
        let real = match real(&entry, &parents) {
            Ok(real) if is_folder || entry.file_type().is_file() => real,
            Ok(_) => {
                found.unreadable(path, "it is no file that can be read twice".to_owned());
                continue;
            }
            Err(error) => {
                found.unreadable(path, error.to_string());
                continue;
            }
        };
        if let Some(first) = known.get(&real) {
            found.repeated(path, first);
            if is_folder {
                entries.skip_current_dir();
            }
            continue;
        }
        known.insert(real.clone(), path.to_owned());
        match is_folder {
            true => parents.push(real),
            false => found.files.push(File { path: entry.into_path(), real }),
        }
    }
    found
}

/// Where an entry really lies, below the folders `parents` that lead to it.
fn real(entry: &DirEntry, parents: &[PathBuf]) -> std::io::Result<PathBuf> {
    match parents.last() {
        Some(parent) if !entry.path_is_symlink() => Ok(parent.join(entry.file_name())),
        _ => entry.path().canonicalize(),
    }
}

impl Walk {
    /// Notes what the walk could not come to, unless it is hidden or a link to nothing that is called as nothing that `include` accepts.
    fn note(&mut self, error: &Error, include: &impl Fn(&Path) -> bool) {
        let path = error.path().unwrap_or(Path::new(""));
        if error.depth() > 0 && path.file_name().is_some_and(is_hidden) {
            return;
        }
        if let Some(ancestor) = error.loop_ancestor() {
            return self.repeated(path, ancestor);
        }
        let why = error.io_error().map(std::io::Error::kind);
        let dangling = why == Some(ErrorKind::NotFound) && path.is_symlink();
        match dangling {
            true if path.extension().is_some() && !include(path) => {}
            true => self.unreadable(path, "it is a link to nothing".to_owned()),
            false => {
                let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                self.unreadable(path, why);
            }
        }
    }

    fn unreadable(&mut self, path: &Path, why: String) {
        let path = path.to_owned();
        self.unreadable.push(Note { path, why });
    }

    fn repeated(&mut self, path: &Path, first: &Path) {
        let why = format!("it is {} again, which is taken once", first.display());
        let path = path.to_owned();
        self.repeated.push(Note { path, why });
    }
}
