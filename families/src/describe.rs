//! Describes folders that are no model, by the files that publishers put beside weights.

use std::path::Path;

use files::json;
use files::text::excerpt;
use serde_json::{Map, Value};
use weights::{Folder, listed};

use crate::clip_files::{ClipLayout, OPEN_CLIP_CONFIG, own_layout};
use crate::karlo::{DECODER, INDEX};
use crate::{Family, all_families, glide, karlo, karlo_files};

/// Describes a folder that lacks a component, and names one that would do; `None` for a model of a family that is read here,
/// complete or not, and for one inside the program.
pub fn describe(folder: &Folder) -> Option<String> {
    let path = folder.path()?;
    if let Some(layout) = own_layout(folder) {
        let whose = match layout {
            ClipLayout::OpenClip => "open_clip's",
            _ => "OpenAI's",
        };
        let example = karlo().example;
        return Some(format!(
            "it holds CLIP alone, in {whose} layout, which compares pictures and captions and draws none, as {example} does"
        ));
    }
    let index = json(folder, INDEX);
    if let Some(class) = index.as_ref().and_then(class) {
        let is_known = all_families().iter().any(|family| class.starts_with(family.pipeline));
        let Family { pipeline, example, .. } = karlo();
        return (!is_known).then(|| {
            format!("it holds a {class}, and an {pipeline}Pipeline draws here, as {example} is")
        });
    }
    let mut components = all_families().into_iter().flat_map(|family| family.all_components());
    let has_part = components.any(|name| folder.component(name).exists());
    let is_published = glide::is_published(folder) || karlo_files::is_published(folder);
    if index.is_some() || has_part || is_published {
        return None;
    }
    if let Some(whole) = whole(path) {
        return Some(format!("it is one part of the model in {whole}"));
    }
    let models = models_within(folder);
    match &models[..] {
        [] => {}
        [only] => return Some(format!("the model is in {}", path.join(only).display())),
        several => {
            let paths = several.iter().map(|name| path.join(name).display().to_string());
            let paths: Vec<String> = paths.collect();
            return Some(format!("models are in {}", listed(&paths)));
        }
    }
    Some(describe_files(folder))
}

fn describe_files(folder: &Folder) -> String {
    let files = folder.file_names();
    let has = |name: &str| files.iter().any(|file| file == name);
    if has("adapter_config.json") || files.iter().any(|f| f.starts_with("pytorch_lora_weights")) {
        return "it holds a LoRA adapter, which changes another model and is none".to_owned();
    }
    let config = config_class(folder);
    let example = karlo().example;
    match config {
        Some(class) if class == "CLIPModel" || class == "clip" => {
            return format!(
                "it holds CLIP alone, which compares pictures and captions and draws none, as {example} does"
            );
        }
        Some(class) => return format!("it holds a {class}"),
        None => {}
    }
    if files.iter().any(|file| file.starts_with("open_clip_")) {
        return format!(
            "it holds a CLIP in open_clip's layout without its configuration, {OPEN_CLIP_CONFIG}"
        );
    }
    let folders: Vec<String> = folder.folder_names().iter().map(|f| format!("{f}/")).collect();
    let held = listed(&[files, folders].concat());
    format!("it holds {held}, and a model has a folder for each part, as {example} does")
}

/// The folders in it that are models, one level down.
fn models_within(model: &Folder) -> Vec<String> {
    let mut names = model.folder_names();
    names.retain(|name| {
        let folder = model.component(name);
        folder.has(INDEX) || name.starts_with("models--") || folder.component(DECODER).exists()
    });
    names
}

/// The class that the configuration in `folder` names.
pub(crate) fn config_class(folder: &Folder) -> Option<String> {
    json(folder, "config.json").and_then(|config| class(&config))
}

fn json(folder: &Folder, name: &str) -> Option<Map<String, Value>> {
    json::parse(&folder.read(name).ok()??, json::CONFIGURATION).ok()
}

/// Whether `folder` may be that of transformers' whole CLIP, or of one of its towers: its configuration names no other class.
pub fn may_be_clip(folder: &Folder) -> bool {
    let clip = |class: String| class.to_ascii_lowercase().starts_with("clip");
    folder.has("config.json") && !folder.has(INDEX) && config_class(folder).is_none_or(clip)
}

/// The class that a configuration names: a pipeline's, a component's, a transformers model's, or its type.
pub(crate) fn class(config: &Map<String, Value>) -> Option<String> {
    let first = |value: &Value| match value {
        Value::Array(names) => names.first()?.as_str().map(excerpt),
        name => name.as_str().map(excerpt),
    };
    ["_class_name", "architectures", "model_type"]
        .iter()
        .find_map(|field| config.get(*field).and_then(first))
}

/// The model that the component at `path` lies in.
pub(crate) fn whole(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let part = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let known = all_families().iter().any(|family| family.all_components().contains(&part));
    (known && parent.join(INDEX).is_file()).then(|| parent.display().to_string())
}
