//! Orders: what the fields of a request for pictures ask for, as work for a model.

use std::sync::Arc;

use images::EncoderFormat;
use pipeline::text_diff::{EDIT_GUIDANCE_SCALE, STRENGTH};
use pipeline::{InterpolationEnd, Preset, Settings, SettingsOverrides, TimestepRespacing};
use serde_json::{Map, Value};

use crate::app::App;
use crate::draw_task::DrawTask;
use crate::error::ApiError;
use crate::fields::Values;
use crate::form::Form;
use crate::job::JobOrder;
use crate::models::{Ability, ModelInfo};
use crate::output::{FORMATS, ResponseFormat};
use crate::uploads::{Limits, check_text};
use crate::work::{Drawing, Finish, Previews, Source, Way, WayDrawing, Work};

/// The fields that have captions.
const CAPTIONS: [&str; 4] = ["prompt", "negative_prompt", "prompt_a", "prompt_b"];

/// A request for pictures that can be drawn.
pub(crate) struct Order {
    pub(crate) job: JobOrder,
    pub(crate) stream: bool,
    /// The answer's headers.
    pub(crate) remarks: Remarks,
}

/// The words of an answer beside its pictures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remarks {
    pub(crate) model: String,
    /// The fields that nothing was made of.
    pub(crate) ignored: Vec<String>,
    /// The size that was drawn, where another was asked for.
    pub(crate) drawn_size: Option<String>,
    /// The words of captions that the model was trained on none with, each with the nearest that it was.
    pub(crate) unknown_words: Option<String>,
}

/// Reads a form as an order; `base` is what addresses begin with.
pub(crate) async fn order(
    app: &Arc<App>,
    task: DrawTask,
    form: Form,
    base: String,
    streams: bool,
) -> Result<Order, ApiError> {
    let mut values = Values::read(form, task.fields(), app.options.strict)?;
    let model = app.model(values.text("model"), task.ability())?;
    let _permit = app.decodes.acquire().await.map_err(|_| ApiError::draining())?;
    let reading = Arc::clone(app);
    if !streams {
        values.ignore(&["stream", "partial_images"]);
    }
    let stream = values.switch("stream");
    let read =
        tokio::task::spawn_blocking(move || read(&reading, task, &values, model, base, stream));
    read.await.map_err(|_| ApiError::internal())?
}

/// Decodes the pictures and makes the work.
fn read(
    app: &App,
    task: DrawTask,
    values: &Values,
    model: usize,
    base: String,
    stream: bool,
) -> Result<Order, ApiError> {
    let info = &app.models[model].info;
    let mut settings = settings(values, info)?;
    let size = values.size("size");
    let drawn_size = drawn_size(task, size, info, &mut settings, app.options.strict)?;
    let limits = Limits { pixels: app.options.upload_pixels };
    let reader = OrderReader { values, info, limits, size, stream };
    let seed = values.count("seed").map_or_else(random_seed, |seed| seed as u64);
    let (images, work) = match task {
        DrawTask::Generations | DrawTask::Variations | DrawTask::Edits => {
            let count = count(values, "n", 1, app.options.most_images)?;
            let seeds = (0..count as u64).map(|n| seed + n).collect();
            (count, Work::Draw(Box::new(reader.drawing(task, settings, seeds)?)))
        }
        DrawTask::Interpolations | DrawTask::TextEdits => {
            let default = if task == DrawTask::Interpolations { 5 } else { 1 };
            let frames = count(values, "frames", default, app.options.most_frames)?;
            let (way, finish) = reader.way(task)?;
            (frames, Work::DrawWay(Box::new(WayDrawing { way, frames, seed, settings, finish })))
        }
    };
    let pixels = work.pixels();
    let room = (pixels > 0).then(|| app.take_room(pixels)).transpose()?;
    let response_format = ResponseFormat::of(values.text("response_format"));
    let ignored = values.ignored.clone();
    let captions = CAPTIONS.iter().filter_map(|field| values.text(field));
    let unknown_words = info.unknown_words(&captions.collect::<Vec<_>>());
    Ok(Order {
        job: JobOrder { task: task.name(), model, images, response_format, base, work, room },
        stream,
        remarks: Remarks { model: info.name.clone(), ignored, drawn_size, unknown_words },
    })
}

