//! The Hub's API: a revision's commit, and the files of a commit.

use files::text::excerpt;
use serde::Deserialize;

use crate::client::{Client, Subject};
use crate::revision::{is_commit, is_safe};
use crate::url;
use crate::{Digest, Error, RemoteFile, Repository, Revision};

/// The most pages of a list of files; the Hub has a thousand files on each.
const PAGES: usize = 100;

#[derive(Deserialize)]
struct ModelInfo {
    sha: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// The commit that a repository's revision means now, and its files.
pub(crate) fn resolve(client: &Client, repository: &Repository) -> Result<Revision, Error> {
    let subject = Subject { repository, file: None };
    let api = format!("{}/api/models/{}", client.settings.endpoint, repository.id());
    let commit = match repository.revision() {
        commit if is_commit(commit) => commit.to_owned(),
        revision => {
            let url = format!("{api}/revision/{}", url::part(revision));
            let (info, _) = client.json::<ModelInfo>(&url, subject)?;
            if !is_commit(&info.sha) {
                let problem = format!("{:?} is no commit", excerpt(&info.sha));
                return Err(Error::Answer { url: url::shown(&url), problem });
            }
            info.sha
        }
    };
    let mut url = format!("{api}/tree/{commit}?recursive=true&expand=false");
    let mut files = Vec::new();
    for _ in 0..PAGES {
        let (entries, headers) = client.json::<Vec<Entry>>(&url, subject)?;
        for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
            files.push(entry.into_file(repository, &url)?);
        }
        let link = headers.get("link").and_then(|link| link.to_str().ok());
        match link.and_then(next) {
            Some(next) => url = url::join(&url, next),
            None => {
                files.sort_by(|a, b| a.path.cmp(&b.path));
                return Ok(Revision { repository: repository.clone(), commit, files });
            }
        }
    }
    let problem = format!("it has more than {PAGES} pages");
    Err(Error::Answer { url: url::shown(&url), problem })
}

impl Entry {
    fn into_file(self, repository: &Repository, url: &str) -> Result<RemoteFile, Error> {
        let (path, repository) = (self.path, repository.id());
        if !is_safe(&path) {
            return Err(Error::UnsafePath { repository, path: excerpt(&path) });
        }
        let (digits, size) = match self.lfs {
            Some(lfs) => (lfs.oid, lfs.size),
            None => (self.oid, self.size),
        };
        let problem = || format!("{:?} is no digest of {}", excerpt(&digits), excerpt(&path));
        let digest = Digest::parse(digits.strip_prefix("sha256:").unwrap_or(&digits));
        let digest =
            digest.ok_or_else(|| Error::Answer { url: url::shown(url), problem: problem() })?;
        Ok(RemoteFile { path, size, digest: Some(digest) })
    }
}

/// The next page's address in `<ADDRESS>; rel="next", ..`.
fn next(link: &str) -> Option<&str> {
    link.split(',').find_map(|link| {
        let (address, relation) = link.trim().strip_prefix('<')?.split_once('>')?;
        let relation = relation.replace(['"', ' '], "");
        relation.split(';').any(|part| part == "rel=next").then_some(address)
    })
}

/// The address of a file's contents.
pub(crate) fn contents(client: &Client, revision: &Revision, path: &str) -> String {
    let repository = revision.repository.id();
    format!(
        "{}/{repository}/resolve/{}/{}",
        client.settings.endpoint,
        revision.commit,
        url::path(path)
    )
}
