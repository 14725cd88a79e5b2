//! The trainer: a recipe, data and a model folder, and what the training of every model shares.

use std::path::{Path, PathBuf};

use clip::Tokenizer;
use collectives::Group;
use families::{glide, karlo};
use files::digest::sha256;
use layers::{Initialiser, Params};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use weights::Folder;

use crate::data::{BatchPlan, Data, SUBSET_SIZE, SampleRequest, Stream};
use crate::embedding_dataset::EmbeddingDataset;
use crate::encoders::{FrozenImageEncoder, FrozenTextEncoder};
use crate::init_from::{Component, InitialWeights};
use crate::run::{Objective, Observer, SampleSheets, Weights, any};
use crate::sheet::{SAMPLES, SheetModel};
use crate::{AdamW, Checkpoints, Error, Recipe, RunSettings, TrainingRun, plots, tokenizer};

/// The subsets of the data that the objectives draw from, and those of the statistics that are measured before.
pub(crate) const CLIP_SUBSET: u64 = 1;
pub(crate) const PRIOR_SUBSET: u64 = 2;
pub(crate) const STATISTICS_SUBSET: u64 = 3;
pub(crate) const DECODER_SUBSET: u64 = 4;
pub(crate) const UPSAMPLER_SUBSET: u64 = 5;
pub(crate) const AUTOREGRESSIVE_SUBSET: u64 = 6;
pub(crate) const CODES_SUBSET: u64 = 7;
pub(crate) const GLIDE_SUBSET: u64 = 8;
pub(crate) const GLIDE_INPAINTING_SUBSET: u64 = 9;
pub(crate) const NOISED_CLIP_SUBSET: u64 = 10;
pub(crate) const CALIBRATION_SUBSET: u64 = 11;
pub(crate) const DECODER_DISTILLATION_SUBSET: u64 = 12;
pub(crate) const UPSAMPLER_DISTILLATION_SUBSET: u64 = 13;

/// The first synthetic image that the decoder learns from; batch `n` has the `n`-th batch after it.
pub const FIRST_DECODER_IMAGE: u64 = DECODER_SUBSET * SUBSET_SIZE;

/// The models, each with the folders that its training writes.
const WRITES: &[(&str, &[&str])] = &[
    ("tokenizer", &["tokenizer"]),
    ("clip", &["text_encoder", "image_encoder", karlo::IMAGE_PROCESSOR]),
    ("prior", &["prior", karlo::PRIOR_SCHEDULER, karlo::PRINCIPAL_COMPONENTS]),
    (karlo::AUTOREGRESSIVE_PRIOR, &[karlo::AUTOREGRESSIVE_PRIOR]),
    ("decoder", &[karlo::CONDITIONING, "decoder", karlo::DECODER_SCHEDULER]),
    ("upsampler", &[karlo::UPSAMPLER, karlo::LAST_UPSAMPLER, karlo::UPSAMPLER_SCHEDULER]),
    ("decoder_distillation", &[karlo::DISTILLED_DECODER]),
    ("upsampler_distillation", &[karlo::DISTILLED_UPSAMPLER]),
    ("glide", GLIDE_BASE),
    ("glide_inpainting", GLIDE_BASE),
    ("noised_clip", &[glide::CLIP_TOKENIZER, glide::CLIP_TEXT_ENCODER, glide::CLIP_IMAGE_ENCODER]),
];

/// The folders of GLIDE's base.
const GLIDE_BASE: &[&str] =
    &[glide::DECODER_TEXT_ENCODER, glide::DECODER, glide::DECODER_SCHEDULER];

/// Whether a model is a part of a compact GLIDE, and not of an unCLIP.
pub fn is_compact_glide(model: &str) -> bool {
    matches!(model, "glide" | "glide_inpainting" | "noised_clip")
}

/// The folders that the training of a model writes.
fn writes(model: &str) -> impl Iterator<Item = &'static str> {
    WRITES.iter().filter(move |(name, _)| *name == model).flat_map(|(_, parts)| *parts).copied()
}

/// The components that the priors and the decoder learn from beside images.
pub(crate) const ENCODERS: &[&str] = &["tokenizer", "text_encoder", "image_encoder"];

