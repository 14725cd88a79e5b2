//! The model that a user means: one that the program carries, by its name, a folder, or a repository of the Hugging Face Hub.

use std::path::Path;

#[cfg(feature = "hub")]
use families::Completion;
use families::{Family, LazyFolder};
use files::text::excerpt;
use pipeline::Error;
use weights::Folder;

#[cfg(feature = "hub")]
use crate::download::{Downloader, is_nowhere, repository};
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

/// The folder of the model that a user means, as a [`Locator`] finds it that shows no progress.
pub fn locate_model(model: impl AsRef<Path>) -> Result<Folder, Error> {
    Locator::new().locate(model)
}

/// Finds the model that a user means: one of [`built_in_models`], a folder, or a repository of the Hugging Face Hub by its name
/// (`OWNER/NAME`, `OWNER/NAME@REVISION`, either with `hf://` before it). A folder of that name goes before a repository, and
/// the Hub's cache before the Hub: only what the cache lacks is downloaded, into that cache.
#[derive(Clone, Debug, Default)]
pub struct Locator {
    variant: Option<String>,
    #[cfg(feature = "hub")]
    downloader: Downloader,
}

impl Locator {
    /// Of plain weights, and without progress.
    pub fn new() -> Self {
        Self::default()
    }

    /// The variant of the weights to take where there is one, as `fp16`.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// The observer of downloads, which may stop them.
    #[cfg(feature = "hub")]
    pub fn progress(mut self, progress: impl hub::Progress + Send + 'static) -> Self {
        self.downloader.set_progress(progress);
        self
    }

    /// Without downloads: a repository must be in the cache.
    #[cfg(feature = "hub")]
    pub fn cached_only(mut self) -> Self {
        self.downloader.forbid();
        self
    }

    /// The folder of a model. An error that lists the built-in models where there is none of this name.
    pub fn locate(&self, model: impl AsRef<Path>) -> Result<Folder, Error> {
        self.find(model.as_ref(), None)
    }

    /// As [`Locator::locate`], a folder that completes another with some components: of a pipeline on the Hub these alone are
    /// downloaded.
    pub fn locate_components(
        &self,
        model: impl AsRef<Path>,
        components: &[&str],
    ) -> Result<Folder, Error> {
        self.find(model.as_ref(), Some(components))
    }

    /// Downloads what the Hub has of a repository's revision today, as far as the cache lacks it.
    #[cfg(feature = "hub")]
    pub fn pull(&self, repository: &hub::Repository) -> Result<Folder, Error> {
        let folder = self.downloader.pull(repository, self.variant.as_deref()).map_err(missing)?;
        Ok(self.with_variant(folder))
    }

    /// The components that a known model of the Hub lacks, in the repository that completes it: an image encoder, or all that its
    /// family's companion has.
    #[cfg(feature = "hub")]
    pub fn lazy_completion(&self, model: &Path, family: &Family) -> Option<LazyFolder> {
        let known = families::known_model(&repository(model).ok()??.id())?;
        let source = known.completed_by?;
        let (completion, name) = match family.companion {
            Some(_) => (Completion::Prior, "prior"),
            None => (Completion::ImageEncoder, "image encoder"),
        };
        let (locator, components) = (self.clone(), family.completing_components(completion));
        Some(LazyFolder::new(move || {
            let purpose = format!("{} has no {name}, and {source} completes it", known.repository);
            let variant = locator.variant.as_deref();
            let folder = locator.downloader.complete(source, variant, &components, purpose)?;
            Ok(locator.with_variant(folder))
        }))
    }

    /// Nothing: no model is known in a build without the feature `hub`.
    #[cfg(not(feature = "hub"))]
    pub fn lazy_completion(&self, _: &Path, _: &Family) -> Option<LazyFolder> {
        None
    }

    #[cfg_attr(not(feature = "hub"), allow(unused_variables))]
    fn find(&self, model: &Path, components: Option<&[&str]>) -> Result<Folder, Error> {
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
        #[cfg(feature = "hub")]
        if let Some(repository) = repository(model)? {
            let variant = self.variant.as_deref();
            let folder = self.downloader.model(&repository, variant, components);
            return Ok(self.with_variant(folder.map_err(missing)?));
        }
        #[cfg(feature = "hub")]
        let model = &hub::snapshot(model).map_err(crate::download::failed)?;
        let folder = families::locate(model).map_err(|error| match model.try_exists() {
            Ok(false) => unknown(format!("{error}{}", hint(name))),
            _ => error.into(),
        })?;
        Ok(self.with_variant(folder))
    }

    fn with_variant(&self, folder: Folder) -> Folder {
        match &self.variant {
            Some(variant) => folder.with_variant(variant),
            None => folder,
        }
    }
}

/// The known model whose name lacks its owner, as the end of a sentence.
fn hint(name: &str) -> String {
    let is_meant =
        |repository: &str| repository.split_once('/').is_some_and(|(_, end)| end == name);
    let known = families::KNOWN_MODELS.iter().find(|model| is_meant(model.repository));
    let known = known.filter(|_| cfg!(feature = "hub"));
    known.map_or_else(String::new, |model| format!(", and the Hub has {}", model.repository))
}

/// The error with the models that there are, where a repository is nowhere.
#[cfg(feature = "hub")]
fn missing(error: families::Error) -> Error {
    match is_nowhere(&error) {
        true => unknown(error.to_string()),
        false => error.into(),
    }
}

/// The error for a word that names no model.
pub(crate) fn unknown(reason: String) -> Error {
    Error::UnknownModel { reason, built_in: built_in_models() }
}
