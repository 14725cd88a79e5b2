//! The index of a model, `model_index.json`: the class that each component's folder opens in, and two entries of our own.
//!
//! Other programs pass over ours: `unclip_logit_scale`, the logarithm of the factor that CLIP's cosines are multiplied
//! with, and `unclip_defaults`, the default steps and guidance scales.

use std::path::Path;

use files::json;
use files::text::excerpt;
use serde::Serialize;
use serde_json::{Map, Value, json};
use weights::Folder;

use crate::karlo::{INDEX, TEXT_ENCODER};
use crate::save::write_text;
use crate::{Class, Error, Family, karlo};

const LOGIT_SCALE: &str = "unclip_logit_scale";
const DEFAULTS: &str = "unclip_defaults";

/// Writes the index of the components of a family that are in `folder`, with the logit scale if there is a new one. Other
/// entries of an existing index stay.
pub fn save_model_index(
    folder: &Path,
    family: &Family,
    logit_scale: Option<f64>,
) -> Result<(), Error> {
    update(folder, family, logit_scale.map(|scale| (LOGIT_SCALE, json!(scale))))
}

/// Writes the default settings of the model of a family in `folder` into its index.
pub fn save_model_defaults(
    folder: &Path,
    family: &Family,
    defaults: &impl Serialize,
) -> Result<(), Error> {
    let defaults = serde_json::to_value(defaults).map_err(|error| Error::Index {
        file: folder.join(INDEX).display().to_string(),
        reason: error.to_string(),
    })?;
    update(folder, family, Some((DEFAULTS, defaults)))
}

/// The logarithm of the factor that CLIP's cosines are multiplied with, where the index of the model in `folder` has it, or the
/// CLIP among Karlo's published files there.
pub fn read_logit_scale(folder: &Folder) -> Result<Option<f64>, Error> {
    let Some(mut index) = read(folder)? else {
        let clip = karlo().component_in(folder, TEXT_ENCODER);
        let clip = clip.filter(|clip| clip.weights_file().is_some());
        return clip.map_or(Ok(None), |clip| crate::open_logit_scale(&clip));
    };
    match index.remove(LOGIT_SCALE) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|scale| scale.abs() <= 100.0) {
            Some(scale) => Ok(Some(scale)),
            None => Err(Error::Index {
                file: folder.name_of(INDEX),
                reason: format!(
                    "its {LOGIT_SCALE} {} is no number up to 100",
                    excerpt(&value.to_string())
                ),
            }),
        },
    }
}

/// The default settings of the model in `folder`, where its index has them. An error for the index of another family.
pub fn read_model_defaults(folder: &Folder, family: &Family) -> Result<Option<Value>, Error> {
    let Some(mut index) = read(folder)? else {
        return Ok(None);
    };
    let index_error = |reason| Error::Index { file: folder.name_of(INDEX), reason };
    check_classes(&index, folder, family).map_err(index_error)?;
    Ok(index.remove(DEFAULTS))
}

/// Refuses an index of another pipeline, or of other networks in the folders of this one's.
fn check_classes(
    index: &Map<String, Value>,
    folder: &Folder,
    family: &Family,
) -> Result<(), String> {
    let Family { pipeline, example, classes, .. } = *family;
    let named = |value: &Value| value.as_str().map_or_else(|| excerpt(&value.to_string()), excerpt);
    if let Some(class) = index.get("_class_name").map(named)
        && !class.starts_with(pipeline)
    {
        return Err(format!(
            "it is of a {class}, and an {pipeline}Pipeline draws here, as {example} is"
        ));
    }
    for &Class { component, library, class } in classes {
        let Some(component) = family.name_in(folder, component) else { continue };
        let found = match index.get(component) {
            None | Some(Value::Null) => continue,
            Some(found) => found.get(1).unwrap_or(found),
        };
        // Transformers' tokenizers and feature extractors have had several names.
        let fits = match library {
            "transformers" if class.starts_with("CLIP") => named(found).starts_with("CLIP"),
            "transformers" => named(found).starts_with(class),
            _ => found == class,
        };
        if !fits && !found.is_null() {
            let found = named(found);
            return Err(format!("it says that {component} is a {found}, and a {class} is read"));
        }
    }
    Ok(())
}

fn read(folder: &Folder) -> Result<Option<Map<String, Value>>, Error> {
    let Some(bytes) = folder.read(INDEX)? else {
        return Ok(None);
    };
    let index = json::parse(&bytes, json::CONFIGURATION).map_err(|error| Error::Index {
        file: folder.name_of(INDEX),
        reason: excerpt(&error.to_string()),
    })?;
    Ok(Some(index))
}

fn update(folder: &Path, family: &Family, entry: Option<(&str, Value)>) -> Result<(), Error> {
    let place = Folder::open(folder)?;
    let mut index = read(&place)?.unwrap_or_default();
    index.insert("_class_name".to_owned(), json!(format!("{}Pipeline", family.pipeline)));
    index.insert("_diffusers_version".to_owned(), json!("0.42.1"));
    for &Class { component, library, class } in family.classes {
        index.remove(component);
        if place.component(component).exists() {
            index.insert(component.to_owned(), json!([library, class]));
        }
    }
    if let Some((name, value)) = entry {
        index.insert(name.to_owned(), value);
    }
    let text = format!("{:#}\n", Value::Object(index));
    write_text(&folder.join(INDEX), &text)
}
