//! Bodies of requests: JSON objects and multipart forms, within bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use files::text::excerpt;
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// The most fields of a request.
const MOST_FIELDS: usize = 256;

/// The longest body of JSON, in bytes.
const LONGEST_JSON: usize = 1 << 20;

/// Memory of bodies is counted by so many bytes, and what is shorter is not counted.
const BODY_UNIT: usize = 1 << 20;

/// A request's fields as they came.
#[derive(Default)]
pub(crate) struct Form {
    /// Whether they came as JSON, whose values have types.
    pub(crate) is_json: bool,
    texts: BTreeMap<String, Vec<Json>>,
    files: BTreeMap<String, Vec<Bytes>>,
    /// The memory that they take.
    pub(crate) memory: Option<OwnedSemaphorePermit>,
}

/// The bounds of a body.
#[derive(Clone)]
pub(crate) struct BodyLimits {
    pub(crate) bytes: usize,
    /// How long it may take to come.
    pub(crate) time: Duration,
    /// The memory that all bodies together may still take, by [`BodyLimits::memory`].
    pub(crate) memory: Arc<Semaphore>,
}

impl BodyLimits {
    /// The memory of bodies that are read at once: of `count` that have `bytes` bytes each.
    pub(crate) fn memory(bytes: usize, count: usize) -> Arc<Semaphore> {
        let units = bytes.div_ceil(BODY_UNIT).saturating_mul(count);
        Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
    }
}

