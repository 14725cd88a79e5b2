//! Routes of CLIP alone: embeddings, classification, and search in the operator's folder.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipeline::zero_shot::{LOGIT_FACTOR, normalised, probabilities};
use pipeline::{Pipeline, Template, check_caption};
use serde_json::{Value, json};
use unclip::{Kind, Tensor};

use crate::app::App;
use crate::draw::{CancelOnDrop, answer};
use crate::draw_task::LONGEST_PROMPT;
use crate::error::ApiError;
use crate::fields::{Field, Kind as FieldKind, MOST_TEXTS, Values};
use crate::form::Form;
use crate::guard::base;
use crate::job::{Job, JobOrder};
use crate::models::Ability;
use crate::output::ResponseFormat;
use crate::uploads::Limits;
use crate::work::{Query, Question, SearchQuery, Work};

/// Texts that are embedded between two looks at whether somebody waits.
const CHUNK: usize = 16;

const MODEL: Field = Field::new(
    "model",
    FieldKind::Text(200),
    "The model's name, as /v1/models lists it; none means the first that can.",
);
const USER: Field = Field::new("user", FieldKind::Text(1000), "Who asks; nothing is made of it.");

pub(crate) const EMBEDDING: &[Field] = &[
    Field::new(
        "input",
        FieldKind::TextOrTexts(LONGEST_PROMPT),
        "The texts to embed, one or several.",
    ),
    Field::new("image", FieldKind::Image, "A picture to embed in the place of texts."),
    Field::new(
        "encoding_format",
        FieldKind::Choice(&["float", "base64"]),
        "Numbers, or the base64 of 32-bit floats.",
    ),
    Field::new("dimensions", FieldKind::Ignored, "Of OpenAI's; ignored."),
    MODEL,
    USER,
];

pub(crate) const CLASSIFICATION: &[Field] = &[
    Field::new("image", FieldKind::Image, "The picture.").required(),
    Field::new(
        "labels",
        FieldKind::Texts,
        "Two labels or more to choose among, each a field of its own, or with commas between.",
    )
    .required(),
    MODEL,
    USER,
];

pub(crate) const SEARCH: &[Field] = &[
    Field::new("query", FieldKind::Text(LONGEST_PROMPT), "What the pictures should show."),
    Field::new(
        "image",
        FieldKind::Image,
        "A picture that they should be like, in the place of words.",
    ),
    Field::new(
        "n",
        FieldKind::Integer(1, 256),
        "How many are found at most: 12 where it is absent.",
    ),
    MODEL,
    USER,
];

/// The embeddings of texts or of a picture, as OpenAI answers them: unit vectors of CLIP's common space.
pub(crate) async fn embed(app: Arc<App>, request: Request) -> Result<Response, ApiError> {
    let (values, model, base) = read(&app, request, EMBEDDING, Ability::Embeddings).await?;
    let (texts, image) = (values.texts("input").map(<[String]>::to_vec), values.image("image"));
    let is_base64 = values.text("encoding_format") == Some("base64");
    let name = app.models[model].info.name.clone();
    let work: Question = match (texts, image) {
        (Some(texts), None) => {
            if texts.len() > MOST_TEXTS {
                let message = format!(
                    "input has {} texts, and {MOST_TEXTS} at most are embedded at once",
                    texts.len()
                );
                return Err(ApiError::invalid("input", message));
            }
            for text in &texts {
                check_caption(text)
                    .map_err(|error| ApiError::invalid("input", format!("input: {error}")))?;
            }
            Box::new(move |pipeline: &Pipeline, job: &Job| {
                let embed = || {
                    pipeline.prepare_text_encoder()?;
                    in_chunks(&texts, job, |texts| pipeline.caption_embeddings(texts))
                };
                let embeddings = embed().map_err(|error| ApiError::of_pipeline(&error, &name))?;
                embeddings_json(&embeddings, is_base64, &name)
            })
        }
        (None, Some(bytes)) => {
            let image = decode(&app, bytes, "image").await?;
            Box::new(move |pipeline: &Pipeline, _: &Job| {
                let embed = || {
                    pipeline.prepare_image_encoder()?;
                    pipeline.encode_images(&[image])
                };
                let embedding = embed().map_err(|error| ApiError::of_pipeline(&error, &name))?;
                embeddings_json(&normalised(&embedding), is_base64, &name)
            })
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "input",
                "input and image are both given, and one is embedded",
            ));
        }
        (None, None) => {
            return Err(ApiError::invalid(
                "input",
                "input is missing: a text, several, or image with a picture",
            ));
        }
    };
    submit(&app, "embeddings", model, base, Work::Answer(work), &values).await
}

