//! Models by folder, or the one that the program carries.

use std::path::{Path, PathBuf};

use families::{Completion, LazyFolder, ModelFolders, PriorKind, recognise};
use pipeline::{Error, Pipeline};
use tch::{Device, Kind};
use weights::Folder;

use crate::locate::{Locator, built_in_folder};

/// The device, the dtype and the components of a model that is about to be opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    device: Device,
    dtype: Kind,
    locator: Locator,
    prior: Option<PathBuf>,
    prior_kind: Option<PriorKind>,
    image_encoder: Option<PathBuf>,
    text_encoder: Option<PathBuf>,
    low_memory: bool,
    bf16_weights: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// All in f32 on the CPU, with the model's own components.
    pub fn new() -> Self {
        Self {
            device: Device::Cpu,
            dtype: Kind::Float,
            locator: Locator::new(),
            prior: None,
            prior_kind: None,
            image_encoder: None,
            text_encoder: None,
            low_memory: false,
            bf16_weights: false,
        }
    }

    /// The device that the networks compute on.
    pub fn device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// The dtype that the networks compute in: f32, bf16, or on a GPU f16.
    pub fn dtype(self, dtype: Kind) -> Self {
        Self { dtype, ..self }
    }

    /// The variant of the weights to take where there is one, as `fp16`.
    pub fn variant(self, variant: impl Into<String>) -> Self {
        Self { locator: self.locator.variant(variant), ..self }
    }

    /// The observer of downloads, which may stop them; without one they show nothing.
    #[cfg(feature = "hub")]
    pub fn progress(self, progress: impl hub::Progress + Send + 'static) -> Self {
        Self { locator: self.locator.progress(progress), ..self }
    }

    /// A prior, or a model with one, in place of the model's own: a folder, or a repository as [`Locator`] finds it.
    pub fn prior(self, folder: impl Into<PathBuf>) -> Self {
        Self { prior: Some(folder.into()), ..self }
    }

    /// The prior that samples where a model has two; without it the diffusion prior does.
    pub fn prior_kind(self, kind: PriorKind) -> Self {
        Self { prior_kind: Some(kind), ..self }
    }

    /// An image encoder, or a model with one, in place of the model's own: a folder, or a repository as [`Locator`] finds it.
    pub fn image_encoder(self, folder: impl Into<PathBuf>) -> Self {
        Self { image_encoder: Some(folder.into()), ..self }
    }

    /// A text encoder with its tokenizer, or a model with both, in place of the model's own, likewise.
    pub fn text_encoder(self, folder: impl Into<PathBuf>) -> Self {
        Self { text_encoder: Some(folder.into()), ..self }
    }

    /// Whether no network outlives the stage that works with it, so that the largest alone takes memory.
    pub fn low_memory(self, low_memory: bool) -> Self {
        Self { low_memory, ..self }
    }

    /// Whether weights lie in memory in bf16 while the networks compute in f32 on the CPU
    /// ([`Pipeline::with_bf16_weights`]).
    pub fn bf16_weights(self, bf16_weights: bool) -> Self {
        Self { bf16_weights, ..self }
    }

    /// Opens the model that a [`Locator`] finds: a folder, one of [`built_in_models`](crate::built_in_models), or a repository
    /// of the Hugging Face Hub. Its networks are read when they are first needed; so is what a known model of the
    /// Hub lacks downloaded.
    pub fn open(&self, model: impl AsRef<Path>) -> Result<Pipeline, Error> {
        let model = model.as_ref();
        let folder = self.locator.locate(model)?;
        let lazy_completion = self.locator.lazy_completion(model, &recognise(&folder));
        self.open_folder(folder, lazy_completion)
    }

    /// Opens the model that the program carries. An error in a build without the feature `embedded-model`.
    pub fn open_built_in(&self) -> Result<Pipeline, Error> {
        self.open_folder(built_in_folder().ok_or(Error::NoBuiltInModel)?, None)
    }

    fn open_folder(
        &self,
        model: Folder,
        lazy_completion: Option<LazyFolder>,
    ) -> Result<Pipeline, Error> {
        let family = recognise(&model);
        let located = |path: &Option<PathBuf>, completion| {
            let components = family.completing_components(completion);
            let path = path.as_deref();
            path.map(|path| self.locator.locate_components(path, &components)).transpose()
        };
        let prior = located(&self.prior, Completion::Prior)?;
        let image_encoder = located(&self.image_encoder, Completion::ImageEncoder)?;
        let text_encoder = located(&self.text_encoder, Completion::TextEncoder)?;
        let kind = match self.prior_kind {
            Some(kind) => kind,
            None => family.prior_kind(prior.as_ref().unwrap_or(&model))?,
        };
        let autoregressive = kind == PriorKind::Autoregressive;
        self.open_folders(ModelFolders {
            family,
            model,
            prior,
            autoregressive,
            image_encoder,
            text_encoder,
            lazy_completion,
        })
    }

    /// Opens a model whose components lie in `folders`.
    pub fn open_folders(&self, folders: ModelFolders) -> Result<Pipeline, Error> {
        let pipeline = Pipeline::open(folders, self.device, self.dtype)?;
        let pipeline = if self.low_memory { pipeline.low_memory() } else { pipeline };
        if self.bf16_weights { Ok(pipeline.with_bf16_weights()?) } else { Ok(pipeline) }
    }
}
