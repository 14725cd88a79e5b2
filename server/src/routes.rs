//! The router, and the routes that only look something up.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use images::png_text::find_text;
use pipeline::Record;
use pipeline::record::KEYWORD;
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::draw_task::DrawTask;
use crate::error::ApiError;
use crate::fields::Values;
use crate::form::Form;
use crate::guard::guard;
use crate::models::Ability;
use crate::route_table::{RECORD, ROUTES};
use crate::shelf::Id;
use crate::{a1111, clip, draw, jobs, openapi, page, stored_images};

/// The part of a path that names something. One that is no text names nothing.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|_| ApiError::not_found("there is no such thing"))
    }
}

pub(crate) type ApiResult = Result<Response, ApiError>;
pub(crate) type Server = State<Arc<App>>;

/// The router of all of them.
pub(crate) fn router(app: Arc<App>) -> Router {
    let drawing = DrawTask::ALL.into_iter().fold(Router::new(), |router, task| {
        let handler = move |State(app): Server, request: Request| draw::draw(app, task, request);
        router.route(&format!("/v1/images/{}", task.name()), post(handler))
    });
    let router = drawing
        .route("/", get(page::index))
        .route("/page/{name}", get(page::asset))
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(document))
        .route("/v1/capabilities", get(capabilities))
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
        .route(
            "/v1/images/classifications",
            post(|State(app): Server, request| clip::classify(app, request)),
        )
        .route("/v1/images/search", post(|State(app): Server, request| clip::search(app, request)))
        .route("/v1/images/record", post(record))
        .route("/v1/embeddings", post(|State(app): Server, request| clip::embed(app, request)))
        .route("/v1/jobs", post(|State(app): Server, request| jobs::create(app, request)))
        .route("/v1/jobs/{id}", get(job).delete(cancel_job))
        .route(
            "/v1/jobs/{id}/events",
            get(async |State(app): Server, Name(id): Name| jobs::watch(&app, &id)),
        )
        .merge(stored_images::router());
    let router = match app.options.a1111 {
        true => router.merge(a1111::router()),
        false => router,
    };
    router
        .fallback(async || ApiError::not_found("there is no such route: /openapi.json lists them"))
        .method_not_allowed_fallback(async || ApiError::wrong_method())
        .layer(DefaultBodyLimit::max(app.options.upload_bytes))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a request's handler failed: this is a defect");
            ApiError::internal().into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), log))
        .with_state(app)
}

/// Gives each request an id, counts it and logs it, without anything that its client said.
async fn log(State(app): Server, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let id = Id::random();
    let mut response = next.run(request).await;
    let status = response.status();
    let known =
        ROUTES.iter().map(|route| route.path).find(|path| Some(*path) == matched.as_deref());
    let route = known.unwrap_or(if matched.is_some() { "page" } else { "none" });
    app.metrics.count_request(route, status.as_u16());
    let milliseconds = start.elapsed().as_millis() as u64;
    tracing::info!(request = %id, %method, route, status = status.as_u16(), milliseconds);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

async fn ready(State(app): Server) -> ApiResult {
    app.check_ready()?;
    Ok(Json(json!({ "status": "ready" })).into_response())
}

async fn metrics(State(app): Server) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], app.metrics.text(app.queue.lengths())).into_response()
}

async fn document(State(app): Server) -> Response {
    Json(openapi::document(&app.options)).into_response()
}

async fn capabilities(State(app): Server) -> Json<Value> {
    let options = &app.options;
    let default = |ability: Ability| {
        let model = &app.models[app.default_model(ability)].info;
        (
            ability.name().to_owned(),
            if model.can(ability) { model.name.as_str().into() } else { Value::Null },
        )
    };
    let models = app.models.iter().enumerate().map(|(n, entry)| entry.info.json(app.is_loaded(n)));
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "key_required": options.api_key.is_some(),
        "ready": app.check_ready().is_ok(),
        "gallery": app.gallery.is_some(),
        "search": app.options.search.is_some(),
        "limits": {
            "n": options.most_images,
            "frames": options.most_frames,
            "upload_bytes": options.upload_bytes,
            "pixels": options.upload_pixels,
            "queue": options.queue,
            "deadline_s": options.deadline.as_secs(),
        },
        "models": models.collect::<Vec<_>>(),
        "tasks": Ability::ALL.into_iter().map(default).collect::<serde_json::Map<_, _>>(),
    }))
}

/// A model as OpenAI lists it.
fn model_json(app: &App, name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": app.started, "owned_by": "unclip" })
}

async fn models(State(app): Server) -> Json<Value> {
    let data: Vec<Value> =
        app.models.iter().map(|entry| model_json(&app, &entry.info.name)).collect();
    Json(json!({ "object": "list", "data": data }))
}

async fn model(State(app): Server, Name(id): Name) -> ApiResult {
    let names: Vec<&str> = app.models.iter().map(|entry| &*entry.info.name).collect();
    match names.contains(&&*id) {
        true => Ok(Json(model_json(&app, &id)).into_response()),
        false => Err(ApiError::no_model(&files::text::excerpt(&id), &names)),
    }
}

async fn job(State(app): Server, Name(id): Name) -> ApiResult {
    let job = jobs::find(&app, &id)?;
    Ok(Json(blocking(move || jobs::job_json(&job)).await?).into_response())
}

async fn cancel_job(State(app): Server, Name(id): Name) -> ApiResult {
    jobs::cancel(&app, &id)
}

/// Does what reads files beside the requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())
}

/// The record in a picture of how it was drawn.
async fn record(State(app): Server, request: Request) -> ApiResult {
    app.check_ready()?;
    let form = Form::read(request, app.body_limits()).await?;
    let values = Values::read(form, &[RECORD], app.options.strict)?;
    let bytes = values.image("image").unwrap_or_default();
    let read = move || {
        images::dimensions(&bytes, "image")
            .map_err(|error| ApiError::invalid("image", error.to_string()))?;
        let text = find_text(&bytes, KEYWORD).ok().flatten();
        Ok::<_, ApiError>(text.and_then(|text| Record::parse(&text).ok()))
    };
    let record = blocking(read).await??;
    let record = record.map_or(Value::Null, |record| record.fields().into());
    Ok((StatusCode::OK, Json(json!({ "record": record }))).into_response())
}