/// Which of some labels a picture shows (CLIP, 2103.00020, section 3.1).
pub(crate) async fn classify(app: Arc<App>, request: Request) -> Result<Response, ApiError> {
    let (values, model, base) =
        read(&app, request, CLASSIFICATION, Ability::Classifications).await?;
    let labels = labels(values.texts("labels").unwrap_or_default())?;
    let bytes = values.image("image").unwrap_or_default();
    let image = decode(&app, bytes, "image").await?;
    let name = app.models[model].info.name.clone();
    let work = Work::Answer(Box::new(move |pipeline: &Pipeline, job: &Job| {
        let classify = || {
            pipeline.prepare_clip()?;
            let embedding = normalised(&pipeline.encode_images(&[image])?); // [1, E]
            let templates = Template::defaults();
            let classes = |labels: &[String]| pipeline.class_embeddings(labels, &templates);
            let classes = in_chunks(&labels, job, classes)?; // [L, E]
            let factor = pipeline.logit_factor()?.unwrap_or(LOGIT_FACTOR);
            Ok(probabilities(&embedding, &classes, factor).squeeze_dim(0)) // [L]
        };
        let probabilities = classify().map_err(|error| ApiError::of_pipeline(&error, &name))?;
        let probabilities = numbers(&probabilities)?;
        let mut data: Vec<(f64, &String)> = probabilities.into_iter().zip(&labels).collect();
        data.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let data = data
            .into_iter()
            .map(|(probability, label)| json!({ "label": label, "probability": probability }));
        Ok(json!({ "data": data.collect::<Vec<_>>() }))
    }));
    submit(&app, "classifications", model, base, work, &values).await
}

/// The pictures in the operator's folder that are closest to a caption or a picture.
pub(crate) async fn search(app: Arc<App>, request: Request) -> Result<Response, ApiError> {
    if app.options.search.is_none() {
        return Err(ApiError::not_found(
            "this server searches no folder: its operator can name one",
        ));
    }
    let (values, model, base) = read(&app, request, SEARCH, Ability::Classifications).await?;
    let words = values.text("query").filter(|words| !words.trim().is_empty());
    let query = match (words, values.image("image")) {
        (Some(words), None) => {
            check_caption(words)
                .map_err(|error| ApiError::invalid("query", format!("query: {error}")))?;
            Query::Caption(words.to_owned())
        }
        (None, Some(bytes)) => Query::Image(decode(&app, bytes, "image").await?),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "query",
                "query and image are both given, and one is searched for",
            ));
        }
        (None, None) => {
            return Err(ApiError::invalid(
                "query",
                "query is missing: words, or image with a picture",
            ));
        }
    };
    let count = values.count("n").unwrap_or(12);
    let work = Work::Search(Box::new(SearchQuery { query, count }));
    submit(&app, "search", model, base, work, &values).await
}

/// The values of a request's fields, its model, and what addresses in its answer begin with.
async fn read(
    app: &Arc<App>,
    request: Request,
    fields: &'static [Field],
    ability: Ability,
) -> Result<(Values, usize, String), ApiError> {
    app.check_room()?;
    let base = base(app, request.headers());
    let form = Form::read(request, app.body_limits()).await?;
    let values = Values::read(form, &[fields], app.options.strict)?;
    let model = app.model(values.text("model"), ability)?;
    Ok((values, model, base))
}

