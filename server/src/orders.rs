//! Orders: what the fields of a request for pictures ask for, as work for a model.

use std::sync::Arc;

use axum::body::Bytes;
use files::digest::sha256;
use images::{EncoderFormat, PaintMask, RgbImage, decode_alpha, decode_image};
use pipeline::text_diff::{EDIT_GUIDANCE_SCALE, STRENGTH};
use pipeline::{
    Edit, InterpolationEnd, Preset, Settings, SettingsOverrides, TimestepRespacing, check_caption,
};
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::ApiError;
use crate::fields::{Field, Kind, Values};
use crate::form::Form;
use crate::job::JobOrder;
use crate::models::{Ability, ModelInfo};
use crate::output::{FORMATS, ResponseFormat};
use crate::work::{Drawing, Finish, Previews, Source, Way, WayDrawing, Work};

/// The longest prompt, in characters: that of OpenAI's newest models. What the model's context cannot hold is cut off.
pub(crate) const LONGEST_PROMPT: usize = 32_000;

/// The largest size that is answered, in pixels a side.
const LARGEST_SIZE: u32 = 1024;

/// The largest seed: JSON's numbers are doubles.
const LARGEST_SEED: i64 = (1 << 53) - 1;

/// The most steps of a stage.
const MOST_STEPS: i64 = 1000;

/// The tasks that draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrawTask {
    Generations,
    Variations,
    Edits,
    Interpolations,
    TextEdits,
}

