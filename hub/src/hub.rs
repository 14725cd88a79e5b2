//! Repositories of the Hub, in the cache or fetched into it.

use std::path::PathBuf;

use crate::cached_repositories::CachedRepository;
use crate::{Error, Progress, Repository, Revision, Settings};

/// Where repositories are and where their files are put.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
}

impl Hub {
    /// The Hub of this process's environment, as the Hub's Python client reads it.
    pub fn from_env() -> Result<Self, Error> {
        Self::new(Settings::from_env()?)
    }

    /// The Hub at these settings. Opens no socket.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self { settings })
    }

    /// These settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The files of a repository at its revision: online the Hub says so; offline, or where a commit is named that is cached,
    /// the cache.
    pub fn resolve(&self, _repository: &Repository) -> Result<Revision, Error> {
        Err(Error::Interrupted)
    }

    /// Fetches the files of a revision that the cache lacks: all, or an error. The snapshot's folder.
    pub fn fetch(
        &self,
        _revision: &Revision,
        _paths: &[String],
        _progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        Err(Error::Interrupted)
    }

    /// The folder of the snapshot in the cache, if there is one. Opens no socket.
    pub fn cached(&self, _repository: &Repository) -> Result<Option<PathBuf>, Error> {
        Ok(None)
    }

    /// All models in the cache, in the order of their names.
    pub fn cached_repositories(&self) -> Result<Vec<CachedRepository>, Error> {
        Ok(Vec::new())
    }
}
