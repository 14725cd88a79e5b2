//! Says what a folder holds that lacks what a model has, by the files that publishers put beside weights.

use std::path::Path;

use files::json;
use serde_json::{Map, Value};

use crate::Folder;
use crate::complete::OURS;
use crate::error::listed;
use crate::index::{COMPONENTS, INDEX, UNCLIP};
use files::text::excerpt;

/// The repository that messages give as an example.
pub(crate) const EXAMPLE: &str = "kakaobrain/karlo-v1-alpha";

impl Folder {
    /// Describes a folder that lacks a part, and which folder would do; `None` where it is a model of the layout that is read
    /// here, complete or not, or inside the program.
    pub fn describe(&self) -> Option<String> {
        let path = self.path()?;
        let index = self.json(INDEX);
        if let Some(class) = index.as_ref().and_then(class) {
            let other = !class.starts_with(UNCLIP);
            return other.then(|| {
                format!("it holds a {class}, and an {UNCLIP}Pipeline draws here, as {EXAMPLE} is")
            });
        }
        let published = COMPONENTS.iter().map(|(part, ..)| *part);
        let mut parts = published.chain(OURS.iter().copied());
        if index.is_some() || parts.any(|part| self.component(part).exists()) {
            return None;
        }
        if let Some(whole) = whole(path) {
            return Some(format!("it is one part of the model in {whole}"));
        }
        let models = self.models_within();
        match &models[..] {
            [] => {}
            [only] => return Some(format!("the model is in {}", path.join(only).display())),
            several => {
                let paths = several.iter().map(|name| path.join(name).display().to_string());
                let paths: Vec<String> = paths.collect();
                return Some(format!("models are in {}", listed(&paths)));
            }
        }
        Some(self.describe_files())
    }

    fn describe_files(&self) -> String {
        let files = self.file_names();
        let has = |name: &str| files.iter().any(|file| file == name);
        if has("adapter_config.json") || files.iter().any(|f| f.starts_with("pytorch_lora_weights"))
        {
            return "it holds a LoRA adapter, which changes another model and is none".to_owned();
        }
        let config = self.json("config.json").and_then(|config| class(&config));
        match config {
            Some(class) if class == "CLIPModel" || class == "clip" => {
                return format!(
                    "it holds CLIP alone, which compares pictures and captions and draws none, as {EXAMPLE} does"
                );
            }
            Some(class) => return format!("it holds a {class}"),
            None => {}
        }
        if files.iter().any(|file| file.starts_with("open_clip_")) {
            return "it holds a CLIP in open_clip's layout, and CLIP is read in transformers': a config.json beside \
                    model.safetensors"
                .to_owned();
        }
        let folders: Vec<String> = self.folder_names().iter().map(|f| format!("{f}/")).collect();
        let held = listed(&[files, folders].concat());
        format!("it holds {held}, and a model has a folder for each part, as {EXAMPLE} does")
    }

    /// The folders in it that are models, one level down.
    fn models_within(&self) -> Vec<String> {
        let mut names = self.folder_names();
        names.retain(|name| {
            let folder = self.component(name);
            folder.has(INDEX)
                || name.starts_with("models--")
                || folder.component("decoder").exists()
        });
        names
    }

    fn json(&self, name: &str) -> Option<Map<String, Value>> {
        json::parse(&self.read(name).ok()??, json::CONFIGURATION).ok()
    }

    /// Whether this may be a folder of transformers' whole CLIP, or of a half of it: its configuration names no other class.
    pub fn may_be_clip(&self) -> bool {
        let clip = |class: String| class.to_ascii_lowercase().starts_with("clip");
        self.has("config.json")
            && !self.has(INDEX)
            && self.json("config.json").and_then(|config| class(&config)).is_none_or(clip)
    }
}

/// The class that a configuration names: a pipeline's, a component's, a transformers model's, or its type.
fn class(config: &Map<String, Value>) -> Option<String> {
    let first = |value: &Value| match value {
        Value::Array(names) => names.first()?.as_str().map(excerpt),
        name => name.as_str().map(excerpt),
    };
    ["_class_name", "architectures", "model_type"]
        .iter()
        .find_map(|field| config.get(*field).and_then(first))
}

/// The folder that a part of a model lies in.
pub(crate) fn whole(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let part = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let known = COMPONENTS.iter().any(|(name, ..)| *name == part);
    (known && parent.join(INDEX).is_file()).then(|| parent.display().to_string())
}
