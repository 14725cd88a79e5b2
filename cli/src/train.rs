//! `unclip train`: arguments to a trainer and its legs.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use families::{Shapes, karlo};
use tch::{Device, Kind};
use training::{Data, Recipe, Trainer, estimate};
use weights::Folder;

use crate::destinations::check_room;
use crate::device::{self, DeviceChoice, Dtype};
use crate::input::read_text;
use crate::interrupt;
use crate::messages::say;
use crate::stdout::print_bytes;
use crate::threads::warn_of_idle_processors;
use crate::training_progress::leg_progress;

/// Train the models, each its own leg; a leg that was stopped goes on where its last checkpoint is.
#[derive(Args, Debug)]
pub struct Train {
    /// One model, or `all` of them in this order
    #[arg(
        value_enum,
        default_value = "all",
        hide_possible_values = true,
        value_name = "tokenizer|clip|prior|decoder|upsampler|all"
    )]
    what: What,
    /// The recipe: small (the model that ships), tiny (to try things out), karlo or paper (the published shapes)
    #[arg(long, value_name = "NAME", default_value = "small")]
    preset: String,
    /// A recipe of your own, in the form of the presets in training/presets
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Which prior is meant by `prior`: the one by diffusion, or the one that draws code by code
    #[arg(long, value_enum, hide_possible_values = true, value_name = "diffusion|autoregressive")]
    kind: Option<PriorKind>,
    /// Change a field of the recipe, as in `decoder.run.batch=16`; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Tell what each leg would take (parameters, memory, operations) and what is in --data, and train nothing
    #[arg(long)]
    dry_run: bool,
    /// What to learn from, once or more often: a folder of pictures, with captions in metadata.jsonl, metadata.csv or a
    /// .txt beside each; a folder of webdataset shards; a .tar, or a pattern of them like 'shards/{00..09}.tar'; scenes,
    /// which this project draws; for the prior, also shards that unclip embed wrote [default: scenes]
    #[arg(long, value_name = "DATA")]
    data: Vec<OsString>,
    /// Mirror half of the pictures of --data; not where captions tell left from right
    #[arg(long, requires = "data")]
    flip: bool,
    /// The model folder to write
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// A model folder whose weights the legs begin with, where they have no checkpoint yet; shapes are its own, and parts
    /// that --out lacks are copied from it
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// The folder of checkpoints, figures (metrics.jsonl and TensorBoard's events), samples and plots, one folder a leg
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Steps between two sheets of samples of the first captions, in samples/ of a leg's folder; one at the end; 0: none
    #[arg(long, value_name = "STEPS", default_value_t = 1000)]
    samples_every: u64,
    /// Stop the leg at this step, to go on another time
    #[arg(long, value_name = "STEP")]
    stop_at: Option<u64>,
    /// Numbers that the networks compute in; the optimiser's weights are f32 [default: bf16 where the processor or the GPU
    /// computes in it, else f32]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "f32|bf16")]
    dtype: Option<Dtype>,
    /// auto, cpu or cuda[:N]
    #[arg(long, default_value = "auto", value_parser = device::parse, value_name = "auto|cpu|cuda[:N]")]
    device: DeviceChoice,
}

