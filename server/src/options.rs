//! The options of an operator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a server runs. The defaults are those of `unclip serve`.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where it listens; port 0 picks one.
    pub address: SocketAddr,
    /// The most requests that wait.
    pub queue: usize,
    /// The most pictures of a request.
    pub most_images: usize,
    /// The most frames of a way.
    pub most_frames: usize,
    /// The longest body of a request, in bytes.
    pub upload_bytes: usize,
    /// The most pixels of a picture that is sent.
    pub upload_pixels: u64,
    /// The time from a request to its answer.
    pub deadline: Duration,
    /// The time in which a request's body must come.
    pub body_time: Duration,
    /// How long jobs and pictures under addresses are kept.
    pub keep: Duration,
    /// The most jobs that are kept.
    pub keep_jobs: usize,
    /// The most bytes of pictures that are kept.
    pub keep_bytes: usize,
    /// The time that is left to requests when the server is told to stop.
    pub drain_timeout: Duration,
    /// The most models in memory.
    pub models_in_memory: usize,
    /// Refuse what would otherwise be ignored or brought to another size.
    pub strict: bool,
    /// The key that clients must send.
    pub api_key: Option<String>,
    /// Whether others than this machine may ask without a key.
    pub insecure: bool,
    /// Names in `Host` besides those of the address itself.
    pub hosts: Vec<String>,
    /// The one other origin whose pages may use the server.
    pub cors_origin: Option<String>,
    /// The beginning of pictures' addresses, in the place of the request's own host.
    pub public_url: Option<String>,
    /// The folder that pictures are written to and shown from.
    pub gallery: Option<PathBuf>,
    /// The folder that is searched.
    pub search: Option<PathBuf>,
    /// Serve what clients of A1111's web UI touch too.
    pub a1111: bool,
    /// Write captions into the log.
    pub log_captions: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8188),
            queue: 16,
            most_images: 10,
            most_frames: 60,
            upload_bytes: 50_000_000,
            upload_pixels: 64_000_000,
            deadline: Duration::from_secs(600),
            body_time: Duration::from_secs(60),
            keep: Duration::from_secs(3600),
            keep_jobs: 1000,
            keep_bytes: 256 << 20,
            drain_timeout: Duration::from_secs(30),
            models_in_memory: 2,
            strict: false,
            api_key: None,
            insecure: false,
            hosts: Vec::new(),
            cors_origin: None,
            public_url: None,
            gallery: None,
            search: None,
            a1111: false,
            log_captions: false,
        }
    }
}
