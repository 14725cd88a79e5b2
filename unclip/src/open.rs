//! Models by folder, or the one that the program carries.

use std::path::{Path, PathBuf};

use families::{ModelFolders, PriorKind, recognise};
use pipeline::{Error, Pipeline};
use tch::{Device, Kind};
use weights::Folder;

use crate::locate::{built_in_folder, locate_model};

/// The device, the dtype and the components of a model that is about to be opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    device: Device,
    dtype: Kind,
    variant: Option<String>,
    prior: Option<PathBuf>,
    prior_kind: Option<PriorKind>,
    image_encoder: Option<PathBuf>,
    low_memory: bool,
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
            variant: None,
            prior: None,
            prior_kind: None,
            image_encoder: None,
            low_memory: false,
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
        Self { variant: Some(variant.into()), ..self }
    }

    /// The folder of a prior, or of a model with one, in place of the model's own.
    pub fn prior(self, folder: impl Into<PathBuf>) -> Self {
        Self { prior: Some(folder.into()), ..self }
    }

    /// The prior that samples where a model has two; without it the diffusion prior does.
    pub fn prior_kind(self, kind: PriorKind) -> Self {
        Self { prior_kind: Some(kind), ..self }
    }

    /// The folder of an image encoder, or of a model with one, in place of the model's own.
    pub fn image_encoder(self, folder: impl Into<PathBuf>) -> Self {
        Self { image_encoder: Some(folder.into()), ..self }
    }

    /// Whether no network outlives the stage that works with it, so that the largest alone takes memory.
    pub fn low_memory(self, low_memory: bool) -> Self {
        Self { low_memory, ..self }
    }

    /// Opens the model that [`locate_model`] finds: a folder, or one of
    /// [`built_in_models`](crate::built_in_models). Its networks are read when they are first needed.
    pub fn open(&self, model: impl AsRef<Path>) -> Result<Pipeline, Error> {
        self.open_folder(self.locate(model.as_ref())?)
    }

    /// Opens the model that the program carries. An error in a build without the feature `embedded-model`.
    pub fn open_built_in(&self) -> Result<Pipeline, Error> {
        self.open_folder(built_in_folder().ok_or(Error::NoBuiltInModel)?)
    }

    fn open_folder(&self, model: Folder) -> Result<Pipeline, Error> {
        let family = recognise(&model);
        let located = |path: &Option<PathBuf>| path.as_deref().map(|p| self.locate(p)).transpose();
        let (prior, image_encoder) = (located(&self.prior)?, located(&self.image_encoder)?);
        let kind = match self.prior_kind {
            Some(kind) => kind,
            None => family.prior_kind(prior.as_ref().unwrap_or(&model))?,
        };
        let autoregressive = kind == PriorKind::Autoregressive;
        self.open_folders(ModelFolders { family, model, prior, autoregressive, image_encoder })
    }

    /// Opens a model whose components lie in `folders`.
    pub fn open_folders(&self, folders: ModelFolders) -> Result<Pipeline, Error> {
        let pipeline = Pipeline::open(folders, self.device, self.dtype)?;
        Ok(if self.low_memory { pipeline.low_memory() } else { pipeline })
    }

    fn locate(&self, path: &Path) -> Result<Folder, Error> {
        let folder = locate_model(path)?;
        Ok(match &self.variant {
            Some(variant) => folder.with_variant(variant),
            None => folder,
        })
    }
}
