//! Errors as clients see them: OpenAI's error object, with a status. No message has a path or a number of the machine's.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipeline::ErrorKind;
use pipeline::finite::Cause;
use serde_json::{Value, json};

/// An answer in the place of the one that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The class that OpenAI's clients know.
    kind: &'static str,
    message: String,
    /// The field that it is about.
    param: Option<String>,
    code: Option<&'static str>,
    /// Seconds after which it may go better.
    retry_after: Option<u64>,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, message, param: None, code: None, retry_after: None }
    }

    fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn retried_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same about a field.
    pub(crate) fn about(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// A field that cannot be drawn with.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::bad_request(message).about(param)
    }

    /// A request that is none.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message)
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "this server wants its key: Authorization: Bearer KEY";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message).with_code("invalid_api_key")
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, INVALID, message).with_code("forbidden")
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID, message).with_code("not_found")
    }

    pub(crate) fn no_model(name: &str, models: &[&str]) -> Self {
        let message = format!("there is no model {name}: this server has {}", models.join(", "));
        let error = Self::new(StatusCode::NOT_FOUND, INVALID, message).about("model");
        error.with_code("model_not_found")
    }

    pub(crate) fn wrong_method() -> Self {
        let message = "this route takes another method: /openapi.json lists them";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, message).with_code("method_not_allowed")
    }

    /// Something that was here, and is not kept any more.
    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, INVALID, message).with_code("gone")
    }

    pub(crate) fn slow_body(seconds: u64) -> Self {
        let message = format!("the request's body took longer than {seconds} s to come");
        Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, message).with_code("request_timeout")
    }

    pub(crate) fn too_large(most: usize) -> Self {
        let message =
            format!("the request's body has more than {most} bytes, the most that are read");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, message).with_code("request_too_large")
    }

    /// The refusal of a long body that waited for memory.
    pub(crate) fn too_many_bodies() -> Self {
        let message = "so many large requests come at once that there is no memory for this one: please try again";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, message);
        error.with_code("overloaded").retried_after(10)
    }

    pub(crate) fn media_type(types: &str) -> Self {
        let message = format!("this route reads {types} alone");
        let error = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, message);
        error.with_code("unsupported_media_type")
    }

    /// A full queue, which has room again after about so many seconds.
    pub(crate) fn queue_full(waiting: usize, seconds: u64) -> Self {
        let message = format!(
            "{waiting} requests are waiting, as many as this server lets wait: please try again in {seconds} s"
        );
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        error.with_code("queue_full").retried_after(seconds)
    }

    pub(crate) fn loading() -> Self {
        let message = "the model is being loaded: please try again in some seconds";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, message);
        error.with_code("model_loading").retried_after(2)
    }

    pub(crate) fn draining() -> Self {
        let message = "this server is about to stop and takes no more requests";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, message);
        error.with_code("draining").retried_after(10)
    }

    /// A worker that has failed again and again.
    pub(crate) fn unhealthy() -> Self {
        let message = "the worker failed three times in a minute: the server's log says why";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, message);
        error.with_code("unhealthy").retried_after(60)
    }

    pub(crate) fn deadline(seconds: u64) -> Self {
        let message = format!(
            "the request took longer than {seconds} s, the longest that one may: fewer pictures or steps take less"
        );
        Self::new(StatusCode::GATEWAY_TIMEOUT, SERVER, message).with_code("deadline_exceeded")
    }

    pub(crate) fn cancelled() -> Self {
        // Servers log this of a client that went; nobody reads it.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        Self::new(status, INVALID, "the request was cancelled").with_code("cancelled")
    }

    pub(crate) fn internal() -> Self {
        let message = "this is a defect of the server's: its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, message).with_code("internal_error")
    }

    pub(crate) fn model_defect(model: &str) -> Self {
        let message = format!("the model {model} cannot do this: the server's log says why");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, message).with_code("model_error")
    }

    fn out_of_memory() -> Self {
        let message = "there is not enough memory for this: fewer or smaller pictures take less";
        let error = Self::new(StatusCode::INSUFFICIENT_STORAGE, SERVER, message);
        error.with_code("out_of_memory")
    }

    /// The error of a pipeline over `model`: the user's in its own words, any other without them, which go to the log.
    pub(crate) fn of_pipeline(error: &pipeline::Error, model: &str) -> Self {
        match error {
            pipeline::Error::Stopped => Self::cancelled(),
            // Its words name the model's folders.
            pipeline::Error::Mismatch { mismatch, .. } if error.is_about_image() => {
                let message = format!(
                    "the picture does not fit the model: {} is {} and {}",
                    mismatch.quantity, mismatch.one, mismatch.other
                );
                Self::invalid("image", message)
            }
            _ if error.is_about_image() => Self::invalid("image", error.to_string()),
            pipeline::Error::NotFinite { cause: Cause::Scale { setting, .. }, .. } => {
                Self::bad_request(error.to_string()).about(field_of(setting))
            }
            pipeline::Error::Setting { setting, .. } | pipeline::Error::NoStage { setting, .. } => {
                Self::bad_request(error.to_string()).about(field_of(setting))
            }
            pipeline::Error::OtherPrior { setting, .. } => {
                Self::bad_request(error.to_string()).about(field_of(setting))
            }
            pipeline::Error::Edit(_) => Self::invalid("mask", error.to_string()),
            _ if error.is_out_of_memory() => Self::out_of_memory(),
            _ if error.kind() == ErrorKind::User => Self::bad_request(error.to_string()),
            _ => {
                tracing::error!(model, "{error}");
                Self::model_defect(model)
            }
        }
    }

    /// The object under `error`.
    pub(crate) fn object(&self) -> Value {
        let Self { kind, message, param, code, .. } = self;
        json!({ "message": message, "type": kind, "param": param, "code": code })
    }
}

/// The field that sets a setting of the library's.
fn field_of(setting: &str) -> &str {
    match setting {
        "prior_steps" => "prior_num_inference_steps",
        "decoder_steps" => "decoder_num_inference_steps",
        "upsampler_steps" => "super_res_num_inference_steps",
        "width" | "height" => "size",
        other => other,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.object() }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
