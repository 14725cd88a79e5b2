//! Pictures as they are answered: resized, encoded, and as JSON.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use images::resize::{Filter, resize, resize_reducing};
use images::{EncoderFormat, RgbImage};
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::shelf::Id;
use crate::uploads::Limits;

/// A picture of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) id: Id,
    pub(crate) bytes: Bytes,
    pub(crate) format: EncoderFormat,
    pub(crate) size: (u32, u32),
    pub(crate) seed: u64,
    /// The place of a frame on its way, from 0 to 1.
    pub(crate) t: Option<f64>,
    /// Whether it is under an address.
    pub(crate) has_address: bool,
}

/// The part of a picture that is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    /// Its bytes and its address: clients of one kind read these, those of another kind those.
    #[default]
    Both,
    Base64,
    Url,
}

impl ResponseFormat {
    pub(crate) const NAMES: &'static [&'static str] = &["url", "b64_json"];

    pub(crate) fn of(name: Option<&str>) -> Self {
        match name {
            None => Self::Both,
            Some("url") => Self::Url,
            Some(_) => Self::Base64,
        }
    }
}

/// A format's name in requests, and its media type.
pub(crate) const FORMATS: [(EncoderFormat, &str, &str); 3] = [
    (EncoderFormat::Png, "png", "image/png"),
    (EncoderFormat::Jpeg, "jpeg", "image/jpeg"),
    (EncoderFormat::WebP, "webp", "image/webp"),
];

pub(crate) fn format_name(format: EncoderFormat) -> &'static str {
    FORMATS.iter().find(|(one, ..)| *one == format).expect("all are there").1
}

pub(crate) fn media_type(format: EncoderFormat) -> &'static str {
    FORMATS.iter().find(|(one, ..)| *one == format).expect("all are there").2
}

/// An image of the size that was asked for: cut to its form around the middle, and enlarged or reduced.
pub(crate) fn to_size(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let (columns, rows) = image.dimensions();
    if (columns, rows) == (width, height) {
        return image.clone();
    }
    let scale = (f64::from(columns) / f64::from(width)).min(f64::from(rows) / f64::from(height));
    let side = |wanted: u32, most: u32| ((f64::from(wanted) * scale).round() as u32).clamp(1, most);
    let cut = (side(width, columns), side(height, rows));
    let (x, y) = (i64::from(columns - cut.0) / 2, i64::from(rows - cut.1) / 2);
    let cut = images::canvas::crop(image, images::Rect { x, y, width: cut.0, height: cut.1 });
    resize(&cut, width, height, Filter::Bicubic)
}

/// The longer side of a small image in pixels: twice that of the page's cards, for dense screens.
const THUMBNAIL_SIDE: u32 = 320;

/// A small JPEG of an image's file. An error where it cannot be read.
pub(crate) fn thumbnail(bytes: &[u8], limits: &Limits) -> Result<Bytes, ApiError> {
    let image = limits.decode(bytes, "image")?;
    let (width, height) = image.dimensions();
    let scale = f64::from(THUMBNAIL_SIDE) / f64::from(width.max(height));
    if scale >= 1.0 {
        return encode(&image, EncoderFormat::Jpeg, &[]);
    }
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small = resize_reducing(&image, side(width), side(height), Filter::Bicubic);
    encode(&small, EncoderFormat::Jpeg, &[])
}

/// The bytes of an image's file. An error where the machine has no memory for it.
pub(crate) fn encode(
    image: &RgbImage,
    format: EncoderFormat,
    texts: &[(&str, String)],
) -> Result<Bytes, ApiError> {
    images::encode(image, format, texts).map(Bytes::from).map_err(|error| {
        tracing::error!("cannot encode a picture: {error}");
        ApiError::internal()
    })
}

/// The media type of a picture's file, by its first bytes.
pub(crate) fn media_type_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// A picture as JSON; `base` is what its address begins with.
pub(crate) fn datum(
    output: &Output,
    response_format: ResponseFormat,
    base: &str,
) -> Map<String, Value> {
    let mut datum = Map::new();
    if response_format != ResponseFormat::Url || !output.has_address {
        datum.insert("b64_json".to_owned(), STANDARD.encode(&output.bytes).into());
    }
    if output.has_address {
        let url = format!("{base}/v1/files/{}.{}", output.id, format_name(output.format));
        datum.insert("url".to_owned(), url.into());
    }
    datum.insert("seed".to_owned(), output.seed.into());
    if let Some(t) = output.t {
        datum.insert("t".to_owned(), t.into());
    }
    datum
}

/// OpenAI's answer of pictures.
pub(crate) fn images_response(
    outputs: &[Output],
    created: u64,
    response_format: ResponseFormat,
    base: &str,
) -> Value {
    let data: Vec<Value> =
        outputs.iter().map(|output| Value::Object(datum(output, response_format, base))).collect();
    let mut answer = json!({ "created": created, "data": data });
    if let Some(first) = outputs.first() {
        answer["output_format"] = format_name(first.format).into();
        answer["size"] = format!("{}x{}", first.size.0, first.size.1).into();
    }
    answer
}
