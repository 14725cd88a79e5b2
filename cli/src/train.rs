//! `unclip train`: arguments to a trainer and the models that it trains.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use families::{Shapes, karlo};
use tch::{Device, Kind};
use training::trainer::is_compact_glide;
use training::{Data, Estimate, Observer, Recipe, Trainer, estimate};
use weights::Folder;

use crate::destinations::check_room;
use crate::device::{self, DeviceChoice, Dtype};
use crate::group_args::GroupArgs;
use crate::input::read_text;
use crate::interrupt;
use crate::launch::launch;
use crate::messages::say;
use crate::model::locator;
use crate::stdout::print_bytes;
use crate::threads::warn_of_idle_processors;
use crate::training_progress::TrainingProgress;

/// Train the models, one after the other; one whose training was stopped goes on where its last checkpoint is.
#[derive(Args, Debug)]
pub(crate) struct Train {
    /// One model, or `all` of an unCLIP in this order; glide and noised-clip are a model of their own
    #[arg(
        value_enum,
        default_value = "all",
        hide_possible_values = true,
        value_name = "tokenizer|clip|prior|decoder|upsampler|glide|noised-clip|all"
    )]
    what: What,
    /// The recipe: small (the model that ships), world (everyday captions), tiny (to try things out), karlo or paper (the
    /// published shapes)
    #[arg(long, value_name = "NAME", default_value = "small")]
    preset: String,
    /// A recipe of your own, in the form of the presets in training/presets
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Which prior is meant by `prior`: the one by diffusion, or the one that draws code by code
    #[arg(long, value_enum, hide_possible_values = true, value_name = "diffusion|autoregressive")]
    kind: Option<PriorKind>,
    /// Train a student that draws in few steps what the decoder, or the upsampler, of --out or --init draws in many; `train
    /// decoder --distill` writes it beside its teacher, and --preset fast draws with it
    #[arg(long)]
    distill: bool,
    /// Change a field of the recipe, as in `decoder.run.batch=16`; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Tell what each model would take (parameters, memory, operations) and what is in --data, and train nothing
    #[arg(long)]
    dry_run: bool,
    /// The data to learn from, once or more often: a folder of pictures, with captions in metadata.jsonl, metadata.csv or a
    /// .txt beside each; a folder of webdataset shards; a .tar, or a pattern of them like 'shards/{00..09}.tar'; scenes
    /// and world, which this project draws (both: by turns); for the prior, also shards that unclip embed wrote [default: scenes]
    #[arg(long, value_name = "DATA")]
    data: Vec<OsString>,
    /// Mirror half of the pictures of --data; not where captions tell left from right
    #[arg(long, requires = "data")]
    flip: bool,
    /// The model folder to write
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// A model folder whose weights the models begin with, where they have no checkpoint yet; shapes are its own, and parts
    /// that --out lacks are copied from it; of an unCLIP, glide and noised-clip take the tokenizer and the upsampler alone
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// The folder of checkpoints, figures (metrics.jsonl and TensorBoard's events), samples and plots, one folder a model
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Steps between two sheets of samples of the first captions, in samples/ of a model's folder; one at the end; 0: none
    #[arg(long, value_name = "STEPS", default_value_t = 1000)]
    samples_every: u64,
    /// Stop at this step, to go on another time
    #[arg(long, value_name = "STEP")]
    stop_at: Option<u64>,
    /// Numbers that the networks compute in; the optimiser's weights are f32 [default: bf16 where the processor or the GPU
    /// computes in it, else f32]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "f32|bf16")]
    dtype: Option<Dtype>,
    /// auto, cpu or cuda[:N]
    #[arg(long, default_value = "auto", value_parser = device::parse, value_name = "auto|cpu|cuda[:N]")]
    device: DeviceChoice,
    #[command(flatten)]
    group: GroupArgs,
}

