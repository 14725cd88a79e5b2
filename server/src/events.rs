//! Server-sent events: a job's progress, and OpenAI's stream of pictures.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::draw::{CancelOnDrop, result};
use crate::draw_task::DrawTask;
use crate::job::{Job, Phase, Preview, Progress, State, unix_seconds};
use crate::output::{datum, format_name};

/// How often a comment is sent where nothing happens, so that nobody in between takes the stream for dead.
const COMMENT_PAUSE: Duration = Duration::from_secs(15);

/// A response of events.
fn response(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(COMMENT_PAUSE).text("still here");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    response
}

fn event(kind: &str, data: &Value) -> Event {
    Event::default().event(kind).data(data.to_string())
}

/// A watcher of a job, with all that it has been sent.
struct Watcher {
    job: Arc<Job>,
    states: watch::Receiver<State>,
    waiting: std::vec::IntoIter<Event>,
    position: usize,
    progress: Option<Progress>,
    previews: Vec<Option<Arc<Preview>>>,
    sent: Vec<bool>,
    is_first: bool,
    is_over: bool,
}

impl Watcher {
    fn new(job: Arc<Job>) -> Self {
        job.add_viewer();
        Self {
            states: job.watch(),
            waiting: Vec::new().into_iter(),
            position: 0,
            progress: None,
            previews: vec![None; job.images],
            sent: vec![false; job.images],
            is_first: true,
            is_over: false,
            job,
        }
    }

    /// The state, once it is another one than the last.
    async fn next_state(&mut self) -> State {
        // The first is there at once.
        if !std::mem::take(&mut self.is_first) {
            let _ = self.states.changed().await;
        }
        self.states.borrow_and_update().clone()
    }

    /// The pictures that are done and were not sent.
    fn new_outputs(&mut self, state: &State) -> Vec<(usize, crate::output::Output)> {
        let mut new = Vec::new();
        for (place, output) in state.outputs.iter().enumerate() {
            if let Some(output) = output
                && !std::mem::replace(&mut self.sent[place], true)
            {
                new.push((place, output.clone()));
            }
        }
        new
    }

    /// The previews that were not sent.
    fn new_previews(&mut self, state: &State) -> Vec<Arc<Preview>> {
        let mut new = Vec::new();
        for (sent, preview) in self.previews.iter_mut().zip(&state.previews) {
            if let Some(preview) = preview
                && !sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, preview))
            {
                *sent = Some(Arc::clone(preview));
                new.push(Arc::clone(preview));
            }
        }
        new
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.job.remove_viewer();
    }
}

/// A job's events, from its present state on until it ends.
pub(crate) fn job_stream(job: Arc<Job>) -> Response {
    let watcher = Watcher::new(job);
    response(stream::unfold(watcher, |mut watcher| async move {
        loop {
            if let Some(event) = watcher.waiting.next() {
                return Some((Ok::<_, Infallible>(event), watcher));
            }
            if watcher.is_over {
                return None;
            }
            watcher.waiting = job_events(&mut watcher).await.into_iter();
        }
    }))
}

/// The events of the next state of a job.
async fn job_events(watcher: &mut Watcher) -> Vec<Event> {
    let was_first = watcher.is_first;
    let state = watcher.next_state().await;
    let (id, base) = (watcher.job.id.to_string(), watcher.job.base.clone());
    let mut events = Vec::new();
    let mut add = |kind: &str, mut data: Value| {
        data["type"] = kind.into();
        data["id"] = id.as_str().into();
        events.push(event(kind, &data));
    };
    if matches!(state.phase, Phase::Queued) && (was_first || state.position != watcher.position) {
        watcher.position = state.position;
        add("job.queued", json!({ "position": state.position }));
    }
    if let Some(progress) = &state.progress
        && watcher.progress.as_ref() != Some(progress)
    {
        watcher.progress = Some(progress.clone());
        add("job.progress", progress_json(progress, &state));
    }
    for preview in watcher.new_previews(&state) {
        if let Some(png) = preview.base64().await {
            add("job.preview", json!({ "image": preview.image, "b64_json": png }));
        }
    }
    let format = watcher.job.response_format;
    for (place, output) in watcher.new_outputs(&state) {
        let mut data = datum(&output, format, &base);
        data.insert("image".to_owned(), place.into());
        add("job.image", Value::Object(data));
    }
    if state.phase.is_final() {
        watcher.is_over = true;
        match (&state.phase, result(&watcher.job, &state)) {
            (Phase::Cancelled, _) => add("job.cancelled", json!({})),
            (_, Ok(result)) => add("job.completed", json!({ "result": result })),
            (_, Err(error)) => add("job.failed", json!({ "error": error.object() })),
        }
    }
    events
}

