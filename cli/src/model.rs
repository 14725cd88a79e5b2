//! Which model a command works with, and where it computes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use kernels::{Policy, set_policy};
use pipeline::{ModelFolders, Pipeline, Settings};
use tch::Device;
use weights::Folder;

use crate::device::{self, DeviceChoice, Dtype};
use crate::malloc::release_freed_pages;
use crate::origins::Origins;
use crate::threads::warn_of_idle_processors;
use crate::{builtin_model, kernel_cache};
use pipeline::Record;

/// The flags that say so.
#[derive(Args)]
pub struct ModelArgs {
    /// A folder in Karlo's layout [default: the built-in model]
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    model: Option<PathBuf>,
    /// Variant of the weights to take where there is one, as fp16
    #[arg(long, value_name = "NAME", requires = "model", help_heading = "Model")]
    variant: Option<String>,
    /// Numbers to compute in; f16 needs a GPU
    #[arg(
        long,
        value_enum,
        default_value = "f32",
        hide_possible_values = true,
        value_name = "f32|bf16|f16",
        help_heading = "Model"
    )]
    dtype: Dtype,
    /// Where to compute; auto takes a GPU if any
    #[arg(long, default_value = "auto", value_parser = device::parse, value_name = "auto|cpu|cuda[:N]", help_heading = "Model")]
    device: DeviceChoice,
    /// Take the same kernels on every machine
    #[arg(long, env = "UNCLIP_DETERMINISTIC", hide_env = true, value_parser = clap::builder::FalseyValueParser::new(), help_heading = "Model")]
    deterministic: bool,
    /// Take the kernels that are the fastest here: each is tried once
    #[arg(long, conflicts_with = "deterministic", help_heading = "Model")]
    tune: bool,
    /// Hold only one part of the model in memory at a time
    #[arg(long, help_heading = "Model")]
    low_memory: bool,
    /// Look for damaged numbers in large files of weights too
    #[arg(long, help_heading = "Model")]
    check: bool,
}

/// How --prior names the model's own priors.
const DIFFUSION: &str = "diffusion";
const AUTOREGRESSIVE: &str = "autoregressive";

/// The flag that chooses a prior, or completes a model without one.
#[derive(Args)]
pub struct PriorArgs {
    /// diffusion, autoregressive, or a prior's or model's folder
    #[arg(long, value_name = "KIND|DIR", help_heading = "Model")]
    prior: Option<PathBuf>,
}

/// The flag that completes a model without an image encoder.
#[derive(Args)]
pub struct ImageEncoderArgs {
    /// An image encoder for models without: its folder or a model's
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    image_encoder: Option<PathBuf>,
}

impl PriorArgs {
    /// Whether the user chose.
    pub fn is_given(&self) -> bool {
        self.prior.is_some()
    }

    /// The path that the user chose, where it is none of the model's own priors.
    fn path(&self) -> Option<&Path> {
        let named = |path: &&Path| ![DIFFUSION, AUTOREGRESSIVE].map(Path::new).contains(path);
        self.prior.as_deref().filter(named)
    }
}

impl ModelArgs {
    /// What is told of the pictures that `command` draws with this model, but their seeds.
    pub fn record(
        &self,
        command: &str,
        caption: Option<&str>,
        settings: &Settings,
    ) -> Result<Record> {
        Ok(Record {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            caption: caption.map(str::to_owned),
            seed: 0,
            settings: *settings,
            told: self
                .variant
                .iter()
                .map(|variant| ("variant".to_owned(), variant.as_str().into()))
                .collect(),
            dtype: self.dtype.name().to_owned(),
            device: match self.device.find()? {
                Device::Cuda(_) => "cuda".to_owned(),
                _ => "cpu".to_owned(),
            },
            model: self.folder()?.fingerprint()?,
            prior: None,
        })
    }

    /// Where settings came from that the model's `makers` began with, --preset changed, and flags after it.
    pub fn origins(&self, makers: Settings, preset: Settings, flags: Settings) -> Result<Origins> {
        let origins = self.makers_origin(makers)?;
        Ok(origins.then("--preset", preset).then_flags(flags))
    }

