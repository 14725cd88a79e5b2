//! Names of files as people compare them: composed, as Linux and Windows have them, and decomposed, as macOS has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

/// A name with its letters and their accents composed; one that is no UTF-8 stays apart from all others.
pub fn composed(name: &OsStr) -> Vec<u8> {
    match name.to_str() {
        Some(name) => name.nfc().collect::<String>().into_bytes(),
        None => name.as_encoded_bytes().to_vec(),
    }
}

/// The file below `folder` that a text calls `name`. Where there is none of that very name, accents may be composed otherwise
/// and folders be parted by backslashes, as on Windows.
pub fn locate(folder: &Path, name: &str) -> PathBuf {
    let exact = folder.join(name);
    if exact.exists() || exact == Path::new(name) {
        return exact;
    }
    let mut path = folder.to_owned();
    for part in name.split(['/', '\\']) {
        let forms = [part.to_owned(), part.nfc().collect(), part.nfd().collect::<String>()];
        let mut paths = forms.iter().map(|form| path.join(form));
        match paths.find(|path| path.exists()) {
            Some(there) => path = there,
            None => return exact,
        }
    }
    path
}
