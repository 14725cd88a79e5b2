//! The table of all routes but the page's own, which the OpenAPI document is written from.

use crate::clip;
use crate::draw_task::{DrawTask, JOB};
use crate::fields::{Field, Kind};

/// A route as the document has it.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) body: Body,
    pub(crate) answer: Answer,
}

/// The body that a route reads.
pub(crate) enum Body {
    None,
    /// JSON of other clients' making.
    Json,
    Fields {
        tables: &'static [&'static [Field]],
        is_multipart: bool,
        task: bool,
    },
}

/// The body that it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Images,
    Accepted,
    Job,
    Json,
    Events,
    Bytes,
    Text(&'static str),
}

/// The field of a picture whose record is read.
pub(crate) const RECORD: &[Field] = &[Field::new("image", Kind::Image, "The picture.").required()];

const fn route(
    method: &'static str,
    path: &'static str,
    body: Body,
    answer: Answer,
    summary: &'static str,
) -> Route {
    Route { method, path, summary, body, answer }
}

/// Fields in JSON, or in a form where there are pictures.
const fn fields(tables: &'static [&'static [Field]], is_multipart: bool) -> Body {
    Body::Fields { tables, is_multipart, task: false }
}

/// All routes but the page's own.
pub(crate) static ROUTES: &[Route] = &[
    route(
        "post",
        "/v1/images/generations",
        fields(DrawTask::Generations.fields(), false),
        Answer::Images,
        "Draws pictures of a caption.",
    ),
    route(
        "post",
        "/v1/images/edits",
        fields(DrawTask::Edits.fields(), true),
        Answer::Images,
        "Paints a part of a picture anew.",
    ),
    route(
        "post",
        "/v1/images/variations",
        fields(DrawTask::Variations.fields(), true),
        Answer::Images,
        "Draws pictures like a picture.",
    ),
    route(
        "post",
        "/v1/images/interpolations",
        fields(DrawTask::Interpolations.fields(), true),
        Answer::Images,
        "Draws the way from one picture or caption to another.",
    ),
    route(
        "post",
        "/v1/images/edits/text",
        fields(DrawTask::TextEdits.fields(), true),
        Answer::Images,
        "Changes a picture by the difference of two captions.",
    ),
    route(
        "post",
        "/v1/images/classifications",
        fields(&[clip::CLASSIFICATION], true),
        Answer::Json,
        "Tells which of some labels a picture shows.",
    ),
    route(
        "post",
        "/v1/images/search",
        fields(&[clip::SEARCH], false),
        Answer::Json,
        "Finds the pictures in the operator's folder that are closest to a caption or a picture.",
    ),
    route("get", "/v1/images/search/{id}", Body::None, Answer::Bytes, "A picture that was found."),
    route(
        "get",
        "/v1/images/search/{id}/thumbnail",
        Body::None,
        Answer::Bytes,
        "A small JPEG of a picture that was found.",
    ),
    route(
        "post",
        "/v1/images/record",
        fields(&[RECORD], true),
        Answer::Json,
        "Tells how a picture was drawn, as its PNG says.",
    ),
    route(
        "post",
        "/v1/embeddings",
        fields(&[clip::EMBEDDING], false),
        Answer::Json,
        "Embeds texts or a picture in CLIP's space.",
    ),
    route(
        "post",
        "/v1/jobs",
        Body::Fields { tables: JOB, is_multipart: false, task: true },
        Answer::Accepted,
        "Puts a request for pictures into the queue and answers at once.",
    ),
    route("get", "/v1/jobs/{id}", Body::None, Answer::Job, "A job as it is now."),
    route("delete", "/v1/jobs/{id}", Body::None, Answer::Job, "Cancels a job that is not done."),
    route(
        "get",
        "/v1/jobs/{id}/events",
        Body::None,
        Answer::Events,
        "A job's progress, previews and pictures as server-sent events.",
    ),
    route("get", "/v1/models", Body::None, Answer::Json, "Lists the models."),
    route("get", "/v1/models/{id}", Body::None, Answer::Json, "A model."),
    route(
        "get",
        "/v1/capabilities",
        Body::None,
        Answer::Json,
        "What this server can do, with its bounds and its models' own settings.",
    ),
    route(
        "get",
        "/v1/gallery",
        Body::None,
        Answer::Json,
        "Lists the pictures in the output folder.",
    ),
    route("get", "/v1/gallery/{id}", Body::None, Answer::Bytes, "A picture in the output folder."),
    route(
        "get",
        "/v1/gallery/{id}/thumbnail",
        Body::None,
        Answer::Bytes,
        "A small JPEG of a picture in the output folder.",
    ),
    route("get", "/v1/files/{id}", Body::None, Answer::Bytes, "A picture of an answer."),
    route("get", "/healthz", Body::None, Answer::Json, "Whether the server runs."),
    route("get", "/readyz", Body::None, Answer::Json, "Whether it takes requests."),
    route(
        "get",
        "/metrics",
        Body::None,
        Answer::Text("application/openmetrics-text"),
        "Numbers for Prometheus.",
    ),
    route("get", "/openapi.json", Body::None, Answer::Json, "This document."),
    route("post", "/sdapi/v1/txt2img", Body::Json, Answer::Json, "A1111: pictures of a caption."),
    route(
        "post",
        "/sdapi/v1/img2img",
        Body::Json,
        Answer::Json,
        "A1111: a part of a picture painted anew, or variations of it.",
    ),
    route(
        "post",
        "/sdapi/v1/png-info",
        Body::Json,
        Answer::Json,
        "A1111: how a picture was drawn.",
    ),
    route("post", "/sdapi/v1/interrupt", Body::None, Answer::Json, "A1111: stops what is drawn."),
    route("get", "/sdapi/v1/progress", Body::None, Answer::Json, "A1111: how far it is."),
    route(
        "get",
        "/sdapi/v1/options",
        Body::None,
        Answer::Json,
        "A1111: its options, of which the model alone is one here.",
    ),
    route("post", "/sdapi/v1/options", Body::Json, Answer::Json, "A1111: chooses the model."),
    route("get", "/sdapi/v1/sd-models", Body::None, Answer::Json, "A1111: the models."),
    route("get", "/sdapi/v1/samplers", Body::None, Answer::Json, "A1111: the samplers."),
    route("get", "/sdapi/v1/schedulers", Body::None, Answer::Json, "A1111: the schedulers."),
    route(
        "get",
        "/sdapi/v1/upscalers",
        Body::None,
        Answer::Json,
        "A1111: the upscalers, of which there are none.",
    ),
    route("get", "/sdapi/v1/latent-upscale-modes", Body::None, Answer::Json, "A1111: likewise."),
    route(
        "get",
        "/sdapi/v1/sd-vae",
        Body::None,
        Answer::Json,
        "A1111: the autoencoders, of which there are none to choose.",
    ),
    route("get", "/sdapi/v1/sd-modules", Body::None, Answer::Json, "A1111: likewise."),
];

