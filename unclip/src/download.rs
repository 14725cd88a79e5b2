//! Models from the Hugging Face Hub: what is needed of a repository, from the cache where that is whole, else downloaded.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use families::{RepositoryError, description_file, model_files};
use hub::{Hub, NoProgress, Progress, Repository, Settings};
use pipeline::Error;
use weights::Folder;

use crate::locate::unknown;

/// Every name with it before it is one of a repository.
const SCHEME: &str = "hf://";

/// The repository that a word names; `None` for one that names a file or folder, or could name one beside those there are.
pub fn repository(model: &Path) -> Result<Option<Repository>, Error> {
    let name = model.to_str().unwrap_or_default();
    if name.starts_with(SCHEME) {
        let repository = name.parse::<Repository>();
        return repository.map(Some).map_err(|error| unknown(error.to_string()));
    }
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    let owner = name.split('/').next().unwrap_or_default();
    match is_there(model) || is_there(Path::new(owner)) {
        true => Ok(None),
        false => Ok(Repository::parse(name)),
    }
}

/// Brings models from the Hub.
#[derive(Clone)]
pub(crate) struct Downloader {
    progress: Arc<Mutex<dyn Progress + Send>>,
    /// Whether the cache alone is looked into.
    cached_only: bool,
}

impl Default for Downloader {
    fn default() -> Self {
        Self { progress: Arc::new(Mutex::new(NoProgress)), cached_only: false }
    }
}

impl fmt::Debug for Downloader {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Self { cached_only, .. } = self;
        to.debug_struct("Downloader").field("cached_only", cached_only).finish_non_exhaustive()
    }
}

impl Downloader {
    pub(crate) fn set_progress(&mut self, progress: impl Progress + Send + 'static) {
        self.progress = Arc::new(Mutex::new(progress));
    }

    pub(crate) fn forbid(&mut self) {
        self.cached_only = true;
    }

    /// The folder of a repository's model, or of some components of it.
    pub(crate) fn model(
        &self,
        repository: &Repository,
        variant: Option<&str>,
        components: Option<&[&str]>,
    ) -> Result<Folder, families::Error> {
        let settings = Settings::from_env().map_err(failed)?;
        let is_offline = settings.offline || self.cached_only;
        // The same choice among the files of the cache, which is whole where none is missing.
        let cache = Hub::new(Settings { offline: true, ..settings.clone() }).map_err(failed)?;
        let cached = self.fetch(&cache, repository, variant, components);
        let is_enough = cached.as_ref().is_ok_and(|(_, chosen)| is_as_asked(chosen, variant));
        if is_offline || is_enough {
            return Ok(cached?.0);
        }
        let hub = Hub::new(settings).map_err(failed)?;
        let fetched = self.fetch(&hub, repository, variant, components);
        Ok(fetched.or_else(|error| cached.map_err(|_| error))?.0)
    }

    /// The same, as the Hub has it today.
    pub(crate) fn pull(
        &self,
        repository: &Repository,
        variant: Option<&str>,
    ) -> Result<Folder, families::Error> {
        let hub = Hub::from_env().map_err(failed)?;
        Ok(self.fetch(&hub, repository, variant, None)?.0)
    }

    /// Some components of the repository `source`, which complete another; `purpose` says so.
    pub(crate) fn complete(
        &self,
        source: &str,
        variant: Option<&str>,
        components: &[&str],
        purpose: String,
    ) -> Result<Folder, families::Error> {
        let purpose = || Some(purpose.clone());
        let repository = source.parse::<Repository>().map_err(|error| {
            families::Error::Download { purpose: purpose(), source: Box::new(error) }
        })?;
        self.model(&repository, variant, Some(components)).map_err(|error| match error {
            families::Error::Download { purpose: None, source } => {
                families::Error::Download { purpose: purpose(), source }
            }
            error => error,
        })
    }

    /// The folder of a repository's model, and the files of it that were chosen.
    fn fetch(
        &self,
        hub: &Hub,
        repository: &Repository,
        variant: Option<&str>,
        components: Option<&[&str]>,
    ) -> Result<(Folder, Vec<String>), families::Error> {
        let revision = hub.resolve(repository).map_err(failed)?;
        let paths: Vec<String> = revision.files.iter().map(|file| file.path.clone()).collect();
        let place = match hub.settings().offline {
            true => format!("{repository} in the Hugging Face Hub's cache"),
            false => repository.to_string(),
        };
        let refused = |problem| families::Error::Repository { repository: place.clone(), problem };
        let description = description_file(&paths).map_err(refused)?;
        // A small file, whose progress nobody has to see.
        let folder = hub.fetch(&revision, &[description.to_owned()], &mut NoProgress);
        let bytes = Folder::open(folder.map_err(failed)?)?.read(description)?.unwrap_or_default();
        let chosen = match model_files(&paths, &bytes, variant, components) {
            // What completes a model may have no such variant, as the model may.
            Err(RepositoryError::NoVariant { .. }) if components.is_some() => {
                model_files(&paths, &bytes, None, components)
            }
            chosen => chosen,
        };
        let chosen = chosen.map_err(refused)?;
        let mut progress = self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let folder = hub.fetch(&revision, &chosen, &mut *progress).map_err(failed)?;
        Ok((Folder::open(folder)?, chosen))
    }
}

/// Whether none of these files is of a variant that nobody asked for: the only one that a cache has may not be the Hub's.
fn is_as_asked(chosen: &[String], variant: Option<&str>) -> bool {
    let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    variant.is_some() || weights::variants(&chosen.iter().map(name).collect::<Vec<_>>()).is_empty()
}

/// The error of a repository that is nowhere, of the way to the Hub, or of the cache.
pub(crate) fn failed(error: hub::Error) -> families::Error {
    families::Error::Download { purpose: None, source: Box::new(error) }
}

/// Whether an error says that there is no such repository, so that its name may be a mistake.
pub(crate) fn is_nowhere(error: &families::Error) -> bool {
    let families::Error::Download { source, .. } = error else {
        return false;
    };
    use hub::Error::{NotCached, RepositoryNotFound};
    matches!(source.downcast_ref(), Some(NotCached { .. } | RepositoryNotFound { .. }))
}
