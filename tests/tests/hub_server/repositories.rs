//! The repositories of the small Hub, and its answers about them.

use std::collections::BTreeMap;

use ::files::digest::{hex, sha256};
use sha1::{Digest, Sha1};

use super::State;
use super::http::{Answer, Request};

/// The names of files that are large, whatever their size: the Hub redirects to another host for them.
const LARGE: [&str; 4] = [".safetensors", ".bin", ".pt", ".npy"];

/// Files by their paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub(super) struct Repository {
    pub(super) refs: BTreeMap<String, String>,
    pub(super) commits: BTreeMap<String, Files>,
    pub(super) access: Option<(Access, String)>,
}

/// Whom a repository is for, by their token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody sees it, and those with access get its files.
    Gated,
    /// Nobody else sees it.
    Private,
}

/// Git's name of a small file's contents.
pub(crate) fn git_digest(bytes: &[u8]) -> String {
    let prefix = format!("blob {}\0", bytes.len());
    hex(&Sha1::new().chain_update(prefix).chain_update(bytes).finalize())
}

/// The name of a file's blob in a cache.
pub(crate) fn blob_name(path: &str, bytes: &[u8]) -> String {
    match is_large(path) {
        true => sha256(bytes),
        false => git_digest(bytes),
    }
}

fn is_large(path: &str) -> bool {
    LARGE.iter().any(|ending| path.ends_with(ending))
}

impl State {
    /// As the Hub answers.
    pub(super) fn usual_answer(&self, request: &Request, port: u16) -> Answer {
        let target = request.target.split('?').next().unwrap_or_default();
        if let Some(digest) = target.strip_prefix("/large/") {
            let commits = self.repositories.values().flat_map(|there| there.commits.values());
            let mut contents = commits.flat_map(BTreeMap::values);
            let found = contents.find(|bytes| sha256(bytes) == digest);
            return found.map_or(Answer::new(404, Vec::new(), ""), |bytes| {
                Answer::new(200, Vec::new(), &**bytes)
            });
        }
        let parts: Vec<&str> = target.trim_start_matches('/').split('/').collect();
        let (owner, name, rest) = match parts[..] {
            ["api", "models", owner, name, ref rest @ ..] => (owner, name, rest),
            [owner, name, "resolve", ref rest @ ..] => (owner, name, rest),
            _ => {
                return Answer::new(
                    404,
                    vec![("Content-Type", "text/html".to_owned())],
                    "<html></html>",
                );
            }
        };
        let is_api = parts[0] == "api";
        let stranger = || Answer::refusal(401, "RepoNotFound", "Repository not found");
        let Some(repository) = self.repositories.get(&format!("{owner}/{name}")) else {
            return stranger();
        };
        if let Some((access, token)) = &repository.access {
            let given = request.header("authorization").strip_prefix("Bearer ");
            match (access, given == Some(token)) {
                (Access::Private, false) => return stranger(),
                (Access::Gated, false) if !is_api => {
                    let status = if given.is_some() { 403 } else { 401 };
                    return Answer::refusal(
                        status,
                        "GatedRepo",
                        "Access to the model is restricted",
                    );
                }
                _ => {}
            }
        }
        match (is_api, rest) {
            (true, ["revision", revision]) => repository.info(revision),
            (true, []) => repository.info("main"),
            (true, ["tree", revision]) => self.list(repository, revision, request, port),
            (false, [revision, path @ ..]) => repository.contents(revision, &path.join("/"), port),
            _ => Answer::new(404, Vec::new(), ""),
        }
    }

    /// The list of a commit's files, with their folders, page by page.
    fn list(
        &self,
        repository: &Repository,
        revision: &str,
        request: &Request,
        port: u16,
    ) -> Answer {
        let Some((_, files)) = repository.commit(revision) else {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        };
        let mut entries = Vec::new();
        for (path, bytes) in files {
            if let Some((folder, _)) = path.rsplit_once('/') {
                let folder = format!(
                    r#"{{"type":"directory","oid":"{}","size":0,"path":"{folder}"}}"#,
                    git_digest(b"")
                );
                entries.extend(Some(folder).filter(|folder| !entries.contains(folder)));
            }
            let (size, path_json) = (bytes.len(), serde_json::to_string(path).unwrap());
            entries.push(match is_large(path) {
                true => format!(
                    r#"{{"type":"file","oid":"{}","size":{size},"lfs":{{"oid":"{}","size":{size},"pointerSize":134}},"path":{path_json}}}"#,
                    git_digest(b"a pointer"),
                    sha256(bytes)
                ),
                false => {
                    format!(r#"{{"type":"file","oid":"{}","size":{size},"path":{path_json}}}"#, git_digest(bytes))
                }
            });
        }
        let first =
            request.target.split_once("cursor=").map_or(0, |(_, cursor)| cursor.parse().unwrap());
        let last = entries.len().min(first + self.page.unwrap_or(1000));
        let mut headers = vec![("Content-Type", "application/json; charset=utf-8".to_owned())];
        if last < entries.len() {
            let target = request.target.split("&cursor=").next().unwrap();
            headers.push((
                "Link",
                format!("<http://127.0.0.1:{port}{target}&cursor={last}>; rel=\"next\""),
            ));
        }
        Answer::new(200, headers, format!("[{}]", entries[first..last].join(",")))
    }
}

impl Repository {
    fn commit(&self, revision: &str) -> Option<(&String, &Files)> {
        let revision = revision.replace("%2F", "/");
        let commit = self.refs.get(&revision).unwrap_or(&revision);
        self.commits.get_key_value(commit)
    }

    fn info(&self, revision: &str) -> Answer {
        match self.commit(revision) {
            Some((commit, files)) => {
                let siblings: Vec<_> =
                    files.keys().map(|path| serde_json::json!({ "rfilename": path })).collect();
                let info =
                    serde_json::json!({ "id": "owner/name", "sha": commit, "siblings": siblings });
                Answer::new(
                    200,
                    vec![("Content-Type", "application/json".to_owned())],
                    info.to_string(),
                )
            }
            None => Answer::refusal(404, "RevisionNotFound", "Invalid rev id"),
        }
    }

    /// A small file, or a redirect to another host for a large one.
    fn contents(&self, revision: &str, path: &str, port: u16) -> Answer {
        let Some((commit, files)) = self.commit(revision) else {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        };
        let path = path.replace("%20", " ");
        let mut headers = vec![("X-Repo-Commit", commit.clone())];
        match files.get(&path) {
            Some(bytes) if is_large(&path) => {
                let digest = sha256(bytes);
                headers.push(("X-Linked-Etag", format!("\"{digest}\"")));
                headers.push(("X-Linked-Size", bytes.len().to_string()));
                headers.push((
                    "Location",
                    format!("http://localhost:{port}/large/{digest}?signature=secret"),
                ));
                Answer::new(302, headers, "")
            }
            Some(bytes) => {
                headers.push(("ETag", format!("W/\"{}\"", git_digest(bytes))));
                Answer::new(200, headers, &**bytes)
            }
            None => {
                let mut answer = Answer::refusal(404, "EntryNotFound", "Entry not found");
                answer.headers.append(&mut headers);
                answer
            }
        }
    }
}
