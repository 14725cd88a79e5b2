//! The worker: a thread that owns the models and draws what waits in the queue, one batch after another.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Pipeline, Record, Request, Settings, Step, Task};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::error::ApiError;
use crate::job::{Job, Phase};
use crate::models::OpenedModel;
use crate::search::SearchIndex;
use crate::step_watch::StepWatch;
use crate::ways::draw_way;
use crate::work::{Drawing, Finish, Source, WayDrawing, Work};

/// Failures of a minute after which the worker counts as unhealthy.
const MOST_PANICS: usize = 3;

/// The thread's own state.
pub(crate) struct Worker {
    app: Arc<App>,
    /// The models that are in memory, by their places, the one that was used last behind.
    opened: Vec<(usize, OpenedModel)>,
    /// The jobs that are worked on.
    running: Vec<Arc<Job>>,
    /// The pictures that were embedded for searches, by the models.
    search: BTreeMap<usize, SearchIndex>,
    panics: VecDeque<Instant>,
}

impl Worker {
    /// A worker with the first model, whose networks it reads before anything else.
    pub(crate) fn new(app: Arc<App>, first: OpenedModel) -> Self {
        let search = BTreeMap::new();
        Self { app, opened: vec![(0, first)], running: Vec::new(), search, panics: VecDeque::new() }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        self.load_first();
        while let Some(job) = self.app.queue.next() {
            let start = Instant::now();
            self.running = vec![Arc::clone(&job)];
            let worked = catch_unwind(AssertUnwindSafe(|| self.work(&job)));
            let running = std::mem::take(&mut self.running);
            if worked.is_err() {
                self.recover(&job, &running);
            }
            let seconds = start.elapsed().as_secs_f64() / running.len() as f64;
            running.iter().for_each(|_| self.app.queue.finish(seconds));
        }
    }

    /// Reads the first model's networks.
    fn load_first(&mut self) {
        let info = &self.app.models[0].info;
        let task = [Task::GENERATE, Task::VARY]
            .into_iter()
            .find(|&task| self.opened[0].1.pipeline.find(task, &info.defaults).is_ok());
        let start = Instant::now();
        let loaded = catch_unwind(AssertUnwindSafe(|| match task {
            Some(task) => self.opened[0].1.pipeline.prepare(task, &info.defaults),
            None => Ok(()),
        }));
        match loaded {
            Ok(Ok(())) => {
                let seconds = start.elapsed().as_secs_f64();
                tracing::info!(model = info.name, seconds, "the model is loaded");
            }
            Ok(Err(error)) => tracing::error!(model = info.name, "{error}"),
            Err(_) => tracing::error!(model = info.name, "loading the model failed"),
        }
        self.app.set_loaded(vec![0]);
        self.app.set_ready();
    }

    /// After a panic: its jobs are answered, and its model is opened anew by the next request.
    fn recover(&mut self, job: &Job, running: &[Arc<Job>]) {
        tracing::error!(job = %job.id, "the worker failed at a request: this is a defect");
        self.app.metrics.panics.inc();
        running.iter().for_each(|job| _ = job.end(Phase::Failed(ApiError::internal())));
        self.opened.retain(|(model, _)| *model != job.model);
        self.search.remove(&job.model);
        self.app.set_loaded(self.opened.iter().map(|(model, _)| *model).collect());
        let now = Instant::now();
        self.panics.push_back(now);
        self.panics.retain(|panic| now - *panic < Duration::from_secs(60));
        if self.panics.len() >= MOST_PANICS {
            self.app.set_unhealthy_until(now + Duration::from_secs(60));
        }
    }

    /// Does a job's work, and ends it.
    fn work(&mut self, job: &Arc<Job>) {
        // Its pictures take their room until it is done.
        let Some((work, _room)) = job.take_work() else {
            return;
        };
        job.update(|state| state.phase = Phase::Running);
        let worked = self.open(job.model).and_then(|n| match work {
            Work::Draw(drawing) => self.draw(n, job, *drawing),
            Work::DrawWay(drawing) => self.draw_way(n, job, *drawing),
            Work::Answer(answer) => {
                let answer = answer(&self.opened[n].1.pipeline, job)?;
                job.end(Phase::Completed(Some(Arc::new(answer))));
                Ok(())
            }
            Work::Search(query) => {
                let folder = self.app.options.search.as_deref();
                let folder = folder.ok_or_else(|| {
                    ApiError::not_found("this server searches no folder: its operator can name one")
                })?;
                let index = self.search.entry(job.model).or_default();
                let found = index.search(folder, &query, &self.opened[n].1.pipeline, job)?;
                self.app.set_found(self.search.values().flat_map(SearchIndex::paths).collect());
                job.end(Phase::Completed(Some(Arc::new(found))));
                Ok(())
            }
        });
        if let Err(error) = worked {
            job.end(Phase::Failed(error));
        }
    }