/// Makes work of a request's values.
struct OrderReader<'a> {
    values: &'a Values,
    info: &'a ModelInfo,
    limits: Limits,
    size: Option<(u32, u32)>,
    stream: bool,
}

impl OrderReader<'_> {
    fn finish(
        &self,
        command: &'static str,
        caption: Option<&str>,
        arguments: Map<String, Value>,
    ) -> Finish {
        let format = format(self.values);
        Finish { size: self.size, format, command, caption: caption.map(str::to_owned), arguments }
    }

    /// Pictures that are drawn apart from each other.
    fn drawing(
        &self,
        task: DrawTask,
        settings: Settings,
        seeds: Vec<u64>,
    ) -> Result<Drawing, ApiError> {
        let values = self.values;
        let negative_caption = negative_caption(values, self.info)?;
        let prompt = values.text("prompt").unwrap_or_default();
        let previews = match self.stream {
            true => Previews::Count(values.count("partial_images").unwrap_or(0)),
            false => Previews::Live,
        };
        let (source, caption, finish) = match task {
            DrawTask::Variations => {
                let (image, arguments) = self.limits.image(values, "image")?;
                (Source::Image(image), None, self.finish("variations", None, arguments))
            }
            DrawTask::Edits => {
                let (edit, arguments) = self.limits.edit(values)?;
                self.limits.check_edits(&edit, seeds.len())?;
                let caption = Some(prompt).filter(|prompt| !prompt.trim().is_empty());
                caption.map_or(Ok(()), |caption| check_text("prompt", caption))?;
                (Source::Edit(Box::new(edit)), caption, self.finish("inpaint", caption, arguments))
            }
            _ => {
                check_text("prompt", prompt)?;
                (Source::Caption, Some(prompt), self.finish("generate", Some(prompt), Map::new()))
            }
        };
        let settings = match source {
            Source::Image(_) => settings.without_prior(),
            _ => settings,
        };
        let caption = caption.unwrap_or_default().to_owned();
        Ok(Drawing { source, caption, negative_caption, seeds, settings, previews, finish })
    }

    /// A way, and how its frames become files.
    fn way(&self, task: DrawTask) -> Result<(Way, Finish), ApiError> {
        let values = self.values;
        if task == DrawTask::Interpolations {
            let mut arguments = Map::new();
            let mut end =
                |letter: &str, name: &str| self.limits.end(values, letter, name, &mut arguments);
            let ends = [end("a", "from")?, end("b", "to")?];
            let shared_noise = values.switch("shared_noise");
            arguments.insert("shared_noise".to_owned(), shared_noise.into());
            let is_caption = |end: &InterpolationEnd| matches!(end, InterpolationEnd::Caption(_));
            if ends.iter().any(is_caption) && !self.info.can(Ability::Generations) {
                let name = &self.info.name;
                let message = format!(
                    "the model {name} reads no captions, and prompt_a and prompt_b are ones"
                );
                return Err(ApiError::invalid("model", message));
            }
            let finish = self.finish("interpolate", None, arguments);
            return Ok((Way::Interpolation { ends, shared_noise }, finish));
        }
        let (image, mut arguments) = self.limits.image(values, "image")?;
        let [from, to] = ["from", "to"].map(|name| values.text(name).unwrap_or_default());
        check_text("from", from)?;
        check_text("to", to)?;
        let strength = values.number("strength").unwrap_or(STRENGTH);
        let scale = values.either("decoder_guidance_scale", "guidance_scale", Values::number)?;
        let guidance_scale = scale.unwrap_or(EDIT_GUIDANCE_SCALE);
        arguments.insert("from".to_owned(), from.into());
        arguments.insert("strength".to_owned(), strength.into());
        let finish = self.finish("edit", Some(to), arguments);
        let (from, to) = (from.to_owned(), to.to_owned());
        Ok((Way::TextDiff { image, from, to, strength, guidance_scale }, finish))
    }
}

