//! Files that appear whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// Writes a file through `write`, and puts it in the place of `path` only when all of it is on the disk: to a file
/// beside it first, which is synchronised and renamed. After an error the old file is as it was.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    // Of a link the file that it leads to is replaced.
    let path = path.as_ref();
    let path = &match path.is_symlink() {
        true => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        false => path.to_owned(),
    };
    let failed = |action| Error::io(action, path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .ok_or_else(|| failed("write")(std::io::Error::other("it has no file name")))?;
    let partial = Partial::beside(folder, name);
    let file = File::create_new(&partial.0).map_err(failed("write"))?;
    let mut buffered = BufWriter::with_capacity(1 << 20, file);
    write(&mut buffered)?;
    let file = buffered
        .into_inner()
        .map_err(|error| failed("write")(error.into_error()))?;
    file.sync_all().map_err(failed("write"))?;
    fs::rename(&partial.0, path).map_err(failed("write"))?;
    // The rename itself lasts once the folder is synchronised.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("synchronise the folder of"))
}

/// Removes what [`write_atomically`] leaves half written in a folder when its process is killed. What cannot be removed is
/// in nobody's way.
pub fn remove_partials(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".partial") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A half-written file, removed when it was not renamed.
struct Partial(PathBuf);

impl Partial {
    fn beside(folder: &Path, name: &OsStr) -> Self {
        // A process writes several at once, so its number alone is not enough.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut partial = OsString::from(".");
        // The longest name of a file has no room for more.
        let name = name.as_bytes();
        partial.push(OsStr::from_bytes(&name[..name.len().min(100)]));
        partial.push(format!(".{process}-{count}.partial"));
        Self(folder.join(partial))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_file(&self.0);
    }
}