/// Trains the models of one folder, each by a method of its own that resumes where it stopped: `train_*`.
pub struct Trainer {
    /// The models' shapes and their runs.
    pub recipe: Recipe,
    /// The training data.
    pub data: Data,
    /// The model folder that is written.
    pub model: PathBuf,
    /// A model with the initial weights, instead of random ones.
    pub init: Option<Folder>,
    /// Checkpoints and logs, a folder a model.
    pub runs: PathBuf,
    /// The dtype that the networks compute in while they are trained; their masters are f32.
    pub kind: Kind,
    /// The device of the networks.
    pub device: Device,
    /// The step at which a run stops early, to be resumed another time.
    pub stop_at: Option<u64>,
    /// Steps between two sheets of samples; 0 for none. There is one at the end too.
    pub samples_every: u64,
    /// The processes that train together: each computes its part of every batch, and rank 0 writes. All see the same folders.
    pub group: Group,
    /// Whether each process holds only its part of the optimiser's state (ZeRO-1, 1910.02054).
    pub shard_optimizer: bool,
}

impl Trainer {
    /// Copies the components that the model lacks from the model with the initial weights, but for those that the training
    /// of `models` will write, so that it is whole afterwards. Writes nothing where the data does not suit these models.
    pub fn complete_from_init(&self, models: &[&str]) -> Result<(), Error> {
        models.iter().try_for_each(|model| self.data.check_images(model))?;
        self.first(|| {
            self.check_family(models)?;
            self.copy_from_init(models)
        })
    }

    fn copy_from_init(&self, models: &[&str]) -> Result<(), Error> {
        let Some(init) = &self.init else {
            return Ok(());
        };
        if let Data::Embeddings(cache) = &self.data {
            let own = self.model.join("image_encoder");
            let own = own.is_dir().then(|| Folder::open(own)).transpose()?;
            let of_init = Some(init.component("image_encoder")).filter(Folder::exists);
            if let Some(encoder) = own.or(of_init) {
                let encoder = encoder.fingerprint()?;
                cache.check(&encoder, self.recipe.prior.model.embedding)?;
            }
        }
        let mut writes: Vec<&str> = models.iter().flat_map(|model| writes(model)).collect();
        // A student of the weights that were, which may lack tensors, is none of those that will be.
        let students =
            [("decoder", karlo::DISTILLED_DECODER), ("upsampler", karlo::DISTILLED_UPSAMPLER)];
        writes.extend(
            students
                .iter()
                .filter(|(teacher, _)| models.contains(teacher))
                .map(|(_, student)| *student),
        );
        let from = families::recognise(init);
        match models.iter().any(|model| is_compact_glide(model)) && from.decodes_embeddings() {
            true => Ok(families::complete_compact_glide(init, &self.model, &writes)?),
            false => Ok(families::complete_model(init, &self.model, &from, &writes)?),
        }
    }

    /// Refuses a model folder of another family, whose index would no longer say what it is. All have tokenizers.
    fn check_family(&self, models: &[&str]) -> Result<(), Error> {
        let wanted = match models.iter().any(|model| is_compact_glide(model)) {
            true => families::compact_glide(),
            false => families::karlo(),
        };
        if models == ["tokenizer"] || !self.model.join(karlo::INDEX).exists() {
            return Ok(());
        }
        let found = families::recognise(&Folder::open(&self.model)?);
        match found.pipeline == wanted.pipeline {
            true => Ok(()),
            false => Err(Error::OtherFamily {
                folder: self.model.clone(),
                found: found.name,
                wanted: wanted.name,
                model: models[0].to_owned(),
            }),
        }
    }

    /// Plots the metrics of all models on one page, `plots.svg` beside their folders. None where there are no metrics.
    pub fn plot(&self) -> Result<Option<PathBuf>, Error> {
        let models: Vec<&str> = WRITES.iter().map(|(model, _)| *model).collect();
        plots::draw(&self.runs, &models)
    }

    /// Learns the byte pairs: `tokenizer/`.
    pub fn train_tokenizer(&self) -> Result<(), Error> {
        let folder = self.model.join("tokenizer");
        self.first(|| tokenizer::train(&self.recipe.tokenizer, &self.data, &folder))
    }

