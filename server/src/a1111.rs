//! The part of A1111's web UI that chat clients speak: pictures of captions, edits, progress, and lists of one element.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use axum::{Json, response::IntoResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use images::png_text::find_text;
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::draw::CancelOnDrop;
use crate::draw_task::DrawTask;
use crate::error::ApiError;
use crate::form::Form;
use crate::guard::base;
use crate::job::{Phase, State as JobState};
use crate::models::Ability;
use crate::orders::order;
use crate::output::Output;
use crate::routes::{ApiResult, Server};

/// The name under which PNGs have A1111's own text.
const PARAMETERS: &str = "parameters";

pub(crate) fn router() -> Router<Arc<App>> {
    let none = || get(async || Json(json!([])));
    Router::new()
        .route("/sdapi/v1/txt2img", post(text_to_image))
        .route("/sdapi/v1/img2img", post(image_to_image))
        .route("/sdapi/v1/png-info", post(png_info))
        .route("/sdapi/v1/interrupt", post(interrupt))
        .route("/sdapi/v1/progress", get(progress))
        .route("/sdapi/v1/options", get(options).post(set_options))
        .route("/sdapi/v1/sd-models", get(models))
        .route(
            "/sdapi/v1/samplers",
            get(async || Json(json!([{ "name": "DDPM", "aliases": [], "options": {} }]))),
        )
        .route(
            "/sdapi/v1/schedulers",
            get(async || Json(json!([{ "name": "automatic", "label": "Automatic" }]))),
        )
        .route("/sdapi/v1/upscalers", get(async || Json(json!([{ "name": "None", "scale": 1 }]))))
        .route("/sdapi/v1/latent-upscale-modes", none())
        .route("/sdapi/v1/sd-vae", none())
        .route("/sdapi/v1/sd-modules", none())
}

/// The fields of our own route that a request's fields become. Those that every client sends whether it means them or not are
/// taken as far as the model takes them.
fn fields(app: &App, body: &Map<String, Value>, model: usize) -> Map<String, Value> {
    let info = &app.models[model].info;
    let mut fields = Map::new();
    let mut add = |name: &str, value: Value| _ = fields.insert(name.to_owned(), value);
    let number = |name: &str| body.get(name).and_then(Value::as_f64);
    add("model", info.name.as_str().into());
    if let Some(prompt) = body.get("prompt").filter(|prompt| prompt.as_str() != Some("")) {
        add("prompt", prompt.clone());
    }
    let negative = body.get("negative_prompt").filter(|_| info.takes_negative_captions);
    add("negative_prompt", negative.cloned().unwrap_or(Value::Null));
    let count = |name: &str| number(name).map_or(1.0, |count| count.max(1.0));
    add("n", json!((count("batch_size") * count("n_iter")) as i64));
    if let Some(seed) = number("seed").filter(|seed| *seed >= 0.0) {
        add("seed", json!(seed as i64));
    }
    if let Some(steps) = number("steps") {
        add("decoder_num_inference_steps", json!(steps as i64));
    }
    if let Some(scale) = number("cfg_scale") {
        add("decoder_guidance_scale", json!(scale));
    }
    if let (Some(width), Some(height)) = (number("width"), number("height")) {
        add("size", format!("{}x{}", width as i64, height as i64).into());
    }
    add("response_format", "b64_json".into());
    fields
}

/// The fields of a request, and the memory that they take.
async fn json_body(
    app: &App,
    request: Request,
) -> Result<(Map<String, Value>, Option<OwnedSemaphorePermit>), ApiError> {
    let form = Form::read(request, app.body_limits()).await?;
    Ok(form.into_object())
}

async fn text_to_image(State(app): Server, request: Request) -> ApiResult {
    app.check_room()?;
    let base = base(&app, request.headers());
    let (body, memory) = json_body(&app, request).await?;
    let model = app.a1111_model(Ability::Generations);
    let form = Form::of_object(fields(&app, &body, model), memory);
    draw(&app, DrawTask::Generations, form, base, body).await
}

/// With a mask an edit; without one variations, since pictures are not drawn from pictures on.
async fn image_to_image(State(app): Server, request: Request) -> ApiResult {
    app.check_room()?;
    let base = base(&app, request.headers());
    let (body, memory) = json_body(&app, request).await?;
    let first = body.get("init_images").and_then(|images| images.get(0));
    let image = first.and_then(Value::as_str).ok_or_else(|| {
        ApiError::invalid("init_images", "init_images is missing: a picture in base64 is wanted")
    })?;
    let image = decode_base64("init_images", image)?;
    let mask = body.get("mask").and_then(Value::as_str).filter(|mask| !mask.is_empty());
    let task = if mask.is_some() { DrawTask::Edits } else { DrawTask::Variations };
    let model = app.a1111_model(task.ability());
    let mut object = fields(&app, &body, model);
    object.remove("size");
    if task == DrawTask::Variations {
        object.retain(|name, _| name != "prompt" && name != "negative_prompt");
    }
    let mut form = Form::of_object(object, memory);
    form.add_file("image", image);
    if let Some(mask) = mask {
        form.add_file("mask", decode_base64("mask", mask)?);
    }
    draw(&app, task, form, base, body).await
}

