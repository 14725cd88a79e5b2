//! The state that all requests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use images::RgbImage;
use pipeline::Record;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::form::BodyLimits;
use crate::gallery::Gallery;
use crate::job::{Job, JobOrder, Phase, unix_seconds};
use crate::metrics::Metrics;
use crate::models::{Ability, ModelInfo, ServedModel};
use crate::options::ServerOptions;
use crate::output::{Output, ResponseFormat, encode, to_size};
use crate::queue::Queue;
use crate::shelf::{Id, Shelf};
use crate::work::Finish;

/// Pictures that are decoded at a time: each takes much memory for a moment.
const DECODES: usize = 2;

/// The most pixels of pictures that waiting requests brought, all together, but for one request that brings more.
const ROOM: u64 = 1 << 28;

/// Bodies of the greatest length that are in memory at a time; further ones wait as long as a body may take to come.
const BODIES: usize = 8;

/// Pixels are counted by so many.
const PIXELS: u64 = 1 << 12;

/// Pictures that are made files of at a time; the worker waits where there are more.
const ENCODES: usize = 4;

/// A model that is served, and what is known of it.
pub(crate) struct ModelEntry {
    pub(crate) served: ServedModel,
    pub(crate) info: ModelInfo,
}

/// The server's state.
pub(crate) struct App {
    pub(crate) options: ServerOptions,
    pub(crate) models: Vec<ModelEntry>,
    pub(crate) queue: Queue,
    /// The jobs that clients ask for again.
    pub(crate) jobs: Shelf<Arc<Job>>,
    /// The pictures under addresses.
    pub(crate) files: Shelf<Output>,
    pub(crate) gallery: Option<Gallery>,
    pub(crate) metrics: Metrics,
    pub(crate) decodes: Semaphore,
    /// Files that are made small at a time, so that no upload waits for a page of them.
    pub(crate) thumbnails: Semaphore,
    encodes: Arc<Semaphore>,
    /// Memory for bodies of requests that are read.
    pub(crate) body_memory: Arc<Semaphore>,
    /// Room for the pictures that waiting requests brought, in units of [`PIXELS`].
    room: Arc<Semaphore>,
    runtime: Handle,
    /// All jobs that are not done, to end them when the server stops.
    open_jobs: Mutex<Vec<Arc<Job>>>,
    loaded: Mutex<Vec<usize>>,
    /// The model that A1111's clients chose.
    a1111_model: Mutex<Option<usize>>,
    /// Where the pictures lie that a search may find.
    found: Mutex<BTreeMap<Id, PathBuf>>,
    /// When the server started, in seconds since 1970.
    pub(crate) started: u64,
    is_ready: AtomicBool,
    is_draining: AtomicBool,
    unhealthy_until: Mutex<Option<Instant>>,
}

impl App {
    pub(crate) fn new(
        options: ServerOptions,
        models: Vec<ModelEntry>,
        gallery: Option<Gallery>,
        runtime: Handle,
    ) -> Self {
        let ServerOptions { keep, keep_jobs, keep_bytes, queue, .. } = options;
        Self {
            queue: Queue::new(queue),
            jobs: Shelf::new(keep_jobs, keep_bytes, keep),
            files: Shelf::new(usize::MAX, keep_bytes, keep),
            gallery,
            metrics: Metrics::new(),
            decodes: Semaphore::new(DECODES),
            thumbnails: Semaphore::new(1),
            encodes: Arc::new(Semaphore::new(ENCODES)),
            body_memory: BodyLimits::memory(options.upload_bytes, BODIES),
            room: Arc::new(Semaphore::new((ROOM / PIXELS) as usize)),
            runtime,
            open_jobs: Mutex::default(),
            loaded: Mutex::default(),
            a1111_model: Mutex::default(),
            found: Mutex::default(),
            started: unix_seconds(),
            is_ready: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            unhealthy_until: Mutex::default(),
            models,
            options,
        }
    }

    pub(crate) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unhealthy_until(&self, time: Instant) {
        *self.unhealthy_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
    }