async fn submit(
    app: &Arc<App>,
    task: &'static str,
    model: usize,
    base: String,
    work: Work,
    values: &Values,
) -> Result<Response, ApiError> {
    let response_format = ResponseFormat::default();
    let job =
        app.submit(JobOrder { task, model, images: 0, response_format, base, work, room: None })?;
    let _cancel = CancelOnDrop::new(app, &job);
    let mut response = answer(&job).await?;
    let remarks = crate::orders::Remarks {
        model: app.models[model].info.name.clone(),
        ignored: values.ignored.clone(),
        drawn_size: None,
        unknown_words: None,
    };
    crate::draw::add_remarks(response.headers_mut(), &remarks);
    Ok(response)
}

/// Decodes a picture beside the requests.
pub(crate) async fn decode(
    app: &Arc<App>,
    bytes: axum::body::Bytes,
    name: &'static str,
) -> Result<images::RgbImage, ApiError> {
    let _permit = app.decodes.acquire().await.map_err(|_| ApiError::draining())?;
    let limits = Limits { pixels: app.options.upload_pixels };
    let decoded = tokio::task::spawn_blocking(move || limits.decode(&bytes, name));
    decoded.await.map_err(|_| ApiError::internal())?
}

/// The rows that `embed` makes of texts, some at a time; it stops between two times where nobody waits for the job any more.
fn in_chunks(
    texts: &[String],
    job: &Job,
    mut embed: impl FnMut(&[String]) -> Result<Tensor, pipeline::Error>,
) -> Result<Tensor, pipeline::Error> {
    let mut rows = Vec::new();
    for texts in texts.chunks(CHUNK) {
        if job.is_over() {
            return Err(pipeline::Error::Stopped);
        }
        rows.push(embed(texts)?);
    }
    Ok(Tensor::cat(&rows, 0))
}

/// At least two labels, none of them empty or twice.
fn labels(labels: &[String]) -> Result<Vec<String>, ApiError> {
    let invalid = |message: String| ApiError::invalid("labels", message);
    if !(2..=MOST_TEXTS).contains(&labels.len()) {
        let count = match labels.len() {
            count if count > MOST_TEXTS => format!("more than {MOST_TEXTS}"),
            count => count.to_string(),
        };
        let message = format!("labels has {count}: 2 to {MOST_TEXTS} are chosen among");
        return Err(invalid(message));
    }
    let mut seen = HashSet::new();
    let mut trimmed = Vec::with_capacity(labels.len());
    for label in labels {
        let label = label.trim();
        if label.is_empty() {
            return Err(invalid("labels: one of them is empty".to_owned()));
        }
        check_caption(label).map_err(|error| invalid(format!("labels: {error}")))?;
        let shown = files::text::excerpt(label);
        if label.chars().count() > LONGEST_PROMPT {
            let message = format!("labels: {shown} has more than {LONGEST_PROMPT} characters");
            return Err(invalid(message));
        }
        if !seen.insert(label.to_lowercase()) {
            return Err(invalid(format!("labels: {shown} is there twice")));
        }
        trimmed.push(label.to_owned());
    }
    Ok(trimmed)
}

/// The numbers of a vector `[N]`.
fn numbers(vector: &Tensor) -> Result<Vec<f64>, ApiError> {
    let vector = vector.to_device(unclip::Device::Cpu).to_kind(Kind::Double);
    Vec::<f64>::try_from(vector).map_err(|_| ApiError::internal())
}

/// OpenAI's list of embeddings `[B, E]`.
fn embeddings_json(embeddings: &Tensor, is_base64: bool, model: &str) -> Result<Value, ApiError> {
    let mut data = Vec::new();
    for index in 0..embeddings.size()[0] {
        let numbers = numbers(&embeddings.get(index))?;
        let embedding: Value = match is_base64 {
            true => {
                let bytes: Vec<u8> =
                    numbers.iter().flat_map(|&number| (number as f32).to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            }
            false => numbers.into_iter().map(|number| number as f32).collect::<Vec<_>>().into(),
        };
        data.push(json!({ "object": "embedding", "index": index, "embedding": embedding }));
    }
    let usage = json!({ "prompt_tokens": 0, "total_tokens": 0 });
    Ok(json!({ "object": "list", "data": data, "model": model, "usage": usage }))
}
