//! Downloads of blobs into the cache: resumed, checked, and by one process at a time.

use std::io::{ErrorKind, Read};

use tracing::debug;
use ureq::http::{StatusCode, header};

use crate::api;
use crate::cache::{RepositoryCache, is_whole};
use crate::client::{Answer, Client, Subject};
use crate::lock::FileLock;
use crate::partial::{self, CHUNK, Partial};
use crate::retry::{ATTEMPTS, backoff, pause};
use crate::{Digest, Error, Progress, RemoteFile, Revision};

/// Bytes after which a connection was worth while: failures are counted anew.
const WORTH: u64 = 1 << 20;

/// Downloads of one revision's files.
pub(crate) struct Download<'a> {
    pub(crate) client: Client<'a>,
    pub(crate) cache: &'a RepositoryCache,
    pub(crate) revision: &'a Revision,
    pub(crate) progress: &'a mut dyn Progress,
}

/// A file that did not come as it should.
enum Problem {
    /// The connection ended before the file.
    Connection(ureq::Error),
    /// Another size than the list's.
    Size(String),
}

impl Download<'_> {
    /// Brings a file's blob into the cache, where no other process does it meanwhile.
    pub(crate) fn fetch(&mut self, file: &RemoteFile, digest: &Digest) -> Result<(), Error> {
        let blob = self.cache.blob(digest);
        let progress = &mut *self.progress;
        let _lock =
            FileLock::take(&self.cache.lock(digest), &mut || progress.advance(&file.path, 0))?;
        if !is_whole(&blob, file.size) {
            let received = self.receive_checked(file, digest);
            if received.is_err() {
                partial::remove_empty(&self.cache.partial(digest));
            }
            received?;
        }
        self.advance(file, file.size)?;
        self.progress.finish(&file.path);
        Ok(())
    }

    /// Receives a blob, once more where it is another, and again and again where connections break.
    fn receive_checked(&mut self, file: &RemoteFile, digest: &Digest) -> Result<(), Error> {
        let (mut failures, mut had_another) = (0, false);
        loop {
            let path = self.cache.partial(digest);
            let mut seen = |length| self.advance(file, length);
            let mut partial = Partial::open(path, digest, file.size, &mut seen)?;
            let before = partial.length;
            let (found, expected) = match self.receive(file, &mut partial)? {
                Ok(()) => match partial.finish(&self.cache.blob(digest))? {
                    Ok(()) => return Ok(()),
                    Err(found) => (found.to_string(), digest.to_string()),
                },
                Err(Problem::Size(found)) => {
                    partial.remove()?;
                    (found, format!("{} bytes", file.size))
                }
                Err(Problem::Connection(error)) => {
                    failures = if partial.length >= before + WORTH { 1 } else { failures + 1 };
                    debug!(path = file.path, failures, length = partial.length, %error, "a connection broke");
                    if failures == ATTEMPTS {
                        let url = api::contents(&self.client, self.revision, &file.path);
                        return Err(self.client.unreachable(&error, &url));
                    }
                    let (progress, length) = (&mut *self.progress, partial.length);
                    let delay = backoff(self.client.settings.pause, failures);
                    pause(delay, &mut || progress.advance(&file.path, length))?;
                    continue;
                }
            };
            if had_another {
                let repository = self.revision.repository.to_string();
                return Err(Error::Mismatch {
                    repository,
                    path: file.path.clone(),
                    found,
                    expected,
                });
            }
            debug!(path = file.path, found, expected, "another file came");
            had_another = true;
        }
    }

    /// Receives what a blob lacks.
    fn receive(
        &mut self,
        file: &RemoteFile,
        partial: &mut Partial,
    ) -> Result<Result<(), Problem>, Error> {
        if partial.length == file.size {
            return Ok(Ok(()));
        }
        let mut answer = self.get(file, partial.length)?;
        if partial.length > 0 && !resumes(&answer, partial.length) {
            partial.restart()?;
            self.advance(file, 0)?;
            if answer.response.status() != StatusCode::OK {
                answer = self.get(file, 0)?;
            }
        }
        let total = answer
            .response
            .body()
            .content_length()
            .map(|length| partial.length.saturating_add(length));
        if let Some(total) = total.filter(|total| *total != file.size) {
            if answer.is_page() {
                return Err(Error::NotTheHub { url: crate::url::shown(&answer.url) });
            }
            return Ok(Err(Problem::Size(format!("{total} bytes"))));
        }
        let mut body = answer.response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) if partial.length == file.size => return Ok(Ok(())),
                Ok(0) => {
                    let error = ErrorKind::UnexpectedEof.into();
                    return Ok(Err(Problem::Connection(ureq::Error::Io(error))));
                }
                Ok(count) => count,
                Err(error) => return Ok(Err(Problem::Connection(error.into()))),
            };
            if partial.length + count as u64 > file.size {
                return Ok(Err(Problem::Size(format!("more than {} bytes", file.size))));
            }
            partial.write(&buffer[..count])?;
            self.advance(file, partial.length)?;
        }
    }

    fn get(&mut self, file: &RemoteFile, from: u64) -> Result<Answer, Error> {
        let url = api::contents(&self.client, self.revision, &file.path);
        let subject = Subject {
            repository: &self.revision.repository,
            file: Some((&self.revision.commit, &file.path)),
        };
        let progress = &mut *self.progress;
        let answer =
            self.client.get(&url, from, subject, &mut || progress.advance(&file.path, from));
        if let Err(Error::EntryNotFound { commit, path, .. }) = &answer {
            self.cache.write_absence(commit, path)?;
        }
        answer
    }

    fn advance(&mut self, file: &RemoteFile, bytes: u64) -> Result<(), Error> {
        match self.progress.advance(&file.path, bytes).is_break() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }
}

/// Whether an answer begins at this byte.
fn resumes(answer: &Answer, from: u64) -> bool {
    let range = answer.response.headers().get(header::CONTENT_RANGE);
    let range =
        range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes ")?.split_once('-'));
    answer.response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|(first, _)| first.trim().parse() == Ok(from))
}
