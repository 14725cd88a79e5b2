//! A small Hub on the loopback: it serves repositories from memory, does what a test says, and notes what it is asked.
//!
//! ```ignore
//! let server = HubServer::start();
//! let commit = server.add("owner/name", &[("config.json", b"{}"), ("model.safetensors", &weights)]);
//! server.script("/resolve/", 1, Reply::Cut(100));
//! // The library: Hub::new(server.settings(cache)); the command: command.envs(server.variables(cache)).
//! assert_eq!(server.requests()[0].target, "/api/models/owner/name/revision/main");
//! ```

mod http;
mod repositories;

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ::hub::Settings;

use self::http::{Answer, read_request, write_answer};
pub(crate) use self::http::{Reply, Request};
pub(crate) use self::repositories::{Access, blob_name, git_digest};
use self::repositories::{Files, Repository};

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

struct Script {
    part: String,
    times: usize,
    reply: Reply,
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