impl Form {
    /// The body of a request, as its content type says.
    pub(crate) async fn read(request: Request, limits: BodyLimits) -> Result<Self, ApiError> {
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ApiError::media_type("bodies without a Content-Encoding"));
        }
        let declared = request.headers().get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > limits.bytes) {
            return Err(ApiError::too_large(limits.bytes));
        }
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let is_json = match &*media_type {
            "application/json" => true,
            "multipart/form-data" => false,
            _ => return Err(ApiError::media_type("application/json and multipart/form-data")),
        };
        // Values of JSON take many times the memory of their text. A1111's clients send pictures in it.
        let most = match is_json && !request.uri().path().starts_with("/sdapi/") {
            true => limits.bytes.min(LONGEST_JSON),
            false => limits.bytes,
        };
        // A body that does not say its length may have all that is allowed.
        let length = declared.unwrap_or(most).min(most);
        let units = u32::try_from(length / BODY_UNIT).unwrap_or(u32::MAX);
        let memory = Arc::clone(&limits.memory);
        let memory = match units {
            0 => None,
            _ => match tokio::time::timeout(limits.time, memory.acquire_many_owned(units)).await {
                Ok(Ok(memory)) => Some(memory),
                Ok(Err(_)) => return Err(ApiError::draining()),
                Err(_) => return Err(ApiError::too_many_bodies()),
            },
        };
        let read = async {
            let form = match is_json {
                true => Self::read_json(request, most).await,
                false => Self::read_multipart(request, most).await,
            };
            form.map(|form| Self { memory, ..form })
        };
        match tokio::time::timeout(limits.time, read).await {
            Ok(form) => form,
            Err(_) => Err(ApiError::slow_body(limits.time.as_secs())),
        }
    }

    async fn read_json(request: Request, most: usize) -> Result<Self, ApiError> {
        let bytes = axum::body::to_bytes(request.into_body(), most).await;
        let bytes = bytes.map_err(|error| match error.to_string().contains("length limit") {
            true => ApiError::too_large(most),
            false => ApiError::bad_request("the request's body broke off"),
        })?;
        let parse = move || serde_json::from_slice(&bytes);
        let json = match tokio::task::spawn_blocking(parse).await {
            Ok(Ok(json)) => json,
            Ok(Err(error)) => {
                let message = format!("the request's body is no JSON: {error}");
                return Err(ApiError::bad_request(message));
            }
            Err(_) => return Err(ApiError::internal()),
        };
        let Json::Object(fields) = json else {
            return Err(ApiError::bad_request("the request's body is JSON, and no object"));
        };
        Self::of_object(fields, None).checked()
    }

    async fn read_multipart(request: Request, most: usize) -> Result<Self, ApiError> {
        let damaged = |error: &dyn std::error::Error| {
            ApiError::bad_request(format!("the request's form cannot be read: {error}"))
        };
        let multipart = Multipart::from_request(request, &()).await;
        let mut multipart = multipart.map_err(|error| damaged(&error))?;
        let failed = |error: axum::extract::multipart::MultipartError| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(most),
            _ => ApiError::bad_request(format!(
                "the request's form cannot be read: {}",
                error.body_text()
            )),
        };
        let (mut form, mut length, mut count) = (Self::default(), 0, 0);
        while let Some(mut part) = multipart.next_field().await.map_err(failed)? {
            let name = part.name().unwrap_or_default();
            let name = name.strip_suffix("[]").unwrap_or(name).to_owned();
            let is_file = part.file_name().is_some();
            let mut bytes = Vec::new();
            while let Some(chunk) = part.chunk().await.map_err(failed)? {
                length += chunk.len();
                if length > most {
                    return Err(ApiError::too_large(most));
                }
                bytes.extend_from_slice(&chunk);
            }
            count += 1;
            if count > MOST_FIELDS {
                return Err(too_many());
            }
            match is_file {
                true => form.files.entry(name).or_default().push(bytes.into()),
                false => {
                    let text = String::from_utf8(bytes).map_err(|_| {
                        ApiError::invalid(&name, format!("{} is not in UTF-8", excerpt(&name)))
                    })?;
                    form.texts.entry(name).or_default().push(text.into());
                }
            }
        }
        form.checked()
    }

    /// Fields that a program has as JSON, and the memory that they take.
    pub(crate) fn of_object(
        fields: serde_json::Map<String, Json>,
        memory: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let texts = fields.into_iter().map(|(name, value)| (name, vec![value]));
        Self { is_json: true, texts: texts.collect(), memory, ..Self::default() }
    }

    /// The fields of a JSON object as they came, and the memory that they take.
    pub(crate) fn into_object(
        self,
    ) -> (serde_json::Map<String, Json>, Option<OwnedSemaphorePermit>) {
        let first = |(name, mut values): (String, Vec<Json>)| Some((name, values.pop()?));
        (self.texts.into_iter().filter_map(first).collect(), self.memory)
    }

    /// Adds a file.
    pub(crate) fn add_file(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.entry(name.to_owned()).or_default().push(bytes.into());
    }

    fn checked(self) -> Result<Self, ApiError> {
        match self.texts.len() + self.files.len() <= MOST_FIELDS {
            true => Ok(self),
            false => Err(too_many()),
        }
    }

    /// The values under a name, which are taken out.
    pub(crate) fn take_texts(&mut self, name: &str) -> Option<Vec<Json>> {
        self.texts.remove(name)
    }

    pub(crate) fn has_file(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The file under a name, which is taken out. An error where there are several; an empty one is none, as a form sends it
    /// where nothing was chosen.
    pub(crate) fn take_file(&mut self, name: &str) -> Result<Option<Bytes>, ApiError> {
        let mut files = self.files.remove(name).unwrap_or_default();
        match files.len() {
            0 | 1 => Ok(files.pop().filter(|bytes| !bytes.is_empty())),
            count => {
                let message = format!("{name}: {count} pictures are given, and one is used");
                Err(ApiError::invalid(name, message))
            }
        }
    }

    /// The text under a name, which is taken out, where there is one.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        match &self.texts.remove(name)?[..] {
            [Json::String(text)] => Some(text.clone()),
            _ => None,
        }
    }

    /// The names of what is left.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.texts.keys().chain(self.files.keys()).cloned()
    }
}

fn too_many() -> ApiError {
    ApiError::bad_request(format!("the request has more than {MOST_FIELDS} fields"))
}