    /// The place in `opened` of a model, which is opened where it is not in memory; the one that was not used for longest
    /// goes where there are too many.
    fn open(&mut self, model: usize) -> Result<usize, ApiError> {
        if let Some(n) = self.opened.iter().position(|(one, _)| *one == model) {
            let opened = self.opened.remove(n);
            self.opened.push(opened);
        } else {
            let entry = &self.app.models[model];
            // Nothing of it is read yet, so it takes no memory.
            let opened = (entry.served.open)().map_err(|error| {
                tracing::error!(model = entry.info.name, "the model cannot be opened: {error}");
                ApiError::model_defect(&entry.info.name)
            })?;
            while self.opened.len() >= self.app.options.models_in_memory {
                self.opened.remove(0);
            }
            self.opened.push((model, opened));
        }
        self.app.set_loaded(self.opened.iter().map(|(model, _)| *model).collect());
        Ok(self.opened.len() - 1)
    }

    /// Draws a job's pictures, batch after batch, and those of jobs behind it that fit into its batches.
    fn draw(&mut self, n: usize, job: &Arc<Job>, drawing: Drawing) -> Result<(), ApiError> {
        let app = Arc::clone(&self.app);
        let OpenedModel { pipeline, record } = &self.opened[n].1;
        let name = &app.models[job.model].info.name;
        let failed = |error: &pipeline::Error| ApiError::of_pipeline(error, name);
        let first = Canvas::new(pipeline, record, Arc::clone(job), drawing)
            .map_err(|error| failed(&error))?;
        let mut canvases = vec![first];
        loop {
            canvases.retain(|canvas| !canvas.job.is_over() && !canvas.rest.is_empty());
            if canvases.is_empty() {
                return Ok(());
            }
            let size = app.models[job.model].served.batch;
            while canvases.iter().map(|canvas| canvas.rest.len()).sum::<usize>() < size {
                let joins = |other: &Job| {
                    let fits = |work: &Work| match work {
                        Work::Draw(drawing) => canvases[0].drawing.can_share_a_batch(drawing),
                        _ => false,
                    };
                    other.model == job.model && other.with_work(fits).unwrap_or(false)
                };
                let Some(other) = app.queue.next_if(joins) else {
                    break;
                };
                self.running.push(Arc::clone(&other));
                let Some((Work::Draw(drawing), room)) = other.take_work() else {
                    continue;
                };
                other.update(|state| state.phase = Phase::Running);
                match Canvas::new(pipeline, record, Arc::clone(&other), *drawing) {
                    Ok(canvas) => canvases.push(Canvas { _room: room, ..canvas }),
                    Err(error) => _ = other.end(Phase::Failed(failed(&error))),
                }
            }
            let mut batch = Batch::take(&mut canvases, size);
            match batch.sample(&app, pipeline, &canvases) {
                Ok(()) | Err(pipeline::Error::Stopped) => {}
                // Less at a time may fit.
                Err(pipeline::Error::Memory(_)) if batch.requests.len() > 1 => {
                    for mut single in batch.into_singles() {
                        if let Err(error) = single.sample(&app, pipeline, &canvases) {
                            single.fail(&canvases, &failed(&error));
                        }
                    }
                }
                Err(error) => batch.fail(&canvases, &failed(&error)),
            }
        }
    }

    /// Draws the frames of a way.
    fn draw_way(&mut self, n: usize, job: &Arc<Job>, drawing: WayDrawing) -> Result<(), ApiError> {
        let app = &self.app;
        let OpenedModel { pipeline, record } = &self.opened[n].1;
        let name = &app.models[job.model].info.name;
        let WayDrawing { way, frames, seed, settings, finish } = drawing;
        let drawn = draw_way(
            app,
            pipeline,
            job,
            &way,
            frames,
            seed,
            &settings,
            |settings, place, t, image| {
                let record = finish.record(record, seed, settings).with("t", t);
                app.finish_image(
                    Arc::clone(job),
                    place,
                    (image, seed, Some(t)),
                    finish.clone(),
                    record,
                );
            },
        );
        match drawn {
            Ok(()) | Err(pipeline::Error::Stopped) => Ok(()),
            Err(error) => Err(ApiError::of_pipeline(&error, name)),
        }
    }
}

/// The pictures of a job that are still to be drawn.
struct Canvas {
    job: Arc<Job>,
    drawing: Drawing,
    record: Record,
    /// Their places and requests.
    rest: VecDeque<(usize, Request)>,
    /// The room of the picture that it is drawn from.
    _room: Option<OwnedSemaphorePermit>,
}