async fn draw(
    app: &Arc<App>,
    task: DrawTask,
    form: Form,
    base: String,
    body: Map<String, Value>,
) -> ApiResult {
    let mut order = order(app, task, form, base, false).await?;
    order.job.task = "sdapi";
    let mut parameters = body;
    parameters.remove("init_images");
    parameters.remove("mask");
    let job = app.submit(order.job)?;
    // Clients ask for its progress again and again.
    job.add_viewer();
    let _cancel = CancelOnDrop::new(app, &job);
    let state = job.finished().await;
    // One that was interrupted answers with the pictures that are there.
    let outputs = match &state.phase {
        Phase::Failed(error) => return Err(error.clone()),
        _ => state.outputs(),
    };
    let images: Vec<String> = outputs.iter().map(|output| STANDARD.encode(&output.bytes)).collect();
    let info = info(&outputs, &parameters).to_string();
    Ok(Json(json!({ "images": images, "parameters": parameters, "info": info })).into_response())
}

/// A1111's information on pictures, which clients read out of a JSON text.
fn info(outputs: &[Output], parameters: &Map<String, Value>) -> Value {
    let seeds: Vec<u64> = outputs.iter().map(|output| output.seed).collect();
    let texts = outputs
        .iter()
        .map(|output| find_text(&output.bytes, PARAMETERS).ok().flatten().unwrap_or_default());
    let size = outputs.first().map_or((0, 0), |output| output.size);
    json!({
        "prompt": parameters.get("prompt"),
        "negative_prompt": parameters.get("negative_prompt"),
        "seed": seeds.first(),
        "all_seeds": seeds,
        "width": size.0,
        "height": size.1,
        "sampler_name": "DDPM",
        "steps": parameters.get("steps"),
        "cfg_scale": parameters.get("cfg_scale"),
        "batch_size": outputs.len(),
        "infotexts": texts.collect::<Vec<_>>(),
    })
}

/// The bytes of base64, with `data:image/png;base64,` before it or without.
fn decode_base64(name: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let data = match text.strip_prefix("data:") {
        Some(rest) => rest.split_once(',').map_or("", |(_, data)| data),
        None => text,
    };
    STANDARD
        .decode(data.trim())
        .map_err(|_| ApiError::invalid(name, format!("{name} is no base64")))
}

async fn png_info(State(app): Server, request: Request) -> ApiResult {
    let (body, _memory) = json_body(&app, request).await?;
    let image = body.get("image").and_then(Value::as_str).unwrap_or_default();
    let image = decode_base64("image", image)?;
    images::dimensions(&image, "image")
        .map_err(|error| ApiError::invalid("image", error.to_string()))?;
    let text = find_text(&image, PARAMETERS).ok().flatten().unwrap_or_default();
    Ok(Json(json!({ "info": text, "items": { PARAMETERS: text }, "parameters": {} }))
        .into_response())
}

async fn interrupt(State(app): Server) -> Json<Value> {
    let open = app.open_jobs().clone();
    open.iter().filter(|job| job.task == "sdapi").for_each(|job| app.end(job, Phase::Cancelled));
    Json(json!({}))
}

async fn progress(State(app): Server) -> ApiResult {
    let open = app.open_jobs().clone();
    let states: Vec<JobState> =
        open.iter().filter(|job| job.task == "sdapi").map(|job| job.state()).collect();
    let waiting = states.iter().filter(|state| !state.phase.is_final()).count();
    let running = states.into_iter().find(|state| matches!(state.phase, Phase::Running));
    let JobState { progress, previews, .. } = running.unwrap_or_default();
    let (done, steps) = progress.map_or((0, 0), |progress| (progress.done, progress.steps));
    let preview = previews.into_iter().flatten().next();
    let encoded = tokio::task::spawn_blocking(move || {
        let png = images::encode(&preview?.pixels, images::EncoderFormat::Png, &[]).ok()?;
        Some(STANDARD.encode(png))
    });
    let image = encoded.await.map_err(|_| ApiError::internal())?;
    Ok(Json(json!({
        "progress": if steps == 0 { 0.0 } else { done as f64 / steps as f64 },
        "eta_relative": 0.0,
        "state": {
            "job": "", "job_count": waiting, "job_no": 0, "sampling_step": done, "sampling_steps": steps,
            "interrupted": false, "skipped": false,
        },
        "current_image": image,
        "textinfo": null,
    }))
    .into_response())
}

async fn options(State(app): Server) -> Json<Value> {
    let model = &app.models[app.a1111_model(Ability::Generations)].info;
    Json(json!({ "sd_model_checkpoint": model.name, "samples_format": "png" }))
}

async fn set_options(State(app): Server, request: Request) -> ApiResult {
    let (body, _memory) = json_body(&app, request).await?;
    if let Some(name) = body.get("sd_model_checkpoint").and_then(Value::as_str) {
        let names: Vec<&str> = app.models.iter().map(|entry| &*entry.info.name).collect();
        let place = names.iter().position(|model| *model == name);
        let place = place.ok_or_else(|| ApiError::no_model(&files::text::excerpt(name), &names))?;
        app.choose_a1111_model(place);
    }
    Ok(Json(Value::Null).into_response())
}

async fn models(State(app): Server) -> Json<Value> {
    let models = app.models.iter().map(|entry| {
        let name = &entry.info.name;
        json!({ "title": name, "model_name": name, "hash": null, "sha256": null, "filename": name, "config": null })
    });
    Json(models.collect())
}
