//! A small Hub on the loopback: it serves repositories from memory, does what a test says, and notes what it is asked.
//!
//! ```ignore
//! let server = HubServer::start();
//! let commit = server.add("owner/name", &[("config.json", b"{}"), ("model.safetensors", &weights)]);
//! server.script("/resolve/", 1, Reply::Cut(100));
//! // The library: Hub::new(server.settings(cache)); the command: command.envs(server.variables(cache)).
//! assert_eq!(server.requests()[0].target, "/api/models/owner/name/revision/main");
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ::files::digest::{hex, sha256};
use ::hub::Settings;
use sha1::{Digest, Sha1};

/// The names of files that are large, whatever their size: the Hub redirects to another host for them.
const LARGE: [&str; 4] = [".safetensors", ".bin", ".pt", ".npy"];

/// A server that ends with the test.
pub(crate) struct HubServer {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    scripts: Vec<Script>,
    requests: Vec<Request>,
    page: Option<usize>,
}

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Repository {
    refs: BTreeMap<String, String>,
    commits: BTreeMap<String, Files>,
    access: Option<(Access, String)>,
}

struct Script {
    part: String,
    times: usize,
    reply: Reply,
}

/// Whom a repository is for, by their token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody sees it, and those with access get its files.
    Gated,
    /// Nobody else sees it.
    Private,
}