impl Canvas {
    /// Refuses what the model cannot draw, and embeds what is drawn from.
    fn new(
        pipeline: &Pipeline,
        record: &Record,
        job: Arc<Job>,
        mut drawing: Drawing,
    ) -> Result<Self, pipeline::Error> {
        let says_nothing = drawing.caption.trim().is_empty();
        let by_embedding = pipeline.decodes_embeddings();
        let task = match &drawing.source {
            Source::Caption => Task::GENERATE,
            Source::Image(_) => Task::VARY,
            Source::Edit(_) => {
                Task { prior: !says_nothing || !by_embedding, inpaints: true, ..Task::GENERATE }
            }
        };
        if !task.prior {
            drawing.settings = drawing.settings.without_prior();
        }
        if let Source::Edit(_) = &drawing.source {
            let default = pipeline.repaints()?.then_some(pipeline::repaint::RESAMPLE);
            drawing.settings.resample = drawing.settings.resample.or(default);
        }
        pipeline.prepare(task, &drawing.settings)?;
        let embedding = match &drawing.source {
            Source::Image(image) => Some(pipeline.encode_images(std::slice::from_ref(image))?),
            _ => None,
        };
        let request = |&seed: &u64| match &embedding {
            Some(embedding) => Request::of_embedding(embedding, seed, drawing.settings.clone()),
            None => Request {
                negative_caption: drawing.negative_caption.clone().filter(|_| task.prior),
                ..Request::new(drawing.caption.as_str(), seed, drawing.settings.clone())
            },
        };
        let rest = drawing.seeds.iter().map(request).enumerate().collect();
        let record = drawing.finish.record(record, 0, &drawing.settings);
        Ok(Self { job, record, rest, drawing, _room: None })
    }
}

impl Finish {
    /// The record of a picture.
    fn record(&self, record: &Record, seed: u64, settings: &Settings) -> Record {
        Record {
            command: self.command.to_owned(),
            caption: self.caption.clone(),
            seed,
            settings: settings.clone(),
            arguments: self.arguments.clone(),
            ..record.clone()
        }
    }
}

/// Pictures that are drawn at once.
struct Batch {
    /// Of each picture its canvas and its place there.
    places: Vec<(usize, usize)>,
    requests: Vec<Request>,
}

impl Batch {
    /// The next `size` pictures; of an edit its own alone.
    fn take(canvases: &mut [Canvas], size: usize) -> Self {
        let mut batch = Self { places: Vec::new(), requests: Vec::new() };
        for (n, canvas) in canvases.iter_mut().enumerate() {
            while batch.places.len() < size
                && let Some((place, request)) = canvas.rest.pop_front()
            {
                batch.places.push((n, place));
                batch.requests.push(request);
            }
        }
        batch
    }

    fn into_singles(self) -> impl Iterator<Item = Self> {
        let all = self.places.into_iter().zip(self.requests);
        all.map(|(place, request)| Self { places: vec![place], requests: vec![request] })
    }

    fn fail(&self, canvases: &[Canvas], error: &ApiError) {
        for (n, _) in &self.places {
            canvases[*n].job.end(Phase::Failed(error.clone()));
        }
    }

    /// Draws the pictures and hands them on. It stops where none of their jobs wants any.
    fn sample(
        &mut self,
        app: &Arc<App>,
        pipeline: &Pipeline,
        canvases: &[Canvas],
    ) -> Result<(), pipeline::Error> {
        app.metrics.batches.observe(self.requests.len() as f64);
        let mut watch = StepWatch::new(app, &self.requests[0].settings);
        let places = &self.places;
        let mut observer = |step: Step<'_>| {
            let jobs = places.iter().map(|&(n, place)| (&canvases[n], place));
            if jobs.clone().all(|(canvas, _)| canvas.job.is_over()) {
                return ControlFlow::Break(());
            }
            let shown = jobs.map(|(canvas, place)| (&*canvas.job, place, canvas.drawing.previews));
            watch.step(&step, &shown.collect::<Vec<_>>());
            ControlFlow::Continue(())
        };
        let images = match &canvases[places[0].0].drawing.source {
            Source::Edit(edit) => pipeline.inpaint(edit, &self.requests, &mut observer)?,
            _ => pipeline.sample(&self.requests, &mut observer)?,
        };
        for ((&(n, place), request), image) in places.iter().zip(&self.requests).zip(images) {
            let Canvas { job, record, drawing, .. } = &canvases[n];
            let record = Record { seed: request.seed, ..record.clone() };
            let image = (image, request.seed, None);
            app.finish_image(Arc::clone(job), place, image, drawing.finish.clone(), record);
        }
        Ok(())
    }
}
