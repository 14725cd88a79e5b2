//! `preprocessor_config.json`: the image encoder's preprocessing (transformers' `CLIPImageProcessor`, with its defaults).

use std::ops::RangeInclusive;

use files::json;
use images::preprocess::{CropRounding, Size};
use images::resize::Filter;
use images::{CLIP_MEAN, CLIP_STD, ImageProcessor};
use serde_json::{Map, Value, json};

/// The largest side that a config may ask for.
const LARGEST_SIDE: u64 = 8192;

/// Why a `preprocessor_config.json` is refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageProcessorError {
    /// The config is not JSON, or not an object.
    #[error("preprocessor_config.json cannot be read: {0}")]
    Json(#[from] files::json::JsonError),
    /// A field has a value that means nothing here.
    #[error("preprocessor_config.json: {field} is {value}, not {wanted}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values that it may have.
        wanted: &'static str,
    },
}

/// Reads the contents of `preprocessor_config.json`; fields that concern no pixels are ignored.
pub fn image_processor_config(bytes: &[u8]) -> Result<ImageProcessor, ImageProcessorError> {
    let config: Map<String, Value> = json::parse(bytes, json::CONFIGURATION)?;
    check_class(&config)?;
    let does = |field| match config.get(field) {
        None | Some(Value::Null | Value::Bool(true)) => Ok(true),
        Some(Value::Bool(false)) => Ok(false),
        Some(other) => Err(wrong(field, other, "true or false")),
    };
    let filter = match config.get("resample") {
        None | Some(Value::Null) => Filter::Bicubic,
        Some(value) if value.as_i64() == Some(3) => Filter::Bicubic,
        Some(value) if value.as_i64() == Some(2) => Filter::Bilinear,
        Some(other) => return Err(wrong("resample", other, "2 (bilinear) or 3 (bicubic)")),
    };
    let size = match config.get("size").filter(|value| !value.is_null()) {
        None => Size::ShortestEdge(224),
        Some(value) => sides("size", value)?,
    };
    let crop = match config.get("crop_size").filter(|value| !value.is_null()) {
        None => (224, 224),
        Some(value) => match (side(value), sides("crop_size", value)?) {
            (None, Size::ShortestEdge(_)) => return Err(wrong("crop_size", value, CROP)),
            (_, Size::ShortestEdge(edge)) => (edge, edge),
            (_, Size::Exact { width, height }) => (width, height),
        },
    };
    let factor = match config.get("rescale_factor").filter(|value| !value.is_null()) {
        None => 1.0 / 255.0,
        Some(value) => value
            .as_f64()
            .filter(|factor| (1e-6..=1e6).contains(factor))
            .ok_or_else(|| wrong("rescale_factor", value, "a number from 1e-6 to 1e6"))?,
    };
    let (mean, std) = (
        triple(&config, "image_mean", CLIP_MEAN, MEANS)?,
        triple(&config, "image_std", CLIP_STD, DEVIATIONS)?,
    );
    Ok(ImageProcessor {
        resize: does("do_resize")?.then_some((size, filter)),
        crop: does("do_center_crop")?.then_some(crop),
        crop_rounding: CropRounding::Down,
        rescale: does("do_rescale")?.then_some(factor),
        normalize: does("do_normalize")?.then_some((mean, std)),
    })
}

/// The `preprocessor_config.json` that [`image_processor_config`] reads as this.
pub fn image_processor_json(processor: &ImageProcessor) -> String {
    let mut config = json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": processor.resize.is_some(),
        "do_center_crop": processor.crop.is_some(),
        "do_rescale": processor.rescale.is_some(),
        "do_normalize": processor.normalize.is_some(),
    });
    if let Some((size, filter)) = processor.resize {
        config["size"] = match size {
            Size::ShortestEdge(edge) => json!({ "shortest_edge": edge }),
            Size::Exact { width, height } => json!({ "height": height, "width": width }),
        };
        config["resample"] = json!(if filter == Filter::Bicubic { 3 } else { 2 });
    }
    if let Some((width, height)) = processor.crop {
        config["crop_size"] = json!({ "height": height, "width": width });
    }
    if let Some(factor) = processor.rescale {
        config["rescale_factor"] = json!(factor);
    }
    if let Some((mean, std)) = processor.normalize {
        config["image_mean"] = json!(mean);
        config["image_std"] = json!(std);
    }
    format!("{config:#}\n")
}

/// The numbers that a field may have, and how a sentence says it.
type Bounds = (RangeInclusive<f64>, &'static str);

const MEANS: Bounds = (-1e3..=1e3, "three numbers from -1000 to 1000");
const DEVIATIONS: Bounds = (1e-3..=1e3, "three numbers from 0.001 to 1000");

const SIZE: &str = "a number of pixels from 1 to 8192, {\"shortest_edge\": ..} of such, or {\"height\": .., \"width\": ..}";
const CROP: &str = "a number of pixels from 1 to 8192, or {\"height\": .., \"width\": ..} of such";

/// Refuses the configuration of another class, whose defaults are others: publishers' older files say it otherwise.
fn check_class(config: &Map<String, Value>) -> Result<(), ImageProcessorError> {
    let clips = |value: &Value| value.as_str().is_some_and(|name| name.starts_with("CLIP"));
    for field in ["image_processor_type", "feature_extractor_type"] {
        match config.get(field) {
            Some(value) if !value.is_null() && !clips(value) => {
                return Err(wrong(field, value, "CLIPImageProcessor"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn wrong(field: &'static str, value: &Value, wanted: &'static str) -> ImageProcessorError {
    ImageProcessorError::Field { field, value: value.to_string(), wanted }
}

fn side(value: &Value) -> Option<u32> {
    value.as_u64().filter(|side| (1..=LARGEST_SIDE).contains(side)).map(|side| side as u32)
}

/// The shorter side, or both; nothing else may be said beside them.
fn sides(field: &'static str, value: &Value) -> Result<Size, ImageProcessorError> {
    let problem = || wrong(field, value, if field == "size" { SIZE } else { CROP });
    if let Some(edge) = side(value) {
        return Ok(Size::ShortestEdge(edge));
    }
    let fields = value.as_object().ok_or_else(problem)?;
    let named: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
    let named: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), side(value))).collect();
    match named[..] {
        [("shortest_edge", Some(edge))] => Ok(Size::ShortestEdge(edge)),
        [("height", Some(height)), ("width", Some(width))]
        | [("width", Some(width)), ("height", Some(height))] => Ok(Size::Exact { width, height }),
        _ => Err(problem()),
    }
}

fn triple(
    config: &Map<String, Value>,
    field: &'static str,
    default: [f64; 3],
    (range, wanted): Bounds,
) -> Result<[f64; 3], ImageProcessorError> {
    let Some(value) = config.get(field).filter(|value| !value.is_null()) else {
        return Ok(default);
    };
    let number = |value: &Value| value.as_f64().filter(|number| range.contains(number));
    let numbers: Option<Vec<f64>> =
        value.as_array().and_then(|list| list.iter().map(number).collect());
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| wrong(field, value, wanted))
}