impl Route {
    pub(crate) fn is_a1111(&self) -> bool {
        self.path.starts_with("/sdapi/")
    }

    /// A name for generated clients.
    pub(crate) fn id(&self) -> String {
        let path = self.path.replace("{id}", "by_id").replace(['/', '-', '.'], "_");
        format!("{}{path}", self.method)
    }

    /// The names in its path.
    pub(crate) fn parameters(&self) -> Vec<&'static str> {
        if self.path.contains("{id}") { vec!["id"] } else { Vec::new() }
    }

    pub(crate) fn needs_key(&self) -> bool {
        crate::guard::needs_key(self.path)
    }

    /// Whether it may answer with events.
    pub(crate) fn streams(&self) -> bool {
        matches!(self.body, Body::Fields { tables, .. } if tables.iter().copied().flatten().any(|field| field.name == "stream"))
    }

    /// The errors that it may answer with.
    pub(crate) fn errors(&self) -> Vec<u16> {
        let mut errors = vec![400, 401, 403];
        if !self.parameters().is_empty()
            || self.path.contains("gallery")
            || self.path.contains("search")
        {
            errors.extend([404, 410]);
        }
        if !matches!(self.body, Body::None) {
            errors.extend([404, 408, 413, 415, 429, 499, 500, 503, 504, 507]);
        }
        if self.path == "/readyz" {
            errors.push(503);
        }
        if self.method != "delete" {
            errors.push(500);
        }
        errors.push(405);
        errors.sort_unstable();
        errors.dedup();
        errors
    }
}
