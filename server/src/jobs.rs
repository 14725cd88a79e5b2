//! Jobs: requests whose clients come back for the answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::draw::{add_remarks, result};
use crate::draw_task::DrawTask;
use crate::error::ApiError;
use crate::events;
use crate::form::Form;
use crate::guard::base;
use crate::job::{Job, Phase};
use crate::orders::order;
use crate::shelf::{Id, Lookup};

/// The field that says what a job is; the others are those of that task's route.
pub(crate) const TASK: &str = "task";

/// Puts a request for pictures into the queue, and answers at once.
pub(crate) async fn create(app: Arc<App>, request: Request) -> Result<Response, ApiError> {
    app.check_room()?;
    let base = base(&app, request.headers());
    let mut form = Form::read(request, app.body_limits()).await?;
    let named = form.take_text(TASK);
    let task = named.as_deref().and_then(DrawTask::of_name).ok_or_else(|| {
        let names = DrawTask::ALL.map(DrawTask::name).join(", ");
        ApiError::invalid(
            TASK,
            format!(
                "task is {}: one of {names} is wanted",
                match &named {
                    Some(name) => files::text::excerpt(name),
                    None => "missing".to_owned(),
                }
            ),
        )
    })?;
    let order = order(&app, task, form, base, false).await?;
    let job = app.submit(order.job)?;
    app.jobs.put_open(job.id, Arc::clone(&job));
    let (shelved, watched) = (Arc::clone(&app), Arc::clone(&job));
    tokio::spawn(async move {
        let state = watched.finished().await;
        let bytes = state.outputs().iter().map(|output| output.bytes.len()).sum();
        shelved.jobs.close(watched.id, bytes);
    });
    let mut response = (StatusCode::ACCEPTED, Json(job_json(&job))).into_response();
    add_remarks(response.headers_mut(), &order.remarks);
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id)) {
        response.headers_mut().insert(HeaderName::from_static("location"), place);
    }
    Ok(response)
}

/// The job with an id.
pub(crate) fn find(app: &App, id: &str) -> Result<Arc<Job>, ApiError> {
    let found = Id::parse(id).map_or(Lookup::Unknown, |id| app.jobs.get(id));
    match found {
        Lookup::Here(job) => Ok(job),
        Lookup::Gone => Err(ApiError::gone("this job is not kept any more")),
        Lookup::Unknown => Err(ApiError::not_found("there is no such job")),
    }
}

/// Cancels a job that is not done.
pub(crate) fn cancel(app: &App, id: &str) -> Result<Response, ApiError> {
    let job = find(app, id)?;
    app.end(&job, Phase::Cancelled);
    Ok(Json(job_json(&job)).into_response())
}

pub(crate) fn watch(app: &App, id: &str) -> Result<Response, ApiError> {
    find(app, id).map(events::job_stream)
}

/// A job as JSON.
pub(crate) fn job_json(job: &Job) -> Value {
    let state = job.state();
    let is_queued = matches!(state.phase, Phase::Queued);
    let ended = match &state.phase {
        Phase::Completed(_) | Phase::Failed(_) => Some(result(job, &state)),
        _ => None,
    };
    let (result, error) = match ended {
        Some(Ok(result)) => (result, Value::Null),
        Some(Err(error)) => (Value::Null, error.object()),
        None => (Value::Null, Value::Null),
    };
    json!({
        "id": job.id.to_string(),
        "object": "job",
        "task": job.task,
        "status": state.phase.name(),
        "position": is_queued.then_some(state.position),
        "created_at": job.created,
        "progress": state.progress.as_ref().map(|progress| events::progress_json(progress, &state)),
        "result": result,
        "error": error,
    })
}
