//! The page: files inside the program.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::routes::Name;

macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        /// The files under `/page/`, by their names.
        const ASSETS: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../page/", $name)))),*];
    };
}

assets![
    "api.js",
    "app.js",
    "dom.js",
    "drops.js",
    "events.js",
    "form.js",
    "gallery-image.js",
    "gallery.js",
    "icon.svg",
    "job.js",
    "menu.js",
    "messages.js",
    "painter.js",
    "progress.js",
    "record.js",
    "result.js",
    "reuse.js",
    "run.js",
    "server.js",
    "settings.js",
    "slots.js",
    "style.css",
    "tabs.js",
    "tasks.js",
    "way.js",
];

const INDEX: &[u8] = include_bytes!("../page/index.html");

pub(crate) async fn index() -> Response {
    answer("index.html", INDEX)
}

pub(crate) async fn asset(Name(name): Name) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|(asset, _)| *asset == name);
    let (name, bytes) = asset.ok_or_else(|| ApiError::not_found("the page has no such file"))?;
    Ok(answer(name, bytes))
}

fn answer(name: &str, bytes: &'static [u8]) -> Response {
    let media_type = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
