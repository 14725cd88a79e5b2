//! The gallery: a folder that pictures are written to and shown from, by opaque ids.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use files::digest::sha256;
use images::EncoderFormat;
use images::png_text::find_text;
use pipeline::Record;
use pipeline::record::KEYWORD;
use serde_json::{Value, json};

use crate::job::unix_seconds;
use crate::output::format_name;
use crate::shelf::Id;

/// The most pictures that are listed, the newest.
const MOST_LISTED: usize = 500;

/// The folder.
pub(crate) struct Gallery {
    folder: PathBuf,
    /// Makes ids that no name can be told from.
    salt: String,
    known: Mutex<BTreeMap<Id, Entry>>,
}

/// A file's properties, while it does not change.
#[derive(Clone)]
struct Entry {
    path: PathBuf,
    created: u64,
    length: u64,
    size: (u32, u32),
    caption: Option<String>,
    command: Option<String>,
}

impl Gallery {
    /// The gallery in a folder, which is made where there is none. An error where it cannot be written.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let refused = |error: io::Error| {
            let error = files::atomic::without_path(error);
            format!("{}: pictures cannot be written there: {error}", folder.display())
        };
        if folder.exists() && !folder.is_dir() {
            return Err(format!("{}: it is no folder", folder.display()));
        }
        fs::create_dir_all(folder).map_err(refused)?;
        let salt = Id::random().to_string();
        let trial = folder.join(format!(".unclip-{salt}"));
        fs::write(&trial, []).map_err(refused)?;
        fs::remove_file(&trial).map_err(refused)?;
        let folder = folder.canonicalize().map_err(refused)?;
        Ok(Self { folder, salt, known: Mutex::default() })
    }

    /// Writes a picture under a new name.
    pub(crate) fn save(
        &self,
        bytes: &[u8],
        format: EncoderFormat,
        record: &Record,
    ) -> io::Result<()> {
        let random = &Id::random().to_string()[..8];
        let name = format!("{}-{}-{random}.{}", unix_seconds(), record.seed, format_name(format));
        fs::create_dir_all(&self.folder).map_err(files::atomic::without_path)?;
        files::atomic::write(&self.folder.join(name), bytes, false)
            .map_err(files::atomic::without_path)
    }

    /// The pictures, the newest first. What is no picture, a link or hidden is passed over.
    pub(crate) fn list(&self, base: &str) -> io::Result<Value> {
        let mut found: Vec<(u64, PathBuf, u64)> = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            // Somebody removed the folder: the next picture makes it anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(json!({ "data": [] }));
            }
            entries => entries?,
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if is_hidden || EncoderFormat::of(&path).is_none() {
                continue;
            }
            // One that has just got another name is passed over.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                let modified = metadata.modified().ok();
                let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                found.push((modified.map_or(0, |time| time.as_secs()), path, metadata.len()));
            }
        }
        found.sort_by(|one, other| other.cmp(one));
        found.truncate(MOST_LISTED);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut listed = BTreeMap::new();
        let mut data = Vec::new();
        for (created, path, length) in found {
            let id = self.id(&path);
            let before =
                known.get(&id).filter(|entry| (entry.created, entry.length) == (created, length));
            let entry = match before {
                Some(entry) => Some(entry.clone()),
                None => read_entry(path, created, length),
            };
            let Some(entry) = entry else { continue };
            data.push(json!({
                "id": id.to_string(),
                "url": format!("{base}/v1/gallery/{id}"),
                "created": entry.created,
                "width": entry.size.0,
                "height": entry.size.1,
                "caption": entry.caption,
                "command": entry.command,
            }));
            listed.insert(id, entry);
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = listed;
        Ok(json!({ "data": data }))
    }

    /// The bytes of a picture that was listed.
    pub(crate) fn read(&self, id: Id) -> Option<(Vec<u8>, EncoderFormat)> {
        let path = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?.path.clone();
        // It may have become a link since.
        if !fs::symlink_metadata(&path).ok()?.is_file() {
            return None;
        }
        let bytes = images::read_file(&path).ok()?;
        Some((bytes, EncoderFormat::of(&path)?))
    }

    fn id(&self, path: &Path) -> Id {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let digest = sha256(&[self.salt.as_bytes(), name].concat());
        Id::of_digest(&digest).expect("a digest is hexadecimal")
    }
}

/// The properties of a file; `None` where it is no picture.
fn read_entry(path: PathBuf, created: u64, length: u64) -> Option<Entry> {
    let bytes = images::read_file(&path).ok()?;
    let size = images::dimensions(&bytes, "a picture").ok()?;
    let record =
        find_text(&bytes, KEYWORD).ok().flatten().and_then(|text| Record::parse(&text).ok());
    let (caption, command) =
        record.map_or((None, None), |record| (record.caption, Some(record.command)));
    Some(Entry { path, created, length, size, caption, command })
}
