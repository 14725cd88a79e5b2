//! Repositories of the Hub, in the cache or fetched into it.

use std::fs;
use std::path::PathBuf;

use crate::api;
use crate::cache::{self, RepositoryCache, is_whole};
use crate::cached_repositories::{CachedRepository, cached_repositories};
use crate::client::{self, Client};
use crate::download::Download;
use crate::revision::is_commit;
use crate::{Error, Progress, RemoteFile, Repository, Revision, Settings};

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
        client::endpoint(&settings.endpoint)?;
        Ok(Self { settings })
    }

    /// These settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The files of a repository at its revision: the Hub says so, or offline the cache.
    ///
    /// # Errors
    ///
    /// Where there is no such repository or revision, it is not for everyone, or the Hub does not answer.
    pub fn resolve(&self, repository: &Repository) -> Result<Revision, Error> {
        if !self.settings.offline {
            return api::resolve(&Client::new(&self.settings)?, repository);
        }
        let cache = self.cache(repository);
        match cache.snapshot_of(repository)? {
            Some(snapshot) => Ok(cache.revision(repository, &snapshot)),
            None => {
                if repository.revision.is_none()
                    && cache::names(&cache.folder().join("snapshots")).len() > 1
                {
                    cache::snapshot(&cache.folder())?;
                }
                Err(Error::NotCached {
                    repository: repository.to_string(),
                    cache: self.settings.cache.display().to_string(),
                })
            }
        }
    }

    /// Fetches the files of a revision that the cache lacks: all, or an error. The snapshot's folder.
    ///
    /// Blobs that came whole stay in the cache whatever happens, and so does the beginning of one, which the next run resumes.
    /// The snapshot has its links once all blobs are there.
    ///
    /// # Errors
    ///
    /// Where a file is not of the revision, does not come or is another, the disk is full, or `progress` says `Break`.
    pub fn fetch(
        &self,
        revision: &Revision,
        paths: &[String],
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let cache = self.cache(&revision.repository);
        let mut files = Vec::new();
        for path in paths {
            match revision.file(path) {
                Some(file) => files.push(file),
                None => return Err(self.no_entry(revision, path, &cache)),
            }
        }
        files.retain(|file| !cache.has(&revision.commit, file));
        let blob = |file: &RemoteFile| file.digest.as_ref().map(|digest| cache.blob(digest));
        let missing: Vec<&RemoteFile> = files
            .iter()
            .filter(|file| blob(file).is_none_or(|blob| !is_whole(&blob, file.size)))
            .copied()
            .collect();
        if !missing.is_empty() {
            self.download(revision, &missing, &cache, progress)?;
        }
        for file in files {
            if let Some(digest) = &file.digest {
                cache.link(&revision.commit, file, digest)?;
            }
        }
        let named = revision.repository.revision();
        if !self.settings.offline && !is_commit(named) {
            cache.write_ref(named, &revision.commit)?;
        }
        Ok(cache.snapshot(&revision.commit))
    }

    /// The folder of the snapshot in the cache, if there is one. Opens no socket.
    ///
    /// It has those files that somebody asked for, which may not be all. Where no revision is named and the commit of `main` is
    /// not known, a snapshot is meant that is the only one.
    pub fn cached(&self, repository: &Repository) -> Result<Option<PathBuf>, Error> {
        self.cache(repository).snapshot_of(repository)
    }

    /// All models in the cache, in the order of their names.
    pub fn cached_repositories(&self) -> Result<Vec<CachedRepository>, Error> {
        cached_repositories(&self.settings.cache)
    }

    fn cache(&self, repository: &Repository) -> RepositoryCache {
        RepositoryCache::new(&self.settings.cache, repository)
    }

    /// The error of a file that the revision does not list.
    fn no_entry(&self, revision: &Revision, path: &str, cache: &RepositoryCache) -> Error {
        let repository = revision.repository.id();
        if self.settings.offline {
            return Error::MissingOffline { repository, files: path.to_owned() };
        }
        let noted = match crate::revision::is_safe(path) {
            true => cache.write_absence(&revision.commit, path),
            false => Ok(()),
        };
        let (commit, path) = (revision.commit.clone(), path.to_owned());
        noted.err().unwrap_or(Error::EntryNotFound { repository, commit, path })
    }

    /// Downloads the blobs of these files.
    fn download(
        &self,
        revision: &Revision,
        files: &[&RemoteFile],
        cache: &RepositoryCache,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let folder = &self.settings.cache;
        if self.settings.offline {
            let paths: Vec<&str> = files.iter().map(|file| &*file.path).collect();
            let repository = revision.repository.to_string();
            return Err(Error::MissingOffline { repository, files: paths.join(", ") });
        }
        fs::create_dir_all(folder).map_err(Error::io("make the folder", folder))?;
        cache::tag(folder)?;
        self.check_space(files, cache)?;
        let client = Client::new(&self.settings)?;
        let sizes: Vec<(&str, u64)> = files.iter().map(|file| (&*file.path, file.size)).collect();
        progress.begin(&sizes);
        let mut download = Download { client, cache, revision, progress };
        for file in files {
            if let Some(digest) = &file.digest {
                download.fetch(file, digest)?;
            }
        }
        Ok(())
    }

    /// Asks the disk for all that is to come.
    fn check_space(&self, files: &[&RemoteFile], cache: &RepositoryCache) -> Result<(), Error> {
        let folder = &self.settings.cache;
        let there = |file: &RemoteFile| {
            let partial = file.digest.as_ref().map(|digest| cache.partial(digest));
            partial.and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
        };
        let lacks = files.iter().map(|file| file.size.saturating_sub(there(file)));
        let needed = lacks.fold(0, u64::saturating_add);
        let disk = rustix::fs::statvfs(folder)
            .map_err(|error| Error::io("ask for the room of", folder)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        match needed > free {
            true => Err(Error::DiskSpace { free, needed, folder: folder.display().to_string() }),
            false => Ok(()),
        }
    }
}
