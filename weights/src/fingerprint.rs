//! A fingerprint of a model: a hash that needs no more than the ends of each file.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use files::digest::hex;
use sha2::{Digest, Sha256};

use crate::folder::EmbeddedFolder;
use crate::{Error, Folder};

impl Folder {
    /// A SHA-256 that tells models apart without reading gigabytes: of every file's name and length, its first and its
    /// last 64 KiB. Where one file alone holds the weights, these are that file and the texts beside it.
    pub fn fingerprint(&self) -> Result<String, Error> {
        const ENDS: usize = 1 << 16;
        let mut hash = Sha256::new();
        let mut add = |name: &str, length: u64, ends: [&[u8]; 2]| {
            hash.update(format!("{name}\0{length}\0"));
            ends.into_iter().for_each(|end| hash.update(end));
        };
        match self {
            Folder::Embedded(EmbeddedFolder { files, prefix }) => {
                let mut files: Vec<_> = files
                    .iter()
                    .filter_map(|(name, bytes)| Some((name.strip_prefix(&**prefix)?, *bytes)))
                    .collect();
                files.sort();
                for (name, bytes) in files {
                    let first = &bytes[..bytes.len().min(ENDS)];
                    let last = &bytes[bytes.len().saturating_sub(ENDS)..];
                    add(name, bytes.len() as u64, [first, last]);
                }
            }
            Folder::Disk(folder) => {
                let root = folder.path();
                let mut names = Vec::new();
                match self.weights_file() {
                    Some(file) => {
                        names = self.file_names();
                        names.retain(|name| name == file || is_text(name));
                    }
                    None => names_under(root, "", &mut names)?,
                }
                names.sort();
                for name in names {
                    let path = root.join(&name);
                    let read = || {
                        let mut file = fs::File::open(&path)?;
                        let length = file.metadata()?.len();
                        let mut end = |start: u64| {
                            let mut bytes = Vec::new();
                            file.seek(SeekFrom::Start(start))?;
                            file.by_ref().take(ENDS as u64).read_to_end(&mut bytes)?;
                            std::io::Result::Ok(bytes)
                        };
                        let (first, last) = (end(0)?, end(length.saturating_sub(ENDS as u64))?);
                        std::io::Result::Ok((length, first, last))
                    };
                    let (length, first, last) =
                        read().map_err(Error::io("read", path.display()))?;
                    add(&name, length, [&first, &last]);
                }
            }
        }
        Ok(hex(&hash.finalize()))
    }
}

/// Whether a file beside weights may say how these are used.
fn is_text(name: &str) -> bool {
    [".json", ".txt", ".txt.gz"].iter().any(|ending| name.ends_with(ending))
}

/// The names of all plain files under a folder, as they are called from `root`'s place.
fn names_under(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), Error> {
    let failed = || Error::io("read", folder.display());
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            names_under(&entry.path(), &format!("{name}/"), names)?;
        } else if entry.path().is_file() {
            names.push(name);
        }
    }
    Ok(())
}