/// Prints the estimates of `what`.
fn dry_run(recipe: &Recipe, what: &str, kind: Kind, device: Device) -> Result<()> {
    const COUNTS: &[&str] = &["", " K", " M", " B"];
    const BYTES: &[&str] = &[" B", " KiB", " MiB", " GiB", " TiB"];
    let row = |estimate: &Estimate| {
        let steps = estimate.steps as f64;
        [
            estimate.model.to_owned(),
            scaled(estimate.parameters as f64, 1e3, COUNTS),
            scaled(estimate.frozen as f64, 1e3, COUNTS),
            scaled(estimate.weights, 1024.0, BYTES),
            scaled(estimate.activations, 1024.0, BYTES),
            scaled(estimate.flops, 1e3, OPERATIONS),
            scaled(estimate.flops * steps, 1e3, OPERATIONS),
        ]
    };
    let header = ["model", "trained", "frozen", "weights", "activations", "a step", "all steps"];
    let estimates = estimate(recipe, kind, device);
    let asked = estimates.iter().filter(|estimate| match what {
        "all" => estimate.model != karlo::AUTOREGRESSIVE_PRIOR && !is_compact_glide(estimate.model),
        // Its two trainings go by one name.
        "glide" => matches!(estimate.model, "glide" | "glide_inpainting"),
        model => estimate.model == model,
    });
    let mut out = Vec::new();
    for [model, cells @ ..] in [header.map(str::to_owned)].into_iter().chain(asked.map(row)) {
        write!(out, "{model:<20}")?;
        for cell in cells {
            write!(out, " {cell:>12}")?;
        }
        writeln!(out)?;
    }
    print_bytes(&out)
}

const OPERATIONS: &[&str] =
    &[" FLOP", " KFLOP", " MFLOP", " GFLOP", " TFLOP", " PFLOP", " EFLOP", " ZFLOP"];

/// Three or four digits and a unit.
fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$}{}", units[unit])
}

/// The model to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Tokenizer,
    Clip,
    Prior,
    Decoder,
    Upsampler,
    Glide,
    NoisedClip,
    All,
}

/// A prior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PriorKind {
    Diffusion,
    Autoregressive,
}

