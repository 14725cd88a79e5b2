//! Routes that draw: OpenAI's generations, edits and variations, and ways.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use files::text::excerpt;

use crate::app::App;
use crate::draw_task::DrawTask;
use crate::error::ApiError;
use crate::events;
use crate::form::{BodyLimits, Form};
use crate::guard::base;
use crate::job::{Job, Phase, State};
use crate::options::ServerOptions;
use crate::orders::{Order, Remarks, order};
use crate::output::images_response;

/// Ends a job whose client has gone.
pub(crate) struct CancelOnDrop {
    app: Arc<App>,
    job: Arc<Job>,
}

impl CancelOnDrop {
    pub(crate) fn new(app: &Arc<App>, job: &Arc<Job>) -> Self {
        Self { app: Arc::clone(app), job: Arc::clone(job) }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.app.end(&self.job, Phase::Cancelled);
    }
}

impl App {
    pub(crate) fn body_limits(&self) -> BodyLimits {
        let ServerOptions { upload_bytes: bytes, body_time: time, .. } = self.options;
        BodyLimits { bytes, time, memory: Arc::clone(&self.body_memory) }
    }
}

/// Draws what a request asks for, and answers with the pictures or streams them.
pub(crate) async fn draw(
    app: Arc<App>,
    task: DrawTask,
    request: Request,
) -> Result<Response, ApiError> {
    app.check_room()?;
    let base = base(&app, request.headers());
    let form = Form::read(request, app.body_limits()).await?;
    let Order { job, stream, remarks } = order(&app, task, form, base, true).await?;
    let job = app.submit(job)?;
    let cancel = CancelOnDrop::new(&app, &job);
    let mut response = match stream && task.streams() {
        true => events::image_stream(job, task, cancel),
        false => answer(&job).await?.into_response(),
    };
    add_remarks(response.headers_mut(), &remarks);
    Ok(response)
}

/// A job's pictures, once they are drawn.
pub(crate) async fn answer(job: &Arc<Job>) -> Result<Response, ApiError> {
    let state = job.finished().await;
    let job = Arc::clone(job);
    // Base64 of large pictures takes its time.
    let result = tokio::task::spawn_blocking(move || result(&job, &state)).await;
    result.map_err(|_| ApiError::internal())?.map(|json| Json(json).into_response())
}

/// The answer of a job that has ended.
pub(crate) fn result(job: &Job, state: &State) -> Result<serde_json::Value, ApiError> {
    match &state.phase {
        Phase::Completed(Some(answer)) => Ok((**answer).clone()),
        Phase::Completed(None) => {
            Ok(images_response(&state.outputs(), job.created, job.response_format, &job.base))
        }
        Phase::Failed(error) => Err(error.clone()),
        Phase::Queued | Phase::Running | Phase::Cancelled => Err(ApiError::cancelled()),
    }
}

/// Says in headers which model drew, which fields nothing was made of, which size was drawn where another was asked for, and
/// which words the model does not know.
pub(crate) fn add_remarks(headers: &mut HeaderMap, remarks: &Remarks) {
    let Remarks { model, ignored, drawn_size, unknown_words } = remarks;
    let ignored: Vec<String> = ignored.iter().map(|name| excerpt(name)).collect();
    let ignored = (!ignored.is_empty()).then(|| excerpt(&ignored.join(", ")));
    let all = [
        ("x-unclip-model", Some(model.clone())),
        ("x-unclip-ignored", ignored),
        ("x-unclip-drawn-size", drawn_size.clone()),
        ("x-unclip-unknown-words", unknown_words.as_deref().map(excerpt)),
    ];
    for (name, value) in all {
        // Names that no header holds are written with escapes.
        let value = value.map(|value| HeaderValue::from_str(&value.escape_default().to_string()));
        if let Some(Ok(value)) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