/// Prints what the legs asked for would take.
fn dry_run(recipe: &Recipe, what: &str, kind: Kind, device: Device) -> Result<()> {
    let mut out = Vec::new();
    let rows = [["leg", "trained", "frozen", "weights", "activations", "a step", "all steps"]
        .map(str::to_owned)]
    .into_iter()
    .chain(estimate(recipe, kind, device).into_iter().filter_map(|(name, leg, run)| {
        let all = what == "all" && name != karlo::AUTOREGRESSIVE_PRIOR;
        let asked = all || what == name;
        asked.then(|| {
            [
                name.to_owned(),
                scaled(leg.parameters as f64, 1e3, &["", " K", " M", " B"]),
                scaled(leg.frozen as f64, 1e3, &["", " K", " M", " B"]),
                scaled(leg.weights, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
                scaled(leg.activations, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
                scaled(leg.flops, 1e3, OPERATIONS),
                scaled(leg.flops * run.steps as f64, 1e3, OPERATIONS),
            ]
        })
    }));
    for row in rows {
        let [leg, cells @ ..] = row;
        write!(out, "{leg:<20}")?;
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

/// A leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Tokenizer,
    Clip,
    Prior,
    Decoder,
    Upsampler,
    All,
}

/// A prior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PriorKind {
    Diffusion,
    Autoregressive,
}

impl What {
    /// As on the command line.
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no leg is hidden");
        value.get_name().to_owned()
    }
}

/// The model to begin with.
fn beginning(init: &Path) -> Result<Folder> {
    let folder = families::locate(init).context("--init")?;
    match families::describe(&folder) {
        Some(held) => bail!("--init {}: this is no model: {held}", init.display()),
        None => Ok(folder),
    }
}

impl Train {
    /// The preset or the user's own recipe, with the shapes of the model to begin with, changed as asked.
    fn recipe(&self) -> Result<Recipe> {
        let shapes = match &self.init {
            Some(init) => Shapes::read(&beginning(init)?, &karlo())?,
            None => Shapes::default(),
        };
        let Some(path) = &self.config else {
            let preset = Recipe::preset_text(&self.preset)?;
            return Ok(Recipe::read(preset, &shapes, &self.set)?);
        };
        let (name, text) = read_text("--config", path)?;
        Recipe::read(&text, &shapes, &self.set).with_context(|| format!("--config {name}"))
    }

    /// Runs the legs asked for.
    pub fn run(self) -> Result<()> {
        ensure!(
            self.dtype != Some(Dtype::F16),
            "--dtype f16: training needs f32's range; use bf16 or f32"
        );
        ensure!(
            self.kind.is_none() || self.what == What::Prior,
            "--kind tells priors apart: it goes with `train prior`, not with `train {}`",
            self.what.name()
        );
        let autoregressive = self.kind == Some(PriorKind::Autoregressive);
        let name = |leg: What| match autoregressive {
            true => karlo::AUTOREGRESSIVE_PRIOR.to_owned(),
            false => leg.name(),
        };
        let recipe = self.recipe()?;
        let device = self.device.find()?;
        let dtype = self.dtype.unwrap_or_else(|| Dtype::for_training(device));
        let data = Data::open(&self.data, self.flip)?;
        let Some(out) = self.out.filter(|_| !self.dry_run) else {
            data.check_pictures(&name(self.what))?;
            tell_found(&data);
            dtype.warn_of_cost(device);
            return dry_run(&recipe, &name(self.what), dtype.kind(), device);
        };
        check_room("--out", &out)?;
        check_room("--runs", &self.runs)?;
        tch::Cuda::cudnn_set_benchmark(true); // every step has the same shapes
        let trainer = Trainer {
            recipe,
            data: data.clone(),
            model: out,
            init: match &self.init {
                Some(init) => beginning(init)?.path().map(Path::to_owned),
                None => None,
            },
            runs: self.runs,
            kind: dtype.kind(),
            device,
            stop_at: self.stop_at,
            samples_every: self.samples_every,
            told: leg_progress(),
            stopped: Box::new(interrupt::asked),
        };
        type Leg = (What, fn(&Trainer) -> Result<(), training::Error>);
        let legs: [Leg; 5] = [
            (What::Tokenizer, Trainer::train_tokenizer),
            (What::Clip, Trainer::train_clip),
            match autoregressive {
                true => (What::Prior, Trainer::train_autoregressive_prior),
                false => (What::Prior, Trainer::train_prior),
            },
            (What::Decoder, Trainer::train_decoder),
            (What::Upsampler, Trainer::train_upsampler),
        ];
        // The tokens of a model to begin with are those that its text encoder knows.
        let kept = |leg: What| leg == What::Tokenizer && trainer.init.is_some();
        let asked = |leg: What| self.what == leg || self.what == What::All && !kept(leg);
        let legs = legs.into_iter().filter(|(leg, _)| asked(*leg));
        let names: Vec<String> = legs.clone().map(|(leg, _)| name(leg)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        trainer.complete_from_init(&names)?;
        // The first signal waits for the step that is being taken, and for its checkpoint.
        interrupt::drawing();
        warn_of_idle_processors(device == Device::Cpu);
        dtype.warn_of_cost(device);
        for (_, train) in legs {
            train(&trainer)?;
            if interrupt::asked() {
                let runs = trainer.runs.display();
                say!("stopped: the same command goes on from the checkpoint in {runs}");
                break;
            }
        }
        if let Some(page) = trainer.plot()? {
            say!("how the legs went is plotted in {}", page.display());
        }
        tell_broken(&data);
        Ok(())
    }
}

/// Says how much data there is, as far as is known before it is read.
fn tell_found(data: &Data) {
    if let Some(samples) = data.samples() {
        let left_out = samples.broken().len();
        let count = samples.found() - left_out;
        say!("{count} samples are found in --data, and {left_out} more are left out as broken");
    }
}

/// Says how much of the data was broken.
pub fn tell_broken(data: &Data) {
    if let Some(samples) = data.samples() {
        let (left_out, of) = (samples.broken().len(), samples.found());
        say!("{left_out} of {of} pictures and captions were left out as broken");
    }
}
