//! Which model a command works with, and where it computes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use families::{Completion, ModelFolders, PriorKind, recognise};
use kernels::{Policy, set_policy};
use pipeline::{Pipeline, Record, Settings, SettingsOverrides, Solver, Task};
use tch::Device;
use unclip::{Locator, OpenOptions};
use weights::Folder;

use crate::device::{self, DeviceChoice, Dtype, WeightDtype};
use crate::download_progress::DownloadProgress;
use crate::error_flags::flag;
use crate::kernel_cache;
use crate::malloc::release_freed_pages;
use crate::origins::{Origins, in_flag};
use crate::settings_args::{PresetArgs, warn_of};
use crate::threads::warn_of_idle_processors;

/// The flags that say so.
#[derive(Args, Clone)]
pub(crate) struct ModelArgs {
    /// A folder, OWNER/NAME or builtin:glide [default: builtin:unclip]
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    model: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// The flags that say how a model computes.
#[derive(Args, Clone)]
pub(crate) struct ComputeArgs {
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
    /// Numbers of weights; bf16 takes half of the memory
    #[arg(
        long = "weights",
        value_enum,
        default_value = "f32",
        hide_default_value = true,
        hide_possible_values = true,
        value_name = "f32|bf16",
        help_heading = "Model"
    )]
    weight_dtype: WeightDtype,
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

/// CLIP's encoders that a user may choose, with their names in records.
pub(crate) const ENCODERS: [(Completion, &str); 2] =
    [(Completion::ImageEncoder, "image_encoder"), (Completion::TextEncoder, "text_encoder")];

/// How --prior names the model's own priors.
const DIFFUSION: &str = "diffusion";
const AUTOREGRESSIVE: &str = "autoregressive";

/// The flag that chooses a prior, or completes a model without one.
#[derive(Args, Clone)]
pub(crate) struct PriorArgs {
    /// diffusion, autoregressive, or a prior or a model
    #[arg(long, value_name = "KIND|MODEL", help_heading = "Model")]
    prior: Option<PathBuf>,
}

/// The flags that complete a model without an encoder of CLIP's, or bring another.
#[derive(Args, Clone)]
pub(crate) struct EncoderArgs {
    /// An image encoder, or a model with one, for models without
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    image_encoder: Option<PathBuf>,
    /// A text encoder, or a model with one, for models without
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    text_encoder: Option<PathBuf>,
}

impl EncoderArgs {
    /// Whether the user chose a text encoder.
    #[cfg(feature = "lab")]
    pub(crate) fn has_text_encoder(&self) -> bool {
        self.text_encoder.is_some()
    }

    /// Whether the user chose any.
    #[cfg(feature = "server")]
    pub(crate) fn is_given(&self) -> bool {
        self.image_encoder.is_some() || self.text_encoder.is_some()
    }

    /// The path of an encoder that the user chose.
    fn path(&self, completion: Completion) -> Option<&Path> {
        match completion {
            Completion::TextEncoder => self.text_encoder.as_deref(),
            _ => self.image_encoder.as_deref(),
        }
    }
}

impl PriorArgs {
    /// Whether the user chose.
    pub(crate) fn is_given(&self) -> bool {
        self.prior.is_some()
    }

    /// The path that the user chose, where it is none of the model's own priors.
    fn path(&self) -> Option<&Path> {
        let named = |path: &&Path| ![DIFFUSION, AUTOREGRESSIVE].map(Path::new).contains(path);
        self.prior.as_deref().filter(named)
    }
}

impl ComputeArgs {
    /// The device that they say.
    #[cfg(feature = "server")]
    pub(crate) fn device(&self) -> Result<Device> {
        self.device.find()
    }
}

impl ModelArgs {
    /// A model that computes so.
    #[cfg(feature = "server")]
    pub(crate) fn new(model: &Path, compute: ComputeArgs) -> Self {
        Self { model: Some(model.to_owned()), compute }
    }

    /// The same with another model where the user chose none.
    pub(crate) fn or(&self, model: &str) -> Self {
        Self { model: self.model.clone().or_else(|| Some(model.into())), ..self.clone() }
    }