/// A count within the operator's bound.
fn count(values: &Values, name: &str, default: usize, most: usize) -> Result<usize, ApiError> {
    match values.count(name).unwrap_or(default) {
        count if count <= most => Ok(count),
        count => Err(ApiError::invalid(
            name,
            format!("{name} is {count}: this server draws 1 to {most} for a request"),
        )),
    }
}

/// torch's generator reads the lower 32 bits only.
fn random_seed() -> u64 {
    getrandom::u32().map_or(0, u64::from)
}

fn format(values: &Values) -> EncoderFormat {
    let named = values.text("output_format");
    let format = FORMATS.iter().find(|(_, name, _)| Some(*name) == named);
    format.map_or(EncoderFormat::Png, |(format, ..)| *format)
}

fn negative_caption(values: &Values, info: &ModelInfo) -> Result<Option<String>, ApiError> {
    let caption = values.text("negative_prompt").filter(|caption| !caption.trim().is_empty());
    match caption {
        Some(_) if !info.takes_negative_captions => {
            let message = format!("the model {} takes no negative_prompt", info.name);
            Err(ApiError::invalid("negative_prompt", message))
        }
        Some(caption) => check_text("negative_prompt", caption).map(|()| Some(caption.to_owned())),
        None => Ok(None),
    }
}

/// The model's settings with the preset's and the request's own.
fn settings(values: &Values, info: &ModelInfo) -> Result<Settings, ApiError> {
    let preset = values
        .text("preset")
        .and_then(|name| Preset::ALL.into_iter().find(|preset| preset.name() == name));
    let settings = info.defaults.clone();
    let settings = match preset {
        Some(preset) => preset.apply(settings, &info.defaults, &info.students),
        None => settings,
    };
    let mut overrides = SettingsOverrides {
        prior_steps: values.count("prior_num_inference_steps"),
        prior_guidance_scale: values.number("prior_guidance_scale"),
        prior_candidates: values.count("prior_candidates"),
        candidates: values.count("candidates"),
        ..SettingsOverrides::default()
    };
    let stage = |n: usize| info.defaults.stages.get(n).map(|stage| stage.name.as_str());
    if let Some(base) = stage(0) {
        let steps =
            values.either("decoder_num_inference_steps", "num_inference_steps", Values::count)?;
        let scale = values.either("decoder_guidance_scale", "guidance_scale", Values::number)?;
        overrides = overrides
            .with_steps(base, steps.map(TimestepRespacing::Count))
            .with_guidance_scale(base, scale);
    }
    let upsampler_steps = values.count("super_res_num_inference_steps");
    match (stage(1), upsampler_steps) {
        (Some(upsampler), steps) => {
            overrides = overrides.with_steps(upsampler, steps.map(TimestepRespacing::Count))
        }
        (None, Some(_)) => {
            let message = format!("the model {} does not upsample", info.name);
            return Err(ApiError::invalid("super_res_num_inference_steps", message));
        }
        (None, None) => {}
    }
    overrides.apply(settings).map_err(|error| ApiError::of_pipeline(&error, &info.name))
}

/// The size that is drawn where another is asked for, in words; the settings get it where a model draws several.
fn drawn_size(
    task: DrawTask,
    size: Option<(u32, u32)>,
    info: &ModelInfo,
    settings: &mut Settings,
    strict: bool,
) -> Result<Option<String>, ApiError> {
    // An edit's picture has its own size, which is resized where another is asked for.
    let Some(asked) = size.filter(|_| task != DrawTask::Edits) else {
        return Ok(None);
    };
    let drawn = match info.nearest_size(asked) {
        Some((width, height)) => {
            (settings.width, settings.height) = (Some(width), Some(height));
            (width, height)
        }
        None => (info.side, info.side),
    };
    match (drawn == asked, strict) {
        (true, _) => Ok(None),
        (false, true) => {
            let message = format!(
                "size is {}x{}, and the model {} draws {}x{}",
                asked.0, asked.1, info.name, drawn.0, drawn.1
            );
            Err(ApiError::invalid("size", message))
        }
        (false, false) => Ok(Some(format!("{}x{}", drawn.0, drawn.1))),
    }
}