/// A model's name, and the method that trains it.
type Training = (&'static str, fn(&Trainer, &mut dyn Observer) -> Result<(), training::Error>);

impl What {
    /// Whether it is a part of a compact GLIDE.
    fn is_of_glide(self) -> bool {
        matches!(self, Self::Glide | Self::NoisedClip)
    }

    /// As on the command line.
    fn argument(self) -> String {
        let value = self.to_possible_value().expect("no model is hidden");
        value.get_name().to_owned()
    }
}

/// The model with the initial weights.
fn init_folder(init: &Path, of_glide: bool) -> Result<Folder> {
    let folder = locator(None).locate(init).context("--init")?;
    if let Some(description) = families::describe(&folder) {
        bail!("--init {}: this is no model: {description}", init.display());
    }
    let family = families::recognise(&folder);
    let is_compact = family.pipeline == families::compact_glide().pipeline;
    let (name, init_name) = (family.name, init.display());
    ensure!(
        family.pipeline == families::karlo().pipeline || is_compact,
        "--init {init_name}: {name} cannot be trained, models in Karlo's layout and compact GLIDE can"
    );
    ensure!(
        of_glide || !is_compact,
        "--init {init_name}: it is a {name}, which `train glide` and `train noised-clip` train on"
    );
    Ok(folder)
}

/// The error, and the commands that help.
fn with_commands(error: training::Error) -> anyhow::Error {
    match &error {
        training::Error::NoTokenizer { .. } => {
            anyhow!("{error}, by `unclip train tokenizer`, or comes from the model of --init")
        }
        _ => error.into(),
    }
}

impl Train {
    /// The preset or the user's own recipe, with the shapes of the model with the initial weights, changed as asked.
    fn recipe(&self) -> Result<Recipe> {
        let shapes = match &self.init {
            Some(init) => {
                let folder = init_folder(init, self.what.is_of_glide())?;
                Shapes::read(&folder, &families::recognise(&folder))?
            }
            None => Shapes::default(),
        };
        let Some(path) = &self.config else {
            let preset = Recipe::preset_text(&self.preset)?;
            return Ok(Recipe::read(preset, &shapes, &self.set)?);
        };
        let (name, text) = read_text("--config", path)?;
        Recipe::read(&text, &shapes, &self.set).with_context(|| format!("--config {name}"))
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.dtype != Some(Dtype::F16),
            "--dtype f16: training needs f32's range; use bf16 or f32"
        );
        ensure!(
            self.kind.is_none() || self.what == What::Prior,
            "--kind tells priors apart: it goes with `train prior`, not with `train {}`",
            self.what.argument()
        );
        ensure!(
            !self.distill || matches!(self.what, What::Decoder | What::Upsampler),
            "--distill goes with `train decoder` and `train upsampler`, not with `train {}`",
            self.what.argument()
        );
        Ok(())
    }

    /// The models that are asked for, in their order.
    fn trainings(&self) -> Vec<Training> {
        let all: [(What, Training); 8] = [
            (What::Tokenizer, ("tokenizer", |trainer, _| trainer.train_tokenizer())),
            (What::Clip, ("clip", Trainer::train_clip)),
            match self.kind {
                Some(PriorKind::Autoregressive) => (
                    What::Prior,
                    (karlo::AUTOREGRESSIVE_PRIOR, Trainer::train_autoregressive_prior),
                ),
                _ => (What::Prior, ("prior", Trainer::train_prior)),
            },
            match self.distill {
                true => (What::Decoder, ("decoder_distillation", Trainer::distill_decoder)),
                false => (What::Decoder, ("decoder", Trainer::train_decoder)),
            },
            match self.distill {
                true => (What::Upsampler, ("upsampler_distillation", Trainer::distill_upsampler)),
                false => (What::Upsampler, ("upsampler", Trainer::train_upsampler)),
            },
            (What::Glide, ("glide", Trainer::train_glide)),
            (What::Glide, ("glide_inpainting", Trainer::train_glide_inpainting)),
            (What::NoisedClip, ("noised_clip", Trainer::train_noised_clip)),
        ];
        // The tokens of initial weights are those that their text encoder knows.
        let in_all = |model: What| match model {
            What::Tokenizer => self.init.is_none(),
            What::Glide | What::NoisedClip => false,
            _ => true,
        };
        let asked = |model: What| match self.what {
            What::All => in_all(model),
            what => what == model,
        };
        all.into_iter().filter(|(model, _)| asked(*model)).map(|(_, training)| training).collect()
    }

    /// Trains the models that are asked for.
    pub(crate) fn run(self) -> Result<()> {
        self.check()?;
        let trainings = self.trainings();
        let recipe = self.recipe()?;
        match self.what {
            What::Glide => recipe.glide().map(drop)?,
            What::NoisedClip => recipe.noised_clip().map(drop)?,
            What::Decoder if self.distill => recipe.decoder_distillation().map(drop)?,
            What::Upsampler if self.distill => recipe.upsampler_distillation().map(drop)?,
            _ => {}
        }
        let launch = if self.dry_run { None } else { launch()? };
        let device = self.device.find()?;
        let dtype = self.dtype.unwrap_or_else(|| Dtype::for_training(device));
        let data = world::dataset::open(&self.data, self.flip)?;
        let Some(out) = self.out.filter(|_| !self.dry_run) else {
            let what = match (self.what, &trainings[..]) {
                (What::All, _) => "all",
                (_, trainings) => trainings[0].0,
            };
            data.check_images(what)?;
            say_found(&data);
            dtype.warn_of_cost(device);
            return dry_run(&recipe, what, dtype.kind(), device);
        };
        check_room("--out", &out)?;
        check_room("--runs", &self.runs)?;
        tch::Cuda::cudnn_set_benchmark(true); // every step has the same shapes
        let group = self.group.join(launch.as_ref(), device)?;
        let trainer = Trainer {
            recipe,
            data: data.clone(),
            model: out,
            init: match &self.init {
                Some(init) => Some(init_folder(init, self.what.is_of_glide())?),
                None => None,
            },
            runs: self.runs,
            kind: dtype.kind(),
            device,
            stop_at: self.stop_at,
            samples_every: self.samples_every,
            group: group.clone(),
            shard_optimizer: self.group.shard_optimizer,
        };
        let models: Vec<&str> = trainings.iter().map(|(model, _)| *model).collect();
        trainer.complete_from_init(&models)?;
        // The first signal waits for the step that is being taken, and for its checkpoint.
        interrupt::defer();
        if group.is_first() {
            let processes = launch.as_ref().and_then(|launch| launch.local_world).unwrap_or(1);
            warn_of_idle_processors(device == Device::Cpu, processes);
            dtype.warn_of_cost(device);
        }
        let mut progress = TrainingProgress::new(group.is_first());
        for (_, train) in trainings {
            train(&trainer, &mut progress).map_err(with_commands)?;
            if trainer.any(interrupt::requested())? {
                let runs = trainer.runs.display();
                if group.is_first() {
                    say!("stopped: the same command goes on from the checkpoint in {runs}");
                }
                break;
            }
        }
        if group.is_first()
            && let Some(page) = trainer.plot()?
        {
            say!("how the trainings went is plotted in {}", page.display());
        }
        say_broken(&data);
        Ok(())
    }
}

/// Says how much data there is, as far as is known before it is read.
fn say_found(data: &Data) {
    if let Some(dataset) = data.dataset() {
        let left_out = dataset.broken().len();
        let count = dataset.found() - left_out;
        say!("{count} samples are found in --data, and {left_out} more are left out as broken");
    }
}

/// Says how much of the data was broken.
pub(crate) fn say_broken(data: &Data) {
    if let Some(dataset) = data.dataset() {
        let (left_out, of) = (dataset.broken().len(), dataset.found());
        say!("{left_out} of {of} pictures and captions were left out as broken");
    }
}
