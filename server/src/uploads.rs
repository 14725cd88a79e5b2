//! Uploads: pictures and masks that requests bring, within bounds, and what a record says of them.

use axum::body::Bytes;
use files::digest::sha256;
use images::{PaintMask, RgbImage, decode_alpha, decode_image};
use pipeline::{Edit, InterpolationEnd, check_caption};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::fields::Values;

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
    pub(crate) fn image(
        &self,
        values: &Values,
        name: &str,
    ) -> Result<(RgbImage, Map<String, Value>), ApiError> {
        let bytes = values.image(name).ok_or_else(|| missing(name))?;
        Ok((self.decode(&bytes, name)?, digest("image", &bytes)))
    }

    /// The picture and the pixels of it that are painted anew.
    pub(crate) fn edit(&self, values: &Values) -> Result<(Edit, Map<String, Value>), ApiError> {
        let bytes = values.image("image").ok_or_else(|| missing("image"))?;
        let image = self.decode(&bytes, "image")?;
        let mut arguments = digest("image", &bytes);
        let mask = match values.image("mask") {
            Some(mask) => {
                let pixels = self.decode(&mask, "mask")?;
                arguments.extend(digest("mask", &mask));
                let read = PaintMask::of_file(&mask, &pixels, "mask");
                read.map_err(|error| ApiError::invalid("mask", error.to_string()))?.0
            }
            None => {
                let alpha = decode_alpha(&bytes, "image");
                let alpha = alpha.map_err(|error| ApiError::invalid("image", error.to_string()))?;
                let nowhere = "image has no transparent pixels and there is no mask, so nothing says where to paint";
                PaintMask::of_alpha(&alpha.ok_or_else(|| ApiError::invalid("mask", nowhere))?)
            }
        };
        let (width, height) = image.dimensions();
        let mask = mask.resize(width, height);
        if mask.count() == 0 {
            let message = "the mask paints nothing: its transparent pixels are painted, or where it has none its white ones";
            return Err(ApiError::invalid("mask", message));
        }
        let edit =
            Edit::new(image, mask).map_err(|error| ApiError::invalid("mask", error.to_string()))?;
        Ok((edit, arguments))
    }

    /// Refuses more pixels of edited pictures than a picture that is sent may have.
    pub(crate) fn check_edits(&self, edit: &Edit, count: usize) -> Result<(), ApiError> {
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
    pub(crate) fn end(
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
                check_text(&prompt, caption)?;
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

/// Refuses a caption that says nothing, in the name of its field.
pub(crate) fn check_text(name: &str, caption: &str) -> Result<(), ApiError> {
    check_caption(caption).map_err(|error| ApiError::invalid(name, format!("{name}: {error}")))
}

fn missing(name: &str) -> ApiError {
    ApiError::invalid(name, format!("{name} is missing or empty: a picture is wanted"))
}