    /// The same for those of the makers alone.
    pub fn makers_origin(&self, makers: Settings) -> Result<Origins> {
        let folder = self.folder()?;
        let karlo = Settings { prior_codes: makers.prior_codes, ..Settings::karlo() };
        let place = match makers == karlo {
            true => format!("Karlo's defaults, which are those of {folder}"),
            false => format!("unclip_defaults in model_index.json of {folder}"),
        };
        Ok(Origins::new(place, makers))
    }

    /// The name of the numbers that the networks compute in.
    pub fn dtype(&self) -> &'static str {
        self.dtype.name()
    }

    /// What it computes in, and where.
    #[cfg(feature = "lab")]
    pub fn place(&self) -> Result<(tch::Kind, Device)> {
        Ok((self.dtype.kind(), self.device.find()?))
    }

    /// The same for the model in another folder.
    #[cfg(feature = "lab")]
    pub fn with_model(&self, path: &Path) -> Self {
        Self { model: Some(path.to_owned()), variant: self.variant.clone(), ..*self }
    }

    /// The model's folder.
    pub fn folder(&self) -> Result<Folder> {
        match &self.model {
            Some(path) => self.locate("--model", path),
            None => builtin_model::folder(),
        }
    }

    /// The fingerprint of the folder that the user chose for the prior, if any.
    pub fn prior_fingerprint(&self, prior: &PriorArgs) -> Result<Option<String>> {
        let folder = self.prior_folder(prior)?;
        Ok(folder.map(|folder| folder.fingerprint()).transpose()?)
    }

    fn prior_folder(&self, prior: &PriorArgs) -> Result<Option<Folder>> {
        let located = prior.path().map(|path| self.locate("--prior", path));
        located.transpose()
    }

    /// The pipeline that they describe, completed where its command has flags for that.
    pub fn open(
        &self,
        prior: Option<&PriorArgs>,
        image_encoder: Option<&ImageEncoderArgs>,
    ) -> Result<Pipeline> {
        let device = self.device.find()?;
        if self.tune {
            kernel_cache::tune();
        } else if self.deterministic {
            set_policy(Policy::Shape);
        }
        let elsewhere = prior.map(|prior| self.prior_folder(prior)).transpose()?.flatten();
        let prior = prior.and_then(|given| given.prior.as_deref());
        let image_encoder = image_encoder.and_then(|given| given.image_encoder.as_deref());
        let model = self.folder()?;
        let autoregressive = match prior {
            Some(name) if elsewhere.is_none() => name == Path::new(AUTOREGRESSIVE),
            _ => draws_codes(elsewhere.as_ref().unwrap_or(&model))?,
        };
        let folders = ModelFolders {
            model,
            autoregressive,
            prior: elsewhere,
            image_encoder: image_encoder
                .map(|path| self.locate("--image-encoder", path))
                .transpose()?,
        };
        self.check_variant(&folders)?;
        let pipeline = Pipeline::open(folders, device, self.dtype.kind())?;
        self.dtype.warn_of_cost(device);
        Ok(match self.low_memory {
            true => {
                release_freed_pages();
                pipeline.low_memory()
            }
            false => pipeline,
        })
    }

    /// Says what leaves processors idle, where a CPU is about to compute.
    pub fn warn_of_idle_processors(&self) -> Result<()> {
        warn_of_idle_processors(self.device.find()? == Device::Cpu);
        Ok(())
    }

    /// Refuses a variant that no folder has weights of.
    fn check_variant(&self, folders: &ModelFolders) -> Result<()> {
        let Some(variant) = &self.variant else {
            return Ok(());
        };
        let checked = folders.model.check_variant(variant);
        let others = [&folders.prior, &folders.image_encoder];
        let mut others = others.into_iter().flatten();
        match others.any(|folder| folder.check_variant(variant).is_ok()) {
            true => Ok(()),
            false => checked.context("--variant"),
        }
    }

    fn locate(&self, flag: &str, path: &Path) -> Result<Folder> {
        let folder = Folder::locate(path).with_context(|| flag.to_owned())?;
        let folder = match &self.variant {
            Some(variant) => folder.with_variant(variant),
            None => folder,
        };
        Ok(match self.check {
            true => folder.checked(),
            false => folder,
        })
    }
}

/// Whether a folder means the autoregressive prior: its own, or that of a model that has no other.
fn draws_codes(folder: &Folder) -> Result<bool> {
    let has = |part: &str| folder.component(part).exists();
    let alone = has("prior_autoregressive") && !has("prior");
    Ok(alone || weights::is_autoregressive_prior(folder)?)
}