/// A job's progress as JSON.
pub(crate) fn progress_json(progress: &Progress, state: &State) -> Value {
    json!({
        "stage": progress.stage,
        "stage_index": progress.index,
        "done": progress.done,
        "steps": progress.steps,
        "image": progress.image,
        "images": state.outputs.len(),
        "images_done": state.outputs.iter().flatten().count(),
    })
}

/// OpenAI's stream of pictures: previews, and each picture when it is done. The job ends with it.
pub(crate) fn image_stream(job: Arc<Job>, task: DrawTask, cancel: CancelOnDrop) -> Response {
    let watcher = Watcher::new(job);
    let prefix = match task {
        DrawTask::Edits => "image_edit",
        _ => "image_generation",
    };
    // A comment comes at once, while the request still waits.
    let first = stream::iter([Ok(Event::default().comment("accepted"))]);
    let rest = stream::unfold((watcher, cancel), move |(mut watcher, cancel)| async move {
        loop {
            if let Some(event) = watcher.waiting.next() {
                return Some((Ok::<_, Infallible>(event), (watcher, cancel)));
            }
            if watcher.is_over {
                return None;
            }
            watcher.waiting = image_events(&mut watcher, prefix).await.into_iter();
        }
    });
    response(futures_util::StreamExt::chain(first, rest))
}

/// The events of the next state of a stream of pictures.
async fn image_events(watcher: &mut Watcher, prefix: &str) -> Vec<Event> {
    let state = watcher.next_state().await;
    let mut events = Vec::new();
    for preview in watcher.new_previews(&state) {
        let Some(png) = preview.base64().await else {
            continue;
        };
        let kind = format!("{prefix}.partial_image");
        let (width, height) = preview.pixels.dimensions();
        let data = json!({
            "type": kind,
            "b64_json": png,
            "partial_image_index": preview.number,
            "image": preview.image,
            "created_at": unix_seconds(),
            "size": format!("{width}x{height}"),
            "quality": "auto",
            "background": "opaque",
            "output_format": "png",
        });
        events.push(event(&kind, &data));
    }
    for (place, output) in watcher.new_outputs(&state) {
        let kind = format!("{prefix}.completed");
        let mut data =
            Value::Object(datum(&output, watcher.job.response_format, &watcher.job.base));
        data["type"] = kind.as_str().into();
        data["image"] = place.into();
        data["created_at"] = unix_seconds().into();
        data["size"] = format!("{}x{}", output.size.0, output.size.1).into();
        data["quality"] = "auto".into();
        data["background"] = "opaque".into();
        data["output_format"] = format_name(output.format).into();
        data["usage"] = json!({
            "total_tokens": 0,
            "input_tokens": 0,
            "output_tokens": 0,
            "input_tokens_details": { "text_tokens": 0, "image_tokens": 0 },
        });
        events.push(event(&kind, &data));
    }
    if state.phase.is_final() {
        watcher.is_over = true;
        if let Err(error) = result(&watcher.job, &state) {
            events.push(event("error", &json!({ "type": "error", "error": error.object() })));
        }
    }
    events
}