    /// Trains a model and saves it into the model folder. Sheets of samples show it as `save` would save it then.
    pub(crate) fn train<O: Objective>(
        &self,
        run: TrainingRun,
        optimizer: AdamW,
        observer: &mut dyn Observer,
        save: impl Fn(&Path, &Weights) -> Result<(), Error>,
        open: impl FnOnce(u64) -> Result<O, Error>,
    ) -> Result<(), Error> {
        let writes: Vec<&str> = writes(run.model).collect();
        let folder = run.folder.clone();
        let sheet_model = SheetModel {
            model: &self.model,
            folder: &folder,
            writes: &writes,
            device: self.device,
            kind: self.kind,
            is_compact_glide: is_compact_glide(run.model),
        };
        let draw = |averaged: &Weights| {
            sheet_model.draw(|whole| save(whole, averaged), &self.data.captions(SAMPLES))
        };
        // The prior and the decoder of a new CLIP are trained after it.
        let wanted = self.samples_every > 0 && !matches!(run.model, "clip" | "noised_clip");
        let lacking = sheet_model.lacks().filter(|_| wanted);
        if let Some(part) = lacking {
            let model = run.model;
            tracing::warn!("{model}: no samples are drawn, because the model has no {part} yet");
        }
        let samples = SampleSheets { every: self.samples_every, draw: &draw };
        let is_drawn = !self.any(!wanted || lacking.is_some())?;
        let samples = is_drawn.then_some(samples);
        let run = TrainingRun { samples, ..run };
        let averaged = run.train(optimizer, observer, open)?;
        self.first(|| save(&self.model, &averaged))
    }

    /// Names the components that are there, and the model's defaults for drawing.
    pub(crate) fn save_index(&self, folder: &Path, logit_scale: Option<f64>) -> Result<(), Error> {
        let family = families::karlo();
        families::save_model_index(folder, &family, logit_scale)?;
        Ok(families::save_model_defaults(folder, &family, &self.recipe.drawing)?)
    }

