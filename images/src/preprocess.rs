//! Image preprocessing for CLIP's image encoder: resize, centre crop, rescale, normalise.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use files::json;
use image::{Rgb, RgbImage};
use ndarray::Array4;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::resize::{Filter, resize};

/// The mean of CLIP's training pictures: red, green, blue.
pub const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
/// The standard deviation of CLIP's training pictures: red, green, blue.
pub const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// The largest side that a config may ask for.
const LARGEST_SIDE: u64 = 8192;
/// The most pixels that an image may have after resizing, before cropping.
const MOST_PIXELS: u64 = 1 << 26;

/// Why images were not preprocessed.
#[derive(Debug, Error)]
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
    /// An image without pixels, or one so long that resizing it would fill the memory.
    #[error("a picture of {0}x{1} pixels cannot be resized for the image encoder")]
    Unresizable(u32, u32),
    /// Images of two sizes, which do not fit into one batch.
    #[error(
        "pictures of {0}x{1} and {2}x{3} pixels do not fit into one batch, and preprocessor_config.json crops none"
    )]
    MixedSizes(u32, u32, u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    ShortestEdge(u32),
    Exact { width: u32, height: u32 },
}

/// CLIP's image preprocessing, as `preprocessor_config.json` describes it (names and defaults of transformers'
/// `CLIPImageProcessor`).
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    resize: Option<(Size, Filter)>,
    crop: Option<(u32, u32)>,
    rescale: Option<f64>,
    normalise: Option<([f64; 3], [f64; 3])>,
}

impl ImageProcessor {
    /// Reads the contents of `preprocessor_config.json`; fields that concern no pixels are ignored.
    pub fn from_config(bytes: &[u8]) -> Result<Self, ImageProcessorError> {
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
        Ok(Self {
            resize: does("do_resize")?.then_some((size, filter)),
            crop: does("do_center_crop")?.then_some(crop),
            rescale: does("do_rescale")?.then_some(factor),
            normalise: does("do_normalize")?.then_some((mean, std)),
        })
    }

    /// CLIP's own preprocessing for an encoder of square images.
    pub fn clip(size: u32) -> Self {
        Self {
            resize: Some((Size::ShortestEdge(size), Filter::Bicubic)),
            crop: Some((size, size)),
            rescale: Some(1.0 / 255.0),
            normalise: Some((CLIP_MEAN, CLIP_STD)),
        }
    }

    /// The centre of an image as a square of values from -1 to 1, as decoders take it.
    pub fn signed(size: u32) -> Self {
        Self { normalise: Some(([0.5; 3], [0.5; 3])), ..Self::clip(size) }
    }

    /// The `preprocessor_config.json` that [`ImageProcessor::from_config`] reads as this.
    pub fn to_config(&self) -> String {
        let mut config = json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": true,
            "do_resize": self.resize.is_some(),
            "do_center_crop": self.crop.is_some(),
            "do_rescale": self.rescale.is_some(),
            "do_normalize": self.normalise.is_some(),
        });
        if let Some((size, filter)) = self.resize {
            config["size"] = match size {
                Size::ShortestEdge(edge) => json!({ "shortest_edge": edge }),
                Size::Exact { width, height } => json!({ "height": height, "width": width }),
            };
            config["resample"] = json!(if filter == Filter::Bicubic { 3 } else { 2 });
        }
        if let Some((width, height)) = self.crop {
            config["crop_size"] = json!({ "height": height, "width": width });
        }
        if let Some(factor) = self.rescale {
            config["rescale_factor"] = json!(factor);
        }
        if let Some((mean, std)) = self.normalise {
            config["image_mean"] = json!(mean);
            config["image_std"] = json!(std);
        }
        format!("{config:#}\n")
    }

    /// Width and height of every preprocessed image, where they do not depend on the image.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        self.crop.or(match self.resize {
            Some((Size::Exact { width, height }, _)) => Some((width, height)),
            _ => None,
        })
    }

    /// Images `[B] ->` pixels `[B, 3, H, W]`. Refuses images that cannot be resized, and sizes that do not fit into one
    /// batch.
    pub fn preprocess(&self, images: &[RgbImage]) -> Result<Array4<f32>, ImageProcessorError> {
        let tables = self.lookup_tables();
        let mut pixels: Vec<f32> = Vec::new();
        let mut first = None;
        for image in images {
            let image = self.resize_and_crop(image)?;
            let (width, height) = image.dimensions();
            let (first_width, first_height) = *first.get_or_insert((width, height));
            if (width, height) != (first_width, first_height) {
                return Err(ImageProcessorError::MixedSizes(
                    first_width,
                    first_height,
                    width,
                    height,
                ));
            }
            for (channel, table) in tables.iter().enumerate() {
                pixels.extend(image.pixels().map(|pixel| table[usize::from(pixel[channel])]));
            }
        }
        let (width, height) = first.or(self.output_size()).unwrap_or_default();
        let shape = (images.len(), 3, height as usize, width as usize);
        Ok(Array4::from_shape_vec(shape, pixels).expect("three planes an image"))
    }

    fn resize_and_crop<'a>(
        &self,
        image: &'a RgbImage,
    ) -> Result<Cow<'a, RgbImage>, ImageProcessorError> {
        let (width, height) = image.dimensions();
        let unresizable = || ImageProcessorError::Unresizable(width, height);
        if width == 0 || height == 0 {
            return Err(unresizable());
        }
        let resized = match self.resize {
            None => Cow::Borrowed(image),
            Some((size, filter)) => {
                let (new_width, new_height) = match size {
                    Size::Exact { width, height } => (u64::from(width), u64::from(height)),
                    Size::ShortestEdge(edge) if width <= height => {
                        (u64::from(edge), longer(edge, width, height))
                    }
                    Size::ShortestEdge(edge) => (longer(edge, height, width), u64::from(edge)),
                };
                if new_width * new_height.max(u64::from(height)) > MOST_PIXELS {
                    return Err(unresizable());
                }
                Cow::Owned(resize(image, new_width as u32, new_height as u32, filter))
            }
        };
        Ok(match self.crop {
            None => resized,
            Some((width, height)) => Cow::Owned(center_crop(&resized, width, height)),
        })
    }

    /// The value of each level of each channel, rescaled in f64 and normalised in f32 as the reference does.
    fn lookup_tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| {
            std::array::from_fn(|level| {
                let value =
                    self.rescale.map_or(level as f32, |factor| (level as f64 * factor) as f32);
                self.normalise.map_or(value, |(mean, std)| {
                    (value - mean[channel] as f32) / std[channel] as f32
                })
            })
        })
    }
}

/// The longer side when the shorter one becomes `edge`, rounded down.
fn longer(edge: u32, short: u32, long: u32) -> u64 {
    u64::from(edge) * u64::from(long) / u64::from(short)
}

/// The centre of an image, black where it is too small.
fn center_crop(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (old_width, old_height) = image.dimensions();
    // Cutting rounds down what is left off before the middle; filling rounds up what is put there.
    let offset = |old: u32, new: u32| (i64::from(old) - i64::from(new)).div_euclid(2);
    let (left, top) = (offset(old_width, width), offset(old_height, height));
    RgbImage::from_fn(width, height, |x, y| {
        let inside =
            |place: i64, size: u32| u32::try_from(place).ok().filter(|place| *place < size);
        match (inside(left + i64::from(x), old_width), inside(top + i64::from(y), old_height)) {
            (Some(x), Some(y)) => *image.get_pixel(x, y),
            _ => Rgb([0; 3]),
        }
    })
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
