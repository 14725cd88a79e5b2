//! Recognises the family of a model by its folder's contents.

use files::json;
use serde_json::{Map, Value};
use weights::Folder;

use crate::karlo::INDEX;
use crate::{Family, compact_glide, glide, kandinsky, karlo};

/// Every family that is read here, the first of them where nothing says another.
pub fn all_families() -> [Family; 4] {
    [karlo(), glide(), compact_glide(), kandinsky()]
}

/// The family of the model in `folder`: that of the class in its index, else the one whose published files it has, else
/// Karlo's. Whether all components are there is known when they are opened.
pub fn recognise(folder: &Folder) -> Family {
    // A file is a CLIP, whatever lies beside it.
    if folder.weights_file().is_some() {
        return karlo();
    }
    let index: Option<Map<String, Value>> =
        folder.read(INDEX).ok().flatten().and_then(|b| json::parse(&b, json::CONFIGURATION).ok());
    let class = index.as_ref().and_then(|index| index.get("_class_name")?.as_str());
    let of_class =
        |class: &str| all_families().into_iter().find(|family| class.starts_with(family.pipeline));
    match class.and_then(of_class) {
        Some(family) => family,
        None if glide::is_published(folder) => glide(),
        None if folder.component(kandinsky::MOVQ).exists() => kandinsky(),
        None => karlo(),
    }
}
