//! Everything that can go wrong, each in one sentence.

use std::io;
use std::path::Path;

/// An error of the Hub, of the way to it, or of the cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No variable says where the cache is.
    #[error("there is no folder for the Hub's cache: set HF_HOME or HOME")]
    NoCache,
    /// A variable has a value that cannot be used.
    #[error("{name} {problem}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// The problem and what would work, without a secret.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A part of a file could not be written.
    #[error(
        "cannot write {path} to its end: {source}; the part that is there is resumed by the next run"
    )]
    Write {
        /// The partial file.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The disk has too little room.
    #[error(
        "{folder} has room for {free} bytes, and {needed} are to be downloaded: free some, or let HF_HUB_CACHE name a folder on another disk"
    )]
    DiskSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
        /// The folder of the cache.
        folder: String,
    },
    /// Nothing may be asked, and the cache does not have it.
    #[error(
        "{repository} is not in the Hub's cache {cache}, and nothing is downloaded while HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"
    )]
    NotCached {
        /// The repository, with its revision.
        repository: String,
        /// The folder of the cache.
        cache: String,
    },
    /// Nothing may be asked, and the cache has a part of it.
    #[error(
        "the Hub's cache has {repository} without {files}, and nothing is downloaded while HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"
    )]
    MissingOffline {
        /// The repository, with its revision.
        repository: String,
        /// The files that are missing.
        files: String,
    },
    /// A repository's folder in a cache holds no snapshot.
    #[error(
        "{folder} is a repository in the Hub's cache without a snapshot: please download it again"
    )]
    NoSnapshot {
        /// The folder.
        folder: String,
    },
    /// A repository's folder in a cache holds several snapshots, and none of them is that of `main`.
    #[error("{folder} holds {} snapshots: one of them must be named: {}", .snapshots.len(), .snapshots.join(", "))]
    SeveralSnapshots {
        /// The folder of snapshots.
        folder: String,
        /// Their commits.
        snapshots: Vec<String>,
    },
    /// There is no such repository, or it is not for everyone.
    #[error("{hub} has no repository {repository}, or a private one: {}", advice(*.with_token))]
    RepositoryNotFound {
        /// The repository.
        repository: String,
        /// The Hub's host.
        hub: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repository} has no branch, tag or commit {revision}")]
    RevisionNotFound {
        /// The repository.
        repository: String,
        /// The revision.
        revision: String,
    },
    /// The revision has no such file.
    #[error("{repository} has no file {path} at commit {commit}")]
    EntryNotFound {
        /// The repository.
        repository: String,
        /// The commit.
        commit: String,
        /// The file.
        path: String,
    },
    /// The repository is for those who asked for access and got it.
    #[error("{repository} is gated: ask for access at {page}, and {}", gate(*.with_token))]
    Gated {
        /// The repository.
        repository: String,
        /// Its page, where access is asked for.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The Hub does not accept the token.
    #[error(
        "{hub} does not accept the token of HF_TOKEN or of the token file: make a new one in its settings, or go without for what is public"
    )]
    TokenNotAccepted {
        /// The Hub's host.
        hub: String,
    },
    /// The server refused.
    #[error("{url} answers {status}{message}")]
    Status {
        /// The address, without its query.
        url: String,
        /// The status code.
        status: u16,
        /// The server's words after a colon; empty where it says none.
        message: String,
    },
    /// The server is too busy, or broken, for longer than is waited.
    #[error("{url} answers {status} to {attempts}{wait}: please try again later")]
    Busy {
        /// The address, without its query.
        url: String,
        /// The status code.
        status: u16,
        /// The requests, with their number.
        attempts: String,
        /// The time that it asks for, after a comma; empty where it asks for none.
        wait: String,
    },
    /// A server that is no Hub.
    #[error(
        "{url} answers with a web page, as no Hub does: HF_ENDPOINT should name a Hub, and a network may ask for a log-in first"
    )]
    NotTheHub {
        /// The address, without its query.
        url: String,
    },
    /// An answer that cannot be understood.
    #[error("the answer of {url} is not the Hub's: {problem}")]
    Answer {
        /// The address, without its query.
        url: String,
        /// The problem.
        problem: String,
    },
    /// Redirects that come to no end.
    #[error("{url} redirects more than {most} times")]
    Redirects {
        /// The first address, without its query.
        url: String,
        /// The most redirects that are followed.
        most: usize,
    },
    /// The network does not lead there.
    #[error("cannot reach {host}: {reason}{advice}")]
    Unreachable {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
        /// Advice that would work, after a colon; empty where nothing is known.
        advice: String,
    },
    /// A file's name that would lead out of the cache.
    #[error(
        "{repository} names a file {path}, which would lie outside its folder: nothing of it is downloaded"
    )]
    UnsafePath {
        /// The repository.
        repository: String,
        /// The path.
        path: String,
    },
    /// Twice not the file that the Hub's list has.
    #[error(
        "{path} of {repository} came twice as another file than the Hub lists: {found} in the place of {expected}; it was removed, please try again later"
    )]
    Mismatch {
        /// The repository.
        repository: String,
        /// The file.
        path: String,
        /// The size or the digest that came.
        found: String,
        /// The size or the digest of the list.
        expected: String,
    },
    /// The observer stopped the download.
    #[error("the download was interrupted: the next run resumes it")]
    Interrupted,
}

impl Error {
    /// Makes an error of the system's.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let source = files::atomic::without_path(source);
            Self::Io { action, path: path.display().to_string(), source }
        }
    }
}

fn advice(with_token: bool) -> &'static str {
    match with_token {
        true => "please check the name, and whether the token may read it",
        false => "please check the name, or let HF_TOKEN hold a token that may read it",
    }
}

fn gate(with_token: bool) -> &'static str {
    match with_token {
        true => "check that the token is one of the account that has it",
        false => {
            "let HF_TOKEN, or the file that `hf auth login` writes, hold a token of your account"
        }
    }
}
