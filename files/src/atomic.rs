//! Files that appear whole or not at all, whatever ends the process: an error, a full disk, a signal.

use std::borrow::Cow;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// The beginning and the end of a partial file's name.
const PREFIX: &str = ".unclip-";
const SUFFIX: &str = ".partial";

/// The partial files and folders of this process.
static PARTIALS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file that is written beside the one whose place it takes. Its name is short, so that the other may have the longest
/// one there is; dropped, it is gone.
pub struct AtomicFile {
    path: PathBuf,
    // Before the entry, so that no file is left without one.
    partial: NamedTempFile,
    _entry: Entry,
}

impl AtomicFile {
    /// Begins the file that will be at `path`, or where a link there leads to.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = behind_links(path).into_owned();
        let mut partials = partials();
        let partial = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder_of(&path))
            .map_err(without_path)?;
        let entry = Entry::add(&mut partials, partial.path().to_owned());
        Ok(Self { path, partial, _entry: entry })
    }

    /// Writes these bytes behind what is there.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.partial.as_file_mut().write_all(bytes)
    }

    /// A writer to it.
    pub fn writer(&mut self) -> impl Write {
        BufWriter::with_capacity(1 << 20, self.partial.as_file_mut())
    }

    /// Puts it on the disk and then in its place: in that of another file only where `replace` says so.
    pub fn commit(self, replace: bool) -> io::Result<()> {
        self.commit_then(replace, || Ok(()))
    }

    /// The same, and `then` what belongs to it: [`abandon_all`] waits for both, so it should be short.
    pub fn commit_then(
        self,
        replace: bool,
        then: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.partial.as_file().sync_all()?;
        {
            let _renamed = partials();
            let placed = match replace {
                true => self.partial.persist(&self.path),
                false => self.partial.persist_noclobber(&self.path),
            };
            placed.map_err(|failed| failed.error)?;
            then()?;
        }
        // The rename itself lasts once the folder is synchronised.
        File::open(folder_of(&self.path))?.sync_all()
    }
}

/// Writes a file of these bytes: in the place of another only where `replace` says so.
pub fn write(path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit(replace)
}

/// A folder that is filled beside the one whose place it takes; dropped, it is gone.
pub struct AtomicFolder {
    partial: PathBuf,
    _entry: Entry,
}

impl AtomicFolder {
    /// Makes the folder `.name.partial` in `folder`, in the place of one that a crash left.
    pub fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let partial = folder.join(format!(".{name}{SUFFIX}"));
        let mut partials = partials();
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&partial)?,
        }
        let entry = Entry::add(&mut partials, partial.clone());
        Ok(Self { partial, _entry: entry })
    }

    /// The partial folder.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Gives it its name.
    pub fn commit(self, path: &Path) -> io::Result<()> {
        let _renamed = partials();
        fs::rename(&self.partial, path)
    }
}

impl Drop for AtomicFolder {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// A partial file or folder among those of this process.
struct Entry(PathBuf);

impl Entry {
    fn add(partials: &mut Vec<PathBuf>, path: PathBuf) -> Self {
        partials.push(path.clone());
        Self(path)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        partials().retain(|path| *path != self.0);
    }
}

/// Removes what this process has written in part. As long as the answer is held no file is begun and none gets its name: for
/// whoever ends the process, while other threads may still write.
pub fn abandon_all() -> MutexGuard<'static, Vec<PathBuf>> {
    let partials = partials();
    for path in &*partials {
        // Of a folder a thread may still make a file, while others are removed.
        let remove = || fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        let _ = remove().or_else(|_| remove());
    }
    partials
}

/// Removes what a killed process left in a folder that no other process writes to. What cannot be removed is ignored; the
/// next run tries again.
pub fn remove_partials(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(SUFFIX) {
            let path = entry.path();
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}

/// The file that a link leads to, so that it is replaced and the link stays.
pub fn behind_links(path: &Path) -> Cow<'_, Path> {
    match path.is_symlink() {
        true => path.canonicalize().map_or(path.into(), Cow::Owned),
        false => path.into(),
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The error without the name of a partial file, which nobody knows.
pub fn without_path(error: io::Error) -> io::Error {
    match error.to_string().rsplit_once(" at path \"") {
        Some((reason, _)) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

fn partials() -> MutexGuard<'static, Vec<PathBuf>> {
    PARTIALS.lock().unwrap_or_else(PoisonError::into_inner)
}