    /// Says which models are in memory.
    pub(crate) fn set_loaded(&self, models: Vec<usize>) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = models;
    }

    pub(crate) fn is_loaded(&self, model: usize) -> bool {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).contains(&model)
    }

    /// An error unless requests can be taken.
    pub(crate) fn check_ready(&self) -> Result<(), ApiError> {
        let unhealthy = self.unhealthy_until.lock().unwrap_or_else(PoisonError::into_inner);
        match () {
            () if self.is_draining.load(Ordering::Relaxed) => Err(ApiError::draining()),
            () if !self.is_ready() => Err(ApiError::loading()),
            () if unhealthy.is_some_and(|time| Instant::now() < time) => Err(ApiError::unhealthy()),
            () => Ok(()),
        }
    }

    /// An error unless one more request may come, before its body is read.
    pub(crate) fn check_room(&self) -> Result<(), ApiError> {
        self.check_ready()?;
        self.queue.check_room()
    }

    /// Room for a request's pictures until it is done. An error where those that wait take all of it.
    pub(crate) fn take_room(&self, pixels: u64) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = pixels.min(ROOM).div_ceil(PIXELS) as u32;
        let room = Arc::clone(&self.room).try_acquire_many_owned(units);
        room.map_err(|_| self.queue.full())
    }

    /// The place of the model that a request names, or of the first that does what it asks for. OpenAI's names mean that too.
    pub(crate) fn model(&self, name: Option<&str>, ability: Ability) -> Result<usize, ApiError> {
        let is_of_openai = |name: &str| {
            ["dall-e-", "gpt-image-", "chatgpt-image"].iter().any(|prefix| name.starts_with(prefix))
        };
        let named = name.filter(|name| !name.trim().is_empty());
        let place = match named {
            Some(name) => match self.models.iter().position(|entry| entry.info.name == name) {
                Some(place) => place,
                None if is_of_openai(name) => self.default_model(ability),
                None => {
                    let names: Vec<&str> =
                        self.models.iter().map(|entry| &*entry.info.name).collect();
                    return Err(ApiError::no_model(&files::text::excerpt(name), &names));
                }
            },
            None => self.default_model(ability),
        };
        match self.models[place].info.can(ability) {
            true => Ok(place),
            false => {
                let name = &self.models[place].info.name;
                let message = format!("the model {name} does no {}", ability.name());
                Err(ApiError::invalid("model", message))
            }
        }
    }

    /// The first model that can, and paints with a network that was trained for that if one is there; else the first of all.
    pub(crate) fn default_model(&self, ability: Ability) -> usize {
        let find =
            |is: &dyn Fn(&ModelInfo) -> bool| self.models.iter().position(|entry| is(&entry.info));
        let painter = match ability {
            Ability::Edits => find(&|info| info.can(ability) && info.takes_masks),
            _ => None,
        };
        painter.or_else(|| find(&|info| info.can(ability))).unwrap_or(0)
    }

    /// Puts a job into the queue, and watches over its deadline.
    pub(crate) fn submit(self: &Arc<Self>, order: JobOrder) -> Result<Arc<Job>, ApiError> {
        self.check_ready()?;
        let job = Job::new(order, self.options.deadline);
        let caption = job.with_work(|work| work.caption().to_owned());
        self.queue.push(&job)?;
        self.open_jobs().push(Arc::clone(&job));
        let caption = caption.filter(|_| self.options.log_captions);
        let model = &self.models[job.model].info.name;
        tracing::info!(job = %job.id, task = job.task, model, images = job.images, caption);
        let (app, watched) = (Arc::clone(self), Arc::clone(&job));
        self.runtime.spawn(async move {
            let deadline = tokio::time::Instant::from_std(watched.deadline);
            if tokio::time::timeout_at(deadline, watched.finished()).await.is_err() {
                let error = ApiError::deadline(app.options.deadline.as_secs());
                app.end(&watched, Phase::Failed(error));
            }
            app.open_jobs().retain(|job| job.id != watched.id);
        });
        Ok(job)
    }

    /// Ends a job, whose place in the queue is free at once.
    pub(crate) fn end(&self, job: &Job, phase: Phase) {
        if job.end(phase) {
            self.queue.remove(job);
        }
    }

    /// Takes no more requests.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.queue.close();
    }

    /// Ends whatever is not done.
    pub(crate) fn end_all(&self) {
        let open: Vec<Arc<Job>> = self.open_jobs().clone();
        open.iter().for_each(|job| self.end(job, Phase::Failed(ApiError::draining())));
    }

    /// Whether nothing waits and nothing is worked on.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.lengths() == (0, 0)
            && self.open_jobs().iter().all(|job| job.state().phase.is_final())
    }

    /// The model that A1111's clients chose, where it can; else the first that can.
    pub(crate) fn a1111_model(&self, ability: Ability) -> usize {
        let chosen = *self.a1111_model.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = chosen.filter(|&model| self.models[model].info.can(ability));
        chosen.unwrap_or_else(|| self.default_model(ability))
    }

    pub(crate) fn choose_a1111_model(&self, model: usize) {
        *self.a1111_model.lock().unwrap_or_else(PoisonError::into_inner) = Some(model);
    }

    /// Says where the pictures lie that a search may find.
    pub(crate) fn set_found(&self, paths: BTreeMap<Id, PathBuf>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = paths;
    }

    pub(crate) fn found_path(&self, id: Id) -> Option<PathBuf> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn open_jobs(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Job>>> {
        self.open_jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a file of a job's image, beside the worker, which goes on. For the worker alone: it may wait.
    pub(crate) fn finish_image(
        self: &Arc<Self>,
        job: Arc<Job>,
        place: usize,
        (image, seed, t): (RgbImage, u64, Option<f64>),
        finish: Finish,
        record: Record,
    ) {
        if job.is_over() {
            return;
        }
        self.metrics.images.inc();
        let permit = self.runtime.block_on(Arc::clone(&self.encodes).acquire_owned());
        let (app, watched) = (Arc::clone(self), Arc::clone(&job));
        let finished = self.runtime.spawn_blocking(move || {
            let image = match finish.size {
                Some(size) => to_size(&image, size),
                None => image,
            };
            let size = image.dimensions();
            let encoded = encode(&image, finish.format, &record.texts(size));
            // The worker waits for no disk.
            drop(permit);
            let bytes = match encoded {
                Ok(bytes) => bytes,
                Err(error) => {
                    job.end(Phase::Failed(error));
                    return;
                }
            };
            if let Some(gallery) = &app.gallery
                && let Err(error) = gallery.save(&bytes, finish.format, &record)
            {
                app.metrics.unsaved.inc();
                tracing::error!("a picture was not written into the gallery's folder: {error}");
            }
            let length = bytes.len();
            // The pictures of one answer do not drive each other out.
            let has_address = job.response_format != ResponseFormat::Base64
                && length <= app.options.keep_bytes / job.images.max(1);
            let id = Id::random();
            let output = Output { id, bytes, format: finish.format, size, seed, t, has_address };
            if has_address {
                app.files.put(output.id, output.clone(), length);
            }
            job.finish_image(place, output);
        });
        self.runtime.spawn(async move {
            if finished.await.is_err() {
                watched.end(Phase::Failed(ApiError::internal()));
            }
        });
    }
}