/// An answer in the place of the usual one.
#[derive(Clone)]
pub(crate) enum Reply {
    /// This status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The usual answer, and the connection ends after so many bytes of its body.
    Cut(usize),
    /// The usual answer, of the whole file, whatever range was asked for.
    WithoutRange,
    /// The usual answer's headers, with these bytes in the place of its body's.
    Body(Vec<u8>),
    /// The usual answer after so long.
    Late(Duration),
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET`, `HEAD` or `CONNECT`.
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) target: String,
    /// The headers, with their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// A header's value, and nothing where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
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

impl HubServer {
    /// Begins to serve, without a repository.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let served = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                served.connections.fetch_add(1, Ordering::Relaxed);
                let (stream, served) = (stream.unwrap(), served.clone());
                // Whoever hangs up early ends their connection only.
                thread::spawn(move || drop(served.serve(stream, port)));
            }
        });
        Self { port, shared }
    }

    /// Its address, for `HF_ENDPOINT`. Large files are redirected to the host `localhost`, which is another.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The library's settings: this server, short pauses, and the cache in this folder.
    pub(crate) fn settings(&self, cache: &Path) -> Settings {
        Settings {
            endpoint: self.endpoint(),
            pause: Duration::from_millis(1),
            timeout: Duration::from_secs(5),
            ..Settings::new(cache)
        }
    }

    /// The command's variables: this server, no token and no proxy of this machine's, and the cache in this folder.
    pub(crate) fn variables(&self, cache: &Path) -> Vec<(&'static str, String)> {
        let home = cache.join("no-home").display().to_string();
        let empty =
            ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
        let mut variables = vec![
            ("HF_ENDPOINT", self.endpoint()),
            ("HF_HUB_CACHE", cache.display().to_string()),
            ("HF_HOME", home),
            ("NO_PROXY", "*".to_owned()),
        ];
        variables.extend(empty.map(|name| (name, String::new())));
        variables
    }

    /// Adds a repository, or a new commit to its `main`. The commit.
    pub(crate) fn add(&self, repository: &str, files: &[(&str, &[u8])]) -> String {
        self.add_at(repository, "main", files)
    }

    /// Adds a commit that a branch or tag of a repository means from now on. The commit.
    pub(crate) fn add_at(
        &self,
        repository: &str,
        revision: &str,
        files: &[(&str, &[u8])],
    ) -> String {
        let files: Files =
            files.iter().map(|(path, bytes)| (path.to_string(), bytes.to_vec())).collect();
        let commit = git_digest(format!("{repository} {files:?}").as_bytes());
        let mut state = self.shared.state.lock().unwrap();
        let there = state.repositories.entry(repository.to_owned()).or_default();
        there.refs.insert(revision.to_owned(), commit.clone());
        there.commits.insert(commit.clone(), files);
        commit
    }

    /// Lets nobody but this token in.
    pub(crate) fn restrict(&self, repository: &str, access: Access, token: &str) {
        let mut state = self.shared.state.lock().unwrap();
        state.repositories.get_mut(repository).unwrap().access = Some((access, token.to_owned()));
    }

    /// Answers the next `times` requests so whose target has this `part`.
    pub(crate) fn script(&self, part: &str, times: usize, reply: Reply) {
        let script = Script { part: part.to_owned(), times, reply };
        self.shared.state.lock().unwrap().scripts.push(script);
    }

    /// Lists so many files on a page.
    pub(crate) fn paginate(&self, count: usize) {
        self.shared.state.lock().unwrap().page = Some(count);
    }

    /// The requests so far, and none from now on.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.state.lock().unwrap().requests)
    }

    /// How many connections were opened to it so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// An answer before it is written.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers, body: body.into() }
    }

    /// A refusal as the Hub writes it.
    fn refusal(status: u16, code: &'static str, message: &str) -> Self {
        let headers =
            vec![("X-Error-Code", code.to_owned()), ("X-Error-Message", message.to_owned())];
        Self::new(status, headers, message)
    }
}

impl Shared {
    /// Answers one request of a connection, and one behind each `CONNECT`.
    fn serve(&self, stream: TcpStream, port: u16) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(request) = read_request(&mut reader)? {
            let (reply, answer) = self.answer(&request, port);
            if request.method == "CONNECT" && reply.is_none() {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                continue;
            }
            write_answer(&mut stream, &request, reply, answer)?;
            break;
        }
        Ok(())
    }

    fn answer(&self, request: &Request, port: u16) -> (Option<Reply>, Answer) {
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.clone());
        let due = |script: &&mut Script| script.times > 0 && request.target.contains(&script.part);
        let reply = state.scripts.iter_mut().find(due).map(|script| {
            script.times -= 1;
            script.reply.clone()
        });
        (reply, state.usual_answer(request, port))
    }
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.by_ref().take(1 << 16).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first().map_or("", String::as_str).split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Ok(Some(Request { method, target, headers: headers.collect() }))
}

fn write_answer(
    stream: &mut TcpStream,
    request: &Request,
    reply: Option<Reply>,
    usual: Answer,
) -> std::io::Result<()> {
    let mut answer = usual;
    let mut end = usize::MAX;
    let is_ranged = !matches!(reply, Some(Reply::WithoutRange | Reply::Answer(..)));
    match reply {
        Some(Reply::Answer(status, headers, body)) => answer = Answer { status, headers, body },
        Some(Reply::Cut(bytes)) => end = bytes,
        Some(Reply::Body(body)) => answer.body = body,
        Some(Reply::Late(time)) => thread::sleep(time),
        Some(Reply::WithoutRange) | None => {}
    }
    let range =
        request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    if let (200, true, Some(first)) =
        (answer.status, is_ranged, range.and_then(|r| r.parse::<usize>().ok()))
    {
        let length = answer.body.len();
        match first < length {
            true => {
                answer.status = 206;
                answer
                    .headers
                    .push(("Content-Range", format!("bytes {first}-{}/{length}", length - 1)));
                answer.body.drain(..first);
            }
            false => {
                answer = Answer::new(416, vec![("Content-Range", format!("bytes */{length}"))], "")
            }
        }
    }
    let mut head = format!("HTTP/1.1 {} As a test says\r\n", answer.status);
    if !answer
        .headers
        .iter()
        .any(|(name, _)| *name == "Transfer-Encoding" || *name == "Content-Length")
    {
        let _ = write!(head, "Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body[..answer.body.len().min(end)])?;
    }
    stream.flush()
}

impl State {
    /// As the Hub answers.
    fn usual_answer(&self, request: &Request, port: u16) -> Answer {
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
