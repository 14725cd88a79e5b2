//! Routes of pictures that are there already: those of answers, of the gallery and of searches.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use images::EncoderFormat;

use crate::app::App;
use crate::error::ApiError;
use crate::guard::base;
use crate::output::{media_type, media_type_of, thumbnail};
use crate::routes::{ApiResult, Name, Server, blocking};
use crate::shelf::{Id, Lookup};
use crate::uploads::Limits;

/// The routes.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/files/{id}", get(file))
        .route("/v1/gallery", get(gallery))
        .route("/v1/gallery/{id}", get(gallery_image))
        .route("/v1/gallery/{id}/thumbnail", get(gallery_thumbnail))
        .route("/v1/images/search/{id}", get(found_image))
        .route("/v1/images/search/{id}/thumbnail", get(found_thumbnail))
}

/// The bytes of a picture.
fn image_response(bytes: Bytes, media_type: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "private, max-age=3600, immutable"),
    ];
    (headers, bytes).into_response()
}

async fn file(State(app): Server, Name(name): Name) -> ApiResult {
    let id = name.split('.').next().and_then(Id::parse);
    match id.map_or(Lookup::Unknown, |id| app.files.get(id)) {
        Lookup::Here(output) => Ok(image_response(output.bytes, media_type(output.format))),
        Lookup::Gone => Err(ApiError::gone("this picture is not kept any more")),
        Lookup::Unknown => Err(ApiError::not_found("there is no such picture")),
    }
}

async fn gallery(State(app): Server, request: Request) -> ApiResult {
    let base = base(&app, request.headers());
    let listed = blocking(move || app.gallery.as_ref().map(|gallery| gallery.list(&base))).await?;
    match listed {
        None => Err(ApiError::not_found("this server shows no folder: its operator can name one")),
        Some(Ok(listed)) => Ok(Json(listed).into_response()),
        Some(Err(error)) => {
            tracing::error!("the gallery's folder cannot be read: {error}");
            Err(ApiError::internal())
        }
    }
}

async fn gallery_image(State(app): Server, Name(id): Name) -> ApiResult {
    let (bytes, media_type) = read_gallery(app, id).await?;
    Ok(image_response(bytes.into(), media_type))
}

async fn gallery_thumbnail(State(app): Server, Name(id): Name) -> ApiResult {
    let _permit = app.thumbnails.acquire().await.map_err(|_| ApiError::draining())?;
    let (bytes, _) = read_gallery(Arc::clone(&app), id).await?;
    thumbnail_response(&app, bytes).await
}

async fn found_image(State(app): Server, Name(id): Name) -> ApiResult {
    let (bytes, media_type) = read_found(app, id).await?;
    Ok(image_response(bytes.into(), media_type))
}

async fn found_thumbnail(State(app): Server, Name(id): Name) -> ApiResult {
    let _permit = app.thumbnails.acquire().await.map_err(|_| ApiError::draining())?;
    let (bytes, _) = read_found(Arc::clone(&app), id).await?;
    thumbnail_response(&app, bytes).await
}

/// A picture of the gallery, and its media type.
async fn read_gallery(app: Arc<App>, id: String) -> Result<(Vec<u8>, &'static str), ApiError> {
    let read = blocking(move || app.gallery.as_ref()?.read(Id::parse(&id)?)).await?;
    let (bytes, format) =
        read.ok_or_else(|| ApiError::not_found("there is no such picture in the gallery"))?;
    Ok((bytes, media_type(format)))
}

/// A picture that a search found, and its media type.
async fn read_found(app: Arc<App>, id: String) -> Result<(Vec<u8>, &'static str), ApiError> {
    let read = move || {
        let path = app.found_path(Id::parse(&id)?)?;
        let folder = app.options.search.as_deref()?;
        // It may have become a link since.
        let real = path.canonicalize().ok().filter(|real| real.starts_with(folder))?;
        let bytes = images::read_file(&real).ok()?;
        let media_type = media_type_of(&bytes)?;
        Some((bytes, media_type))
    };
    blocking(read).await?.ok_or_else(|| ApiError::not_found("no search has found such a picture"))
}

/// A small image of a file's. What cannot be decoded is answered as what is not there: the request itself is not wrong.
async fn thumbnail_response(app: &App, bytes: Vec<u8>) -> ApiResult {
    let limits = Limits { pixels: app.options.upload_pixels };
    let small = blocking(move || thumbnail(&bytes, &limits)).await?;
    let small = small.map_err(|_| ApiError::not_found("this picture cannot be read"))?;
    Ok(image_response(small, media_type(EncoderFormat::Jpeg)))
}