/// The fields of everything that draws.
const COMMON: &[Field] = &[
    Field::new(
        "model",
        Kind::Text(200),
        "The model's name, as /v1/models lists it; OpenAI's names and none mean the first that can.",
    ),
    Field::new(
        "size",
        Kind::Size(LARGEST_SIZE),
        "WIDTHxHEIGHT in pixels, or auto for the model's own; drawn at the model's nearest size and resized.",
    ),
    Field::new(
        "response_format",
        Kind::Choice(ResponseFormat::NAMES),
        "What of a picture is answered; both where it is absent.",
    ),
    Field::new(
        "output_format",
        Kind::Choice(&["png", "jpeg", "webp"]),
        "The format of the pictures: png where it is absent.",
    ),
    Field::new("user", Kind::Text(1000), "Who asks; nothing is made of it."),
    Field::new(
        "seed",
        Kind::Integer(0, LARGEST_SEED),
        "The first picture's seed, which fixes it; the next one's is one more. Random where it is absent.",
    ),
    Field::new(
        "preset",
        Kind::Choice(&["fast", "balanced", "quality"]),
        "How much time a picture may take: quality where it is absent.",
    ),
    Field::new(
        "decoder_num_inference_steps",
        Kind::Integer(1, MOST_STEPS),
        "Steps of the stage that draws the base image.",
    ),
    Field::new("num_inference_steps", Kind::Integer(1, MOST_STEPS), "The same by another name."),
    Field::new(
        "super_res_num_inference_steps",
        Kind::Integer(1, MOST_STEPS),
        "Steps of the stage that upsamples.",
    ),
    Field::new(
        "decoder_guidance_scale",
        Kind::Number(-1000.0, 1000.0),
        "How strongly caption and embedding pull.",
    ),
    Field::new("guidance_scale", Kind::Number(-1000.0, 1000.0), "The same by another name."),
    Field::new("quality", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("style", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("background", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("output_compression", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("moderation", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("input_fidelity", Kind::Ignored, "Of OpenAI's; ignored."),
];

/// The fields of several pictures of one request.
const SEVERAL: &[Field] = &[
    Field::new("n", Kind::Integer(1, i64::MAX), "How many pictures: 1 where it is absent."),
    Field::new(
        "candidates",
        Kind::Integer(1, 1000),
        "Base images of which CLIP chooses one, for each picture.",
    ),
    Field::new("stream", Kind::Switch, "Whether the pictures come as server-sent events."),
    Field::new("partial_images", Kind::Integer(0, 3), "Previews of each picture in the stream."),
];

/// The fields of a prior.
const PRIOR: &[Field] = &[
    Field::new("prior_num_inference_steps", Kind::Integer(1, MOST_STEPS), "Steps of the prior."),
    Field::new(
        "prior_guidance_scale",
        Kind::Number(-1000.0, 1000.0),
        "How strongly the caption pulls the prior.",
    ),
    Field::new(
        "prior_candidates",
        Kind::Integer(1, 1000),
        "Embeddings of which the one nearest the caption's is taken.",
    ),
    Field::new(
        "negative_prompt",
        Kind::Text(LONGEST_PROMPT),
        "What a picture should not show, for models that take it.",
    ),
];

const IMAGE: Field = Field::new("image", Kind::Image, "The picture: PNG, JPEG, WebP or GIF.");
const FRAMES: Field =
    Field::new("frames", Kind::Integer(1, i64::MAX), "How many frames, both ends included.");

const GENERATION: &[Field] =
    &[Field::new("prompt", Kind::Text(LONGEST_PROMPT), "The caption of the picture.").required()];
const VARIATION: &[Field] = &[IMAGE.required()];
const EDIT: &[Field] = &[
    IMAGE.required(),
    Field::new(
        "mask",
        Kind::Image,
        "Where to paint: its transparent pixels, or the white ones of one that has none; the picture's own transparent pixels where it is absent.",
    ),
    Field::new(
        "prompt",
        Kind::Text(LONGEST_PROMPT),
        "The caption of the whole picture as it shall be; without it what lies around the mask alone says what is painted.",
    ),
];
const INTERPOLATION: &[Field] = &[
    Field::new("image_a", Kind::Image, "The picture at which the way begins."),
    Field::new("image_b", Kind::Image, "The picture at which it ends."),
    Field::new(
        "prompt_a",
        Kind::Text(LONGEST_PROMPT),
        "The caption at which the way begins, in the place of a picture.",
    ),
    Field::new("prompt_b", Kind::Text(LONGEST_PROMPT), "The caption at which it ends."),
    FRAMES,
    Field::new(
        "shared_noise",
        Kind::Switch,
        "Whether all frames have the seed's noise, in the place of each picture's own, which inverting it finds.",
    ),
];
const TEXT_EDIT: &[Field] = &[
    IMAGE.required(),
    Field::new("from", Kind::Text(LONGEST_PROMPT), "The caption of the picture as it is.")
        .required(),
    Field::new("to", Kind::Text(LONGEST_PROMPT), "The caption that it should have.").required(),
    Field::new(
        "strength",
        Kind::Number(-10.0, 10.0),
        "How much of the difference of the captions is added to the embedding: 1 where it is absent.",
    ),
    FRAMES,
];

/// The fields of all of them, for a job, which may be any.
pub(crate) const JOB: &[&[Field]] =
    &[GENERATION, EDIT, INTERPOLATION, TEXT_EDIT, COMMON, SEVERAL, PRIOR];

impl DrawTask {
    pub(crate) const ALL: [Self; 5] =
        [Self::Generations, Self::Variations, Self::Edits, Self::Interpolations, Self::TextEdits];

    pub(crate) fn name(self) -> &'static str {
        self.ability().name()
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    pub(crate) fn ability(self) -> Ability {
        match self {
            Self::Generations => Ability::Generations,
            Self::Variations => Ability::Variations,
            Self::Edits => Ability::Edits,
            Self::Interpolations => Ability::Interpolations,
            Self::TextEdits => Ability::TextEdits,
        }
    }

    /// The fields of its route.
    pub(crate) const fn fields(self) -> &'static [&'static [Field]] {
        match self {
            Self::Generations => &[GENERATION, COMMON, SEVERAL, PRIOR],
            Self::Variations => &[VARIATION, COMMON, SEVERAL],
            Self::Edits => &[EDIT, COMMON, SEVERAL, PRIOR],
            Self::Interpolations => &[INTERPOLATION, COMMON, PRIOR],
            Self::TextEdits => &[TEXT_EDIT, COMMON],
        }
    }

    /// Whether its route streams.
    pub(crate) fn streams(self) -> bool {
        matches!(self, Self::Generations | Self::Edits | Self::Variations)
    }
}

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
}

/// Reads a form as an order; `base` is what addresses begin with.
pub(crate) async fn order(
    app: &Arc<App>,
    task: DrawTask,
    form: Form,
    base: String,
    streams: bool,
) -> Result<Order, ApiError> {
    let values = Values::read(form, task.fields(), app.options.strict)?;
    let model = app.model(values.text("model"), task.ability())?;
    let _permit = app.decodes.acquire().await.map_err(|_| ApiError::draining())?;
    let reading = Arc::clone(app);
    let stream = streams && values.switch("stream");
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
    Ok(Order {
        job: JobOrder { task: task.name(), model, images, response_format, base, work, room },
        stream,
        remarks: Remarks { model: info.name.clone(), ignored, drawn_size },
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
                caption.map_or(Ok(()), |caption| check("prompt", caption))?;
                (Source::Edit(Box::new(edit)), caption, self.finish("inpaint", caption, arguments))
            }
            _ => {
                check("prompt", prompt)?;
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
        check("from", from)?;
        check("to", to)?;
        let strength = values.number("strength").unwrap_or(STRENGTH);
        let scale = values.number("decoder_guidance_scale").or(values.number("guidance_scale"));
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

fn check(name: &str, caption: &str) -> Result<(), ApiError> {
    check_caption(caption).map_err(|error| ApiError::invalid(name, format!("{name}: {error}")))
}

fn missing(name: &str) -> ApiError {
    ApiError::invalid(name, format!("{name} is missing: a picture is wanted"))
}

fn negative_caption(values: &Values, info: &ModelInfo) -> Result<Option<String>, ApiError> {
    let caption = values.text("negative_prompt").filter(|caption| !caption.trim().is_empty());
    match caption {
        Some(_) if !info.takes_negative_captions => {
            let message = format!("the model {} takes no negative_prompt", info.name);
            Err(ApiError::invalid("negative_prompt", message))
        }
        Some(caption) => check("negative_prompt", caption).map(|()| Some(caption.to_owned())),
        None => Ok(None),
    }
}

/// The model's settings with the preset's and the request's own.
fn settings(values: &Values, info: &ModelInfo) -> Result<Settings, ApiError> {
    let preset = values
        .text("preset")
        .and_then(|name| Preset::ALL.into_iter().find(|preset| preset.name() == name));
    let settings = info.defaults.clone();
    let settings = preset.map_or(settings.clone(), |preset| preset.apply(settings, &info.defaults));
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
            values.count("decoder_num_inference_steps").or(values.count("num_inference_steps"));
        let scale = values.number("decoder_guidance_scale").or(values.number("guidance_scale"));
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

/// The bounds of pictures that are sent.
pub(crate) struct Limits {
    pub(crate) pixels: u64,
}

impl Limits {
    /// Decodes a picture. An error about the field `name`.
    pub(crate) fn decode(&self, bytes: &[u8], name: &str) -> Result<RgbImage, ApiError> {
        let invalid = |message: String| ApiError::invalid(name, message);
        let (width, height) =
            images::dimensions(bytes, name).map_err(|error| invalid(error.to_string()))?;
        let (pixels, most) = (u64::from(width) * u64::from(height), self.pixels);
        if pixels > most {
            return Err(invalid(format!(
                "{name} has {width} x {height} pixels: {most} at most are read"
            )));
        }
        Ok(decode_image(bytes, name).map_err(|error| invalid(error.to_string()))?.image)
    }

    /// The picture in a field, and the arguments that a record has of it.
    fn image(
        &self,
        values: &Values,
        name: &str,
    ) -> Result<(RgbImage, Map<String, Value>), ApiError> {
        let bytes = values.image(name).ok_or_else(|| missing(name))?;
        Ok((self.decode(&bytes, name)?, digest("image", &bytes)))
    }

    /// The picture and the pixels of it that are painted anew.
    fn edit(&self, values: &Values) -> Result<(Edit, Map<String, Value>), ApiError> {
        let bytes = values.image("image").ok_or_else(|| missing("image"))?;
        let image = self.decode(&bytes, "image")?;
        let mut arguments = digest("image", &bytes);
        let mask = match values.image("mask") {
            Some(mask) => {
                let pixels = self.decode(&mask, "mask")?;
                arguments.extend(digest("mask", &mask));
                let alpha = decode_alpha(&mask, "mask");
                let alpha = alpha.map_err(|error| ApiError::invalid("mask", error.to_string()))?;
                alpha.map_or_else(
                    || PaintMask::of_brightness(&pixels),
                    |alpha| PaintMask::of_alpha(&alpha),
                )
            }
            None => {
                let alpha = decode_alpha(&bytes, "image");
                let alpha = alpha.map_err(|error| ApiError::invalid("image", error.to_string()))?;
                let nowhere = "image has no transparent pixels and there is no mask, so nothing says where to paint";
                PaintMask::of_alpha(&alpha.ok_or_else(|| ApiError::invalid("mask", nowhere))?)
            }
        };
        let (width, height) = image.dimensions();
        let mask = match mask.dimensions() == (width, height) {
            true => mask,
            false => mask.resize(width, height),
        };
        if mask.count() == 0 {
            let message = "the mask paints nothing: its transparent pixels are painted, or where it has none its white ones";
            return Err(ApiError::invalid("mask", message));
        }
        let edit =
            Edit::new(image, mask).map_err(|error| ApiError::invalid("mask", error.to_string()))?;
        Ok((edit, arguments))
    }

    /// Refuses more pixels of edited pictures than a picture that is sent may have.
    fn check_edits(&self, edit: &Edit, count: usize) -> Result<(), ApiError> {
        let (width, height) = edit.mask().dimensions();
        let most = self.pixels / (u64::from(width) * u64::from(height)).max(1);
        match count as u64 <= most.max(1) {
            true => Ok(()),
            false => {
                let message = format!(
                    "n is {count}: of a picture with {width} x {height} pixels {most} are painted at most for a request"
                );
                Err(ApiError::invalid("n", message))
            }
        }
    }

    /// An end of a way: `image_a` or `prompt_a`, say.
    fn end(
        &self,
        values: &Values,
        letter: &str,
        argument: &str,
        arguments: &mut Map<String, Value>,
    ) -> Result<InterpolationEnd, ApiError> {
        let (image, prompt) = (format!("image_{letter}"), format!("prompt_{letter}"));
        let caption = values.text(&prompt).filter(|caption| !caption.trim().is_empty());
        match (values.image(&image), caption) {
            (Some(bytes), None) => {
                arguments.insert(format!("{argument}_sha256"), sha256(&bytes).into());
                Ok(InterpolationEnd::Image(self.decode(&bytes, &image)?))
            }
            (None, Some(caption)) => {
                check(&prompt, caption)?;
                arguments.insert(argument.to_owned(), caption.into());
                Ok(InterpolationEnd::Caption(caption.to_owned()))
            }
            (Some(_), Some(_)) => {
                let message =
                    format!("{image} and {prompt} are both given, and the way has one end there");
                Err(ApiError::invalid(&prompt, message))
            }
            (None, None) => {
                let message = format!(
                    "{image} is missing: a picture, or {prompt} with a caption, is an end of the way"
                );
                Err(ApiError::invalid(&image, message))
            }
        }
    }
}

/// The arguments in a record that tell a picture's bytes.
fn digest(name: &str, bytes: &Bytes) -> Map<String, Value> {
    Map::from_iter([(format!("{name}_sha256"), sha256(bytes).into())])
}
