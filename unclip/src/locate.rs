//! The model that a user means: one that the program carries, by its name, or a folder.

use std::path::Path;

use files::text::excerpt;
use pipeline::Error;
use weights::Folder;

use crate::model_files::{GLIDE, UNCLIP};

/// Names and contents of files inside the program.
type Files = &'static [(&'static str, &'static [u8])];

/// The names of built-in models begin so. A folder whose name does is meant by `./` before it.
const PREFIX: &str = "builtin:";

/// The built-in models, the default one first; one that this build leaves out has no files.
static BUILT_IN: [(&str, Files); 2] = [("builtin:unclip", UNCLIP), ("builtin:glide", GLIDE)];

/// The names of the models that the program carries, as [`locate_model`] takes them; none in a build without the feature
/// `embedded-model`.
pub fn built_in_models() -> Vec<&'static str> {
    let carried = BUILT_IN.iter().filter(|(_, files)| !files.is_empty());
    carried.map(|(name, _)| *name).collect()
}

/// The default one of them, as a folder; `None` in a build without the feature `embedded-model`.
pub fn built_in_folder() -> Option<Folder> {
    let (_, files) = BUILT_IN[0];
    (!files.is_empty()).then(|| Folder::embedded(files))
}

/// The folder of the model that a user means: one of [`built_in_models`], a folder, or a repository in the Hugging Face
/// Hub's cache by its name. An error that lists the built-in models where it is none of these.
pub fn locate_model(model: impl AsRef<Path>) -> Result<Folder, Error> {
    let model = model.as_ref();
    let name = model.to_str().unwrap_or_default();
    match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        Some((_, [])) => return Err(Error::NoBuiltInModel),
        Some((_, files)) => return Ok(Folder::embedded(files)),
        None => {}
    }
    if name.starts_with(PREFIX) {
        let reason = format!("there is no built-in model {}", excerpt(name));
        return Err(unknown(reason));
    }
    families::locate(model).map_err(|error| match model.try_exists() {
        Ok(false) => unknown(error.to_string()),
        _ => error.into(),
    })
}

fn unknown(reason: String) -> Error {
    Error::UnknownModel { reason, built_in: built_in_models() }
}
