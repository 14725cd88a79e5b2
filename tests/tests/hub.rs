//! The crate `hub`, against a small Hub on the loopback.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ::hub::{Error, Hub, NoProgress, Progress, Repository, Settings};
use tempfile::TempDir;

use crate::hub_server::HubServer;

mod access;
mod answers;
mod cache;
mod certificates;
mod downloads;
mod names;
mod network;
mod offline;
mod settings;

/// A repository of a small file and a large one in a folder.
const NAME: &str = "owner/name";
const CONFIG: (&str, &[u8]) = ("config.json", b"{\"a\": 1}\n");
const LARGE: &str = "unet/model.safetensors";

/// Bytes of a large file.
fn weights() -> Vec<u8> {
    (0..1_500_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A server, and a folder for the cache.
struct Place {
    server: HubServer,
    cache: TempDir,
}

impl Place {
    /// With the repository [`NAME`].
    fn new() -> Self {
        let place = Self { server: HubServer::start(), cache: TempDir::new().unwrap() };
        place.server.add(NAME, &[CONFIG, (LARGE, &weights())]);
        place
    }

    fn settings(&self) -> Settings {
        self.server.settings(self.cache.path())
    }

    fn hub(&self) -> Hub {
        Hub::new(self.settings()).unwrap()
    }

    fn offline(&self) -> Hub {
        Hub::new(Settings { offline: true, ..self.settings() }).unwrap()
    }

    /// Fetches both files.
    fn fetch(&self) -> Result<PathBuf, Error> {
        fetch(&self.hub(), &[CONFIG.0, LARGE], &mut NoProgress)
    }

    /// A path below the repository's folder in the cache.
    fn path(&self, path: &str) -> PathBuf {
        self.cache.path().join("models--owner--name").join(path)
    }

    /// The names of the blobs, and of what may become some.
    fn blobs(&self) -> Vec<String> {
        names(&self.path("blobs"))
    }
}

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

/// Resolves the repository [`NAME`] and fetches these files.
fn fetch(hub: &Hub, paths: &[&str], progress: &mut dyn Progress) -> Result<PathBuf, Error> {
    let revision = hub.resolve(&repository(NAME))?;
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    hub.fetch(&revision, &paths, progress)
}

/// The names in a folder, in order; none where it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Notes what it is told, and stops at so many bytes of a file.
#[derive(Default)]
struct Recorder {
    begun: Vec<(String, u64)>,
    positions: Vec<(String, u64)>,
    finished: Vec<String>,
    stop_at: Option<u64>,
}

impl Progress for Recorder {
    fn begin(&mut self, files: &[(&str, u64)]) {
        self.begun.extend(files.iter().map(|(path, size)| (path.to_string(), *size)));
    }

    fn advance(&mut self, path: &str, bytes: u64) -> ControlFlow<()> {
        self.positions.push((path.to_owned(), bytes));
        match self.stop_at.is_some_and(|stop| bytes >= stop) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn finish(&mut self, path: &str) {
        self.finished.push(path.to_owned());
    }
}

/// Fails unless the message has all these parts.
#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}
