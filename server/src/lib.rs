//! Models over HTTP: OpenAI's Images API, jobs, what only this has, and a page.
//!
//! Modules in reading order: [`options`] is what an operator decides and [`models`] what is served; `route_table` has all
//! routes and `routes` the router, which `guard` stands in front of; `form` reads bodies, `fields` their values by tables as
//! those of `draw_task`, `uploads` their pictures, and `orders` makes `work` of them, which a `job` carries through the `queue`
//! to the `worker`, the one thread that owns the models: it draws pictures itself and `ways` frame by frame, and `step_watch`
//! shows its steps. `draw` and `clip` wait for a job's answer, `events` streams it and `jobs` lets a client come back for it;
//! `output` makes it. `shelf` keeps things for a time, `gallery` shows a folder and `search` finds in one, both by
//! `stored_images`; `a1111` speaks another server's language, `page` is for people, `openapi` for programs and `metrics` for
//! Prometheus; `error` is what all of them may answer.

#![forbid(unsafe_code)]

mod a1111;
mod app;
mod clip;
mod draw;
mod draw_task;
mod error;
mod events;
mod fields;
mod form;
mod gallery;
mod guard;
mod job;
mod jobs;
mod metrics;
pub mod models;
mod openapi;
pub mod options;
mod orders;
mod output;
mod page;
mod queue;
mod route_table;
mod routes;
mod search;
mod shelf;
mod step_watch;
mod stored_images;
mod uploads;
mod ways;
mod work;
mod worker;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

pub use models::{OpenError, OpenedModel, ServedModel};
pub use options::ServerOptions;

use crate::app::{App, ModelEntry};
use crate::gallery::Gallery;
use crate::models::ModelInfo;
use crate::worker::Worker;

/// The most connections at a time.
const MOST_CONNECTIONS: usize = 1024;

/// The time in which a request's head must come.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// The time in which a client must take what it is sent.
const UNREAD_TIME: Duration = Duration::from_secs(60);

/// The time that answers have to leave when the server stops.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A model that cannot be opened, or that draws nothing.
    #[error("{name}: {error}")]
    Model {
        /// Its name in requests.
        name: String,
        /// The problem.
        error: OpenError,
    },
    /// No model, or two of one name.
    #[error("{0}")]
    Models(String),
    /// An address on which others listen, or that is none of this machine's.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: std::io::Error,
    },
    /// An address that others can reach, without a key.
    #[error("whoever reaches {0} could use the server")]
    NoKey(SocketAddr),
    /// A gallery that cannot be written.
    #[error("{0}")]
    Gallery(String),
    /// A folder to search that is none.
    #[error("{0}: this is no folder")]
    Search(String),
    /// The system gives no threads or sockets.
    #[error("cannot start the server: {0}")]
    System(#[from] std::io::Error),
}

/// A server that listens and does not answer yet.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    runtime: Runtime,
    first: OpenedModel,
}

impl Server {
    /// Opens the models, none of whose networks is read, and listens. Whatever can be refused is refused before that.
    pub fn bind(options: ServerOptions, models: Vec<ServedModel>) -> Result<Self, ServeError> {
        let search = match &options.search {
            Some(folder) if folder.is_dir() => Some(folder.canonicalize()?),
            Some(folder) => return Err(ServeError::Search(folder.display().to_string())),
            None => None,
        };
        if !options.address.ip().is_loopback() && options.api_key.is_none() && !options.insecure {
            return Err(ServeError::NoKey(options.address));
        }
        let mut first = None;
        let mut entries: Vec<ModelEntry> = Vec::with_capacity(models.len());
        for served in models {
            let refused = |error| ServeError::Model { name: served.name.clone(), error };
            if entries.iter().any(|entry| entry.info.name == served.name) {
                let message = format!("two models have the name {}", served.name);
                return Err(ServeError::Models(message));
            }
            let opened = (served.open)().map_err(refused)?;
            let info = ModelInfo::new(&served.name, &opened.pipeline);
            let info = info.map_err(|error| refused(error.into()))?;
            first.get_or_insert(opened);
            entries.push(ModelEntry { served, info });
        }
        let first =
            first.ok_or_else(|| ServeError::Models("there is no model to serve".to_owned()))?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let gallery = options.gallery.as_deref().map(Gallery::open).transpose();
        let gallery = gallery.map_err(ServeError::Gallery)?;
        let address = options.address;
        let listener =
            TcpListener::bind(address).map_err(|error| ServeError::Address { address, error })?;
        listener.set_nonblocking(true)?;
        // The port that the system picked is the one that clients name.
        let options = ServerOptions { address: listener.local_addr()?, search, ..options };
        let app = App::new(options, entries, gallery, runtime.handle().clone());
        Ok(Self { app: Arc::new(app), listener, runtime, first })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.app.options.address
    }

    /// Answers until `stop` is ready; then requests that came are finished within their time. The caller's thread works: where it
    /// is a program's first, its memory stays in glibc's main arena, which has room for large tensors.
    pub fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let Self { app, listener, runtime, first } = self;
        let worker = Worker::new(Arc::clone(&app), first);
        let serve = move || {
            let served = runtime.block_on(accept(&app, listener, stop));
            // The worker ends too, whatever happened here.
            app.drain();
            runtime.shutdown_timeout(Duration::from_millis(100));
            served
        };
        let server = thread::Builder::new().name("server".to_owned()).spawn(serve)?;
        worker.run();
        match server.join() {
            Ok(served) => Ok(served?),
            Err(_) => Err(std::io::Error::other("its thread failed").into()),
        }
    }
}

/// Ready soon after `is_so` says true.
pub async fn once(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes connections until the server has stopped, which it does some time after `stop`.
async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = routes::router(Arc::clone(app));
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let (closes, closing) = watch::channel(false);
    let stopped = drained(app, stop);
    tokio::pin!(stopped);
    loop {
        let connect = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            () = &mut stopped => break,
            (permit, accepted) = connect => match accepted {
                Ok((stream, _)) => (permit, stream),
                // Too many open files, say: it passes.
                Err(error) => {
                    tracing::warn!("a connection was not taken: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (router, closing) = (router.clone(), closing.clone());
        tokio::spawn(async move {
            serve_connection(stream, router, closing).await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = closes.send(true);
    let all = connections.acquire_many(MOST_CONNECTIONS as u32);
    let _ = tokio::time::timeout(FLUSH_TIME, all).await;
    Ok(())
}

async fn serve_connection(stream: TcpStream, router: Router, mut closing: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    // A client that reads nothing of its answer holds no connection for ever.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_TIME));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Ready once connections are to be closed.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Ready once what came before `stop` is done, or out of time.
async fn drained(app: &Arc<App>, stop: impl Future<Output = ()>) {
    stop.await;
    tracing::info!("stopping: requests that came are finished");
    app.drain();
    let end = tokio::time::Instant::now() + app.options.drain_timeout;
    while !app.is_idle() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.end_all();
}
