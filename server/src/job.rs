//! Jobs: requests on their way through the queue and the worker, and what watchers see of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use images::{EncoderFormat, RgbImage};
use serde_json::Value;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, watch};

use crate::error::ApiError;
use crate::output::{Output, ResponseFormat};
use crate::shelf::Id;
use crate::work::Work;

/// A request that waits, is worked on, or is done.
pub(crate) struct Job {
    pub(crate) id: Id,
    /// Its task, as routes call it.
    pub(crate) task: &'static str,
    /// The place of its model among those that are served.
    pub(crate) model: usize,
    /// How many pictures it asks for; 0 where it asks for none.
    pub(crate) images: usize,
    pub(crate) response_format: ResponseFormat,
    /// The beginning of the addresses in its answer.
    pub(crate) base: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) deadline: Instant,
    /// The work and the room of its pictures, until the worker takes it.
    work: Mutex<Option<(Work, Option<OwnedSemaphorePermit>)>>,
    /// Those who want to see previews.
    viewers: AtomicUsize,
    stops: AtomicBool,
    state: watch::Sender<State>,
}

/// The state of a job as a watcher sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Its place in the queue: 1 is next.
    pub(crate) position: usize,
    pub(crate) progress: Option<Progress>,
    /// The last preview of each picture, by their places.
    pub(crate) previews: Vec<Option<Arc<Preview>>>,
    /// The pictures that are done, by their places.
    pub(crate) outputs: Vec<Option<Output>>,
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Phase {
    #[default]
    Queued,
    Running,
    /// With the answer of a job that asked for no pictures.
    Completed(Option<Arc<Value>>),
    Failed(ApiError),
    Cancelled,
}

impl Phase {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// The step that was taken last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub(crate) stage: String,
    pub(crate) index: usize,
    pub(crate) done: usize,
    pub(crate) steps: usize,
    /// The first of the pictures that are drawn now.
    pub(crate) image: usize,
}

/// The picture that there would be if the last prediction were exact.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) image: usize,
    /// Its number among the previews of this picture.
    pub(crate) number: usize,
    pub(crate) pixels: RgbImage,
    /// The base64 of its PNG, which the first watcher makes for all.
    png: OnceCell<Option<String>>,
}

impl Preview {
    pub(crate) fn new(image: usize, number: usize, pixels: RgbImage) -> Arc<Self> {
        Arc::new(Self { image, number, pixels, png: OnceCell::new() })
    }

    /// The base64 of its PNG, made beside the requests.
    pub(crate) async fn base64(self: &Arc<Self>) -> Option<&str> {
        let preview = Arc::clone(self);
        let encode = move || {
            let png = images::encode(&preview.pixels, EncoderFormat::Png, &[]).ok()?;
            Some(STANDARD.encode(png))
        };
        let encoded = async || tokio::task::spawn_blocking(encode).await.ok().flatten();
        self.png.get_or_init(encoded).await.as_deref()
    }
}

/// The parts of a job.
pub(crate) struct JobOrder {
    pub(crate) task: &'static str,
    pub(crate) model: usize,
    pub(crate) images: usize,
    pub(crate) response_format: ResponseFormat,
    pub(crate) base: String,
    pub(crate) work: Work,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// A job that may take so long.
    pub(crate) fn new(order: JobOrder, deadline: Duration) -> Arc<Self> {
        let JobOrder { task, model, images, response_format, base, work, room } = order;
        let state =
            State { outputs: vec![None; images], previews: vec![None; images], ..State::default() };
        Arc::new(Self {
            id: Id::random(),
            task,
            model,
            images,
            response_format,
            base,
            created: unix_seconds(),
            deadline: Instant::now() + deadline,
            work: Mutex::new(Some((work, room))),
            viewers: AtomicUsize::new(0),
            stops: AtomicBool::new(false),
            state: watch::Sender::new(state),
        })
    }

    /// Its work with the room of its pictures, which one taker gets.
    pub(crate) fn take_work(&self) -> Option<(Work, Option<OwnedSemaphorePermit>)> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Looks at its work while it waits.
    pub(crate) fn with_work<T>(&self, look: impl FnOnce(&Work) -> T) -> Option<T> {
        self.work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|(work, _)| look(work))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Counts somebody who wants to see previews.
    pub(crate) fn add_viewer(&self) {
        self.viewers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_viewer(&self) {
        self.viewers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether anybody wants to see previews.
    pub(crate) fn is_viewed(&self) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0
    }

    /// Whether nothing more should be done for it.
    pub(crate) fn is_over(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }

    /// Changes what watchers see, unless it is final.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let is_open = !state.phase.is_final();
            if is_open {
                change(state);
            }
            is_open
        });
    }

    pub(crate) fn set_position(&self, position: usize) {
        self.state.send_if_modified(|state| {
            let changes = state.position != position && !state.phase.is_final();
            state.position = position;
            changes
        });
    }

    /// Ends it, once: whoever comes first says how. The pictures that are done stay.
    pub(crate) fn end(&self, phase: Phase) -> bool {
        let mut ended = false;
        self.state.send_if_modified(|state| {
            ended = !state.phase.is_final();
            if ended {
                state.phase = phase;
                state.previews.clear();
            }
            ended
        });
        if ended {
            self.stops.store(true, Ordering::Relaxed);
            // Its pictures are of no more use.
            self.take_work();
        }
        ended
    }

    /// A picture is done; with the last one so is the job.
    pub(crate) fn finish_image(&self, place: usize, output: Output) {
        self.update(|state| {
            state.outputs[place] = Some(output);
        });
        if self.state.borrow().outputs.iter().all(Option::is_some) {
            self.end(Phase::Completed(None));
        }
    }

    /// Its state once it is final.
    pub(crate) async fn finished(&self) -> State {
        let mut watch = self.watch();
        match watch.wait_for(|state| state.phase.is_final()).await {
            Ok(state) => state.clone(),
            Err(_) => self.state(),
        }
    }
}

impl State {
    /// The pictures, once all are done.
    pub(crate) fn outputs(&self) -> Vec<Output> {
        self.outputs.iter().flatten().cloned().collect()
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