    /// The record of the images that `command` samples with this model, but their seeds.
    pub(crate) fn record(
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
            settings: settings.clone(),
            arguments: self
                .compute
                .variant
                .iter()
                .map(|variant| ("variant".to_owned(), variant.as_str().into()))
                .chain(self.compute.weight_dtype.argument())
                .collect(),
            dtype: self.compute.dtype.name().to_owned(),
            device: match self.compute.device.find()? {
                Device::Cuda(_) => "cuda".to_owned(),
                _ => "cpu".to_owned(),
            },
            model: self.folder()?.fingerprint()?,
            prior: None,
        })
    }

    /// The settings of a task: the model's own, changed by --preset, then by the flags, then by `fix`. Prepares the pipeline
    /// for it; an error about a setting names the flag or the file that says it.
    pub(crate) fn prepare(
        &self,
        pipeline: &Pipeline,
        task: Task,
        preset: &PresetArgs,
        flags: &SettingsOverrides,
        fix: impl FnOnce(Settings) -> Settings,
    ) -> Result<Settings> {
        let defaults = pipeline.defaults()?;
        if preset.solver == Some(Solver::Analytic) && !task.prior {
            warn_of(&["--solver analytic"], "it is the prior's, which takes no part here");
        }
        let with_preset = preset.apply(defaults.clone(), &defaults, pipeline)?;
        let settings = fix(flags.apply(with_preset.clone()).map_err(in_flag)?);
        let origins = self.origins(&defaults)?.then("--preset", &with_preset).then_flags(&settings);
        pipeline.prepare(task, &settings).map_err(origins.explain())?;
        Ok(settings)
    }

    /// The origin of the model's own settings.
    pub(crate) fn origins(&self, defaults: &Settings) -> Result<Origins> {
        let folder = self.folder()?;
        let family = recognise(&folder);
        let of_family = Settings::of_family(&family).with_codes(defaults.codes());
        let place = match *defaults == of_family {
            true => format!("{}'s defaults, which are those of {folder}", family.name),
            false => format!("unclip_defaults in {} of {folder}", families::karlo::INDEX),
        };
        Ok(Origins::new(place, defaults))
    }

    /// The name of the numbers that the networks compute in.
    pub(crate) fn dtype(&self) -> &'static str {
        self.compute.dtype.name()
    }

    /// The dtype that it computes in, and the device.
    #[cfg(feature = "lab")]
    pub(crate) fn place(&self) -> Result<(tch::Kind, Device)> {
        Ok((self.compute.dtype.kind(), self.compute.device.find()?))
    }

    /// The same for the model in another folder.
    #[cfg(feature = "lab")]
    pub(crate) fn with_model(&self, path: &Path) -> Self {
        Self { model: Some(path.to_owned()), ..self.clone() }
    }

    /// The model's folder.
    pub(crate) fn folder(&self) -> Result<Folder> {
        match &self.model {
            Some(path) => self.locate("--model", path, None),
            None => Ok(unclip::built_in_folder().ok_or(pipeline::Error::NoBuiltInModel)?),
        }
    }

    /// The fingerprint of the folder that the user chose for the prior, if any.
    pub(crate) fn prior_fingerprint(&self, prior: &PriorArgs) -> Result<Option<String>> {
        let folder = self.prior_folder(prior)?;
        Ok(folder.map(|folder| folder.fingerprint()).transpose()?)
    }

    fn prior_folder(&self, prior: &PriorArgs) -> Result<Option<Folder>> {
        let Some(path) = prior.path() else {
            return Ok(None);
        };
        self.locate("--prior", path, Some(Completion::Prior)).map(Some)
    }

    /// The record with the fingerprints of the folders that the user chose for CLIP's encoders, if any.
    pub(crate) fn with_encoders(
        &self,
        mut record: Record,
        encoders: &EncoderArgs,
    ) -> Result<Record> {
        for (completion, name) in ENCODERS {
            if let Some(folder) = self.encoder_folder(encoders, completion)? {
                record = record.with(name, folder.fingerprint()?);
            }
        }
        Ok(record)
    }

    /// The record with the fingerprint of the prior's folder, where it is not the model's.
    pub(crate) fn with_prior(&self, mut record: Record, prior: &PriorArgs) -> Result<Record> {
        record.prior = self.prior_fingerprint(prior)?.filter(|prior| *prior != record.model);
        Ok(record)
    }

    fn encoder_folder(
        &self,
        encoders: &EncoderArgs,
        completion: Completion,
    ) -> Result<Option<Folder>> {
        let Some(path) = encoders.path(completion) else {
            return Ok(None);
        };
        self.locate(flag(completion), path, Some(completion)).map(Some)
    }

    /// The pipeline that they describe, completed where its command has flags for that.
    pub(crate) fn open(
        &self,
        prior: Option<&PriorArgs>,
        encoders: Option<&EncoderArgs>,
    ) -> Result<Pipeline> {
        let device = self.compute.device.find()?;
        if self.compute.tune {
            kernel_cache::tune();
        } else if self.compute.deterministic {
            set_policy(Policy::Shape);
        }
        let model = self.folder()?;
        let family = recognise(&model);
        let elsewhere = prior.map(|prior| self.prior_folder(prior)).transpose()?.flatten();
        let prior = prior.and_then(|given| given.prior.as_deref());
        if prior.is_some() && !family.decodes_embeddings() {
            let error = pipeline::Error::NoEmbedding { family: family.name };
            return Err(error).context("--prior");
        }
        let encoder =
            |completion| match encoders.filter(|encoders| encoders.path(completion).is_some()) {
                None => Ok(None),
                Some(_) if family.clip.is_none() => {
                    let error = pipeline::Error::NoClip { family: family.name };
                    Err(error).context(flag(completion))
                }
                Some(encoders) => self.encoder_folder(encoders, completion),
            };
        let image_encoder = encoder(Completion::ImageEncoder)?;
        let text_encoder = encoder(Completion::TextEncoder)?;
        let autoregressive = match prior {
            Some(name) if elsewhere.is_none() => name == Path::new(AUTOREGRESSIVE),
            _ => {
                let kind = family.prior_kind(elsewhere.as_ref().unwrap_or(&model))?;
                kind == PriorKind::Autoregressive
            }
        };
        let name = self.model.as_deref();
        let folders = ModelFolders {
            lazy_completion: name.and_then(|name| self.locator().lazy_completion(name, &family)),
            family,
            model,
            autoregressive,
            prior: elsewhere,
            image_encoder,
            text_encoder,
        };
        self.check_variant(&folders)?;
        let options = OpenOptions::new().device(device).dtype(self.compute.dtype.kind());
        let options = options.low_memory(self.compute.low_memory);
        let bf16_weights = self.compute.weight_dtype == WeightDtype::Bf16;
        let pipeline =
            options.bf16_weights(bf16_weights).open_folders(folders).map_err(|error| {
                match bf16_weights {
                    true => anyhow::Error::new(error).context("--weights bf16"),
                    false => error.into(),
                }
            })?;
        self.compute.dtype.warn_of_cost(device);
        if self.compute.low_memory {
            release_freed_pages();
        }
        Ok(pipeline)
    }

    /// Says what leaves processors idle, where a CPU is about to compute.
    pub(crate) fn warn_of_idle_processors(&self) -> Result<()> {
        warn_of_idle_processors(self.compute.device.find()? == Device::Cpu, 1);
        Ok(())
    }

    /// Refuses a variant that no folder has weights of.
    fn check_variant(&self, folders: &ModelFolders) -> Result<()> {
        let Some(variant) = &self.compute.variant else {
            return Ok(());
        };
        let checked = folders.model.check_variant(variant);
        let others = [&folders.prior, &folders.image_encoder, &folders.text_encoder];
        let mut others = others.into_iter().flatten();
        match others.any(|folder| folder.check_variant(variant).is_ok()) {
            true => Ok(()),
            false => checked.context("--variant"),
        }
    }

    /// The folder that a flag names: a model, or what completes this one.
    fn locate(&self, flag: &str, path: &Path, completes: Option<Completion>) -> Result<Folder> {
        let locator = self.locator();
        let folder = match completes {
            None => locator.locate(path),
            Some(completion) => {
                let family = recognise(&self.folder()?);
                locator.locate_components(path, &family.completing_components(completion))
            }
        };
        let folder = folder.with_context(|| flag.to_owned())?;
        Ok(match self.compute.check {
            true => folder.checked(),
            false => folder,
        })
    }

    fn locator(&self) -> Locator {
        locator(self.compute.variant.as_deref())
    }
}

/// Finds models, and shows downloads.
pub(crate) fn locator(variant: Option<&str>) -> Locator {
    let locator = Locator::new().progress(DownloadProgress::new());
    match variant {
        Some(variant) => locator.variant(variant),
        None => locator,
    }
}