    /// A run of this trainer's, of a model that learns from the components `upstream`.
    pub(crate) fn run<'a>(
        &self,
        model: &'static str,
        settings: &'a RunSettings,
        upstream: &[&str],
    ) -> Result<TrainingRun<'a>, Error> {
        let (batch, parts, world) = (settings.batch, settings.accumulate, self.group.world());
        if !batch.is_multiple_of(parts * world) {
            return Err(Error::Batch { model: model.to_owned(), batch, parts, world });
        }
        Ok(TrainingRun {
            model,
            settings,
            folder: self.runs.join(model),
            stop_at: self.stop_at,
            upstream: self.fingerprint(upstream)?,
            data: self.data.describe(),
            samples: None,
            recipe: sha256(&serde_json::to_vec(&self.recipe).expect("plain data")),
            group: self.group.clone(),
            shard_optimizer: self.shard_optimizer,
        })
    }

    /// The part of a run's batches that this process computes.
    pub(crate) fn plan(&self, run: &RunSettings) -> BatchPlan {
        let (rank, world) = (self.group.rank(), self.group.world());
        BatchPlan { batch: run.batch, parts: run.accumulate, rank, world }
    }

    /// Whether any of the processes says so. To be called by all of them.
    pub fn any(&self, own: bool) -> Result<bool, Error> {
        any(&self.group, own)
    }

    /// Gives all processes rank 0's values of what each has measured, which rounding may have set apart.
    pub(crate) fn take_of_first(&self, tensors: &[&Tensor]) -> Result<(), Error> {
        for tensor in tensors {
            self.group.broadcast(&mut tensor.shallow_clone(), 0)?;
        }
        Ok(())
    }

    /// Has rank 0 do what is done once, while the others wait.
    pub(crate) fn first(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        if self.group.is_first() {
            work()?;
        }
        Ok(self.group.barrier()?)
    }

    /// The images of a run from a step on, as many at once as are computed at once.
    pub(crate) fn stream(&self, request: SampleRequest, run: &RunSettings, step: u64) -> Stream {
        Stream::new(&self.data, request, self.plan(run), step)
    }

    /// Builds a model, and the optimiser of those of its parameters that are `trained`, with weights from the run's seed, or
    /// those that `init` has in `components`.
    pub(crate) fn build<M>(
        &self,
        run: &TrainingRun,
        components: &[Component],
        build: impl Fn(&Params) -> M,
        trained: impl Fn(&str) -> bool,
    ) -> Result<(M, AdamW), Error> {
        self.build_from(self.init_with(components)?, run, components, build, trained)
    }

    /// The same with the weights that `init`, if any, has in `components`.
    pub(crate) fn build_from<M>(
        &self,
        init: Option<Folder>,
        run: &TrainingRun,
        components: &[Component],
        build: impl Fn(&Params) -> M,
        trained: impl Fn(&str) -> bool,
    ) -> Result<(M, AdamW), Error> {
        let initialiser = Initialiser::new(run.settings.seed, self.device, self.kind);
        let model = build(&Params::root(&initialiser));
        let select = |tensors: Vec<(String, Tensor)>| -> Vec<(String, Tensor)> {
            tensors.into_iter().filter(|(name, _)| trained(name)).collect()
        };
        let parameters = select(initialiser.into_parameters());
        let mut optimizer = AdamW::new(parameters, run.settings.optimizer.clone());
        if let Some(init) = init {
            let initial = InitialWeights::open(&init, components)?;
            build(&Params::root(&initial));
            let weights = select(initial.finish()?).into_iter().map(|(_, tensor)| tensor);
            optimizer.init_from(&weights.collect::<Vec<_>>());
        }
        Ok((model, optimizer))
    }

    /// The model with the initial weights, if it has any of these components.
    pub(crate) fn init_with(&self, components: &[Component]) -> Result<Option<Folder>, Error> {
        let Some(init) = &self.init else {
            return Ok(None);
        };
        let has = |component: &Component| init.component(component.folder).exists();
        Ok(components.iter().any(has).then(|| init.clone()))
    }

    /// A hash of the files of some components.
    fn fingerprint(&self, components: &[&str]) -> Result<String, Error> {
        let mut hash = Sha256::new();
        for component in components {
            let folder = self.model.join(component);
            let entries = std::fs::read_dir(&folder).map_err(Error::file(&folder))?;
            let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            files.sort();
            for file in files {
                hash.update(std::fs::read(&file).map_err(Error::file(&file))?);
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The steps that a training has taken up to its newest checkpoint.
    pub(crate) fn steps_taken(&self, model: &str) -> u64 {
        let folder = &self.runs.join(model);
        Checkpoints { folder, model, upstream: "", data: "" }.steps_taken()
    }

    /// The tokenizer of the model that is written, for the training of one of its parts.
    pub(crate) fn tokenizer(&self, model: &'static str) -> Result<Tokenizer, Error> {
        let folder = self.model.join(karlo::TOKENIZER);
        match folder.is_dir() {
            true => Ok(families::open_tokenizer(&Folder::open(&folder)?)?),
            false => Err(Error::NoTokenizer { folder: self.model.clone(), model }),
        }
    }

    /// A component of the model that is written.
    pub(crate) fn component(&self, name: &str) -> Result<Folder, Error> {
        Ok(Folder::open(&self.model)?.component(name))
    }

    pub(crate) fn text_encoder(&self) -> Result<FrozenTextEncoder, Error> {
        let (device, kind) = (self.device, self.kind);
        Ok(FrozenTextEncoder {
            text: families::open_text_encoder(&self.component("text_encoder")?, device, kind)?,
            tokenizer: families::open_tokenizer(&self.component("tokenizer")?)?,
            kind,
            device,
        })
    }

    pub(crate) fn image_encoder(&self) -> Result<FrozenImageEncoder, Error> {
        let (device, kind) = (self.device, self.kind);
        Ok(FrozenImageEncoder {
            image: families::open_image_encoder(&self.component("image_encoder")?, device, kind)?,
            kind,
            device,
        })
    }

    /// The embeddings that a prior learns from: those of this model's image encoder.
    pub(crate) fn embeddings(&self) -> Result<EmbeddingDataset, Error> {
        Ok(match &self.data {
            Data::Embeddings(cache) => {
                let encoder = self.component("image_encoder")?.fingerprint()?;
                cache.check(&encoder, self.recipe.prior.model.embedding)?;
                EmbeddingDataset::Cache { cache: cache.clone(), device: self.device }
            }
            data => EmbeddingDataset::Images {
                data: data.clone(),
                encoder: Box::new(self.image_encoder()?),
            },
        })
    }
}

/// A request for images of `size` pixels from a subset.
pub(crate) fn request(subset: u64, size: i64, run: &RunSettings) -> SampleRequest {
    SampleRequest { subset, seed: run.seed, size: size as u32, hard_negatives: false, noise: 0 }
}

/// The tensors whose names begin with `prefix`, without it.
pub(crate) fn without_prefix(tensors: &Weights, prefix: &str) -> Vec<(String, Tensor)> {
    let strip = |(name, tensor): &(String, Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    tensors.iter().filter_map(strip).collect()
}
