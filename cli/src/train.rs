//! `unclip train`: arguments to a trainer and its legs.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use training::{Data, Recipe, Trainer};

use crate::device::{self, DeviceChoice, Dtype};
use crate::interrupt;
use crate::progress::leg_bars;

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
    /// The recipe: `small` is the model that ships, `tiny` is for trying out
    #[arg(long, value_name = "NAME", default_value = "small")]
    preset: String,
    /// A recipe of your own, in the form of the presets in training/presets
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// What to learn from, once or more often: a folder of pictures, with captions in metadata.jsonl, metadata.csv or a
    /// .txt beside each; a folder of webdataset shards; a .tar, or a pattern of them like 'shards/{00..09}.tar'; scenes,
    /// which this project draws; for the prior, also shards that unclip embed wrote [default: scenes]
    #[arg(long, value_name = "DATA")]
    data: Vec<String>,
    /// Mirror half of the pictures of --data; not where captions tell left from right
    #[arg(long, requires = "data")]
    flip: bool,
    /// The model folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A model folder whose weights the legs begin with, where they have no checkpoint yet
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// The folder of checkpoints and logs, one folder a leg
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Stop the leg at this step, to go on another time
    #[arg(long, value_name = "STEP")]
    stop_at: Option<u64>,
    /// What the networks compute in; the optimiser's weights are always f32
    #[arg(
        long,
        value_enum,
        default_value = "bf16",
        hide_possible_values = true,
        value_name = "f32|bf16"
    )]
    dtype: Dtype,
    /// auto, cpu or cuda[:N]
    #[arg(long, default_value = "auto", value_parser = device::parse, value_name = "auto|cpu|cuda[:N]")]
    device: DeviceChoice,
    /// CPU threads; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<u16>,
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

impl Train {
    /// Runs the legs asked for.
    pub fn run(self) -> Result<()> {
        ensure!(
            self.dtype != Dtype::F16,
            "--dtype f16: training needs f32's range; use bf16 or f32"
        );
        if let Some(threads) = self.threads {
            ensure!(threads > 0, "--threads 0: at least one thread must compute");
            tch::set_num_threads(i32::from(threads));
        }
        let recipe = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read --config {}", path.display()))?;
                Recipe::from_toml(&text).with_context(|| format!("--config {}", path.display()))?
            }
            None => Recipe::preset(&self.preset)?,
        };
        let data = Data::open(&self.data, self.flip)?;
        let trainer = Trainer {
            recipe,
            data: data.clone(),
            model: self.out,
            init: self.init,
            runs: self.runs,
            kind: self.dtype.kind(),
            device: self.device.find()?,
            stop_at: self.stop_at,
            told: Box::new(leg_bars()),
            stopped: Box::new(interrupt::asked),
        };
        // The first signal waits for the step that is being taken, and for its checkpoint.
        interrupt::drawing()?;
        type Leg = (What, fn(&Trainer) -> Result<(), training::Error>);
        let legs: [Leg; 5] = [
            (What::Tokenizer, Trainer::train_tokenizer),
            (What::Clip, Trainer::train_clip),
            (What::Prior, Trainer::train_prior),
            (What::Decoder, Trainer::train_decoder),
            (What::Upsampler, Trainer::train_upsampler),
        ];
        for (leg, train) in legs {
            if self.what == leg || self.what == What::All {
                train(&trainer)?;
            }
            if interrupt::asked() {
                let runs = trainer.runs.display();
                eprintln!(
                    "unclip: stopped: the same command goes on from the checkpoint in {runs}"
                );
                break;
            }
        }
        tell_broken(&data);
        Ok(())
    }
}

/// Says how much of the data was broken.
pub fn tell_broken(data: &Data) {
    if let Some(samples) = data.samples() {
        let (left_out, of) = (samples.broken().len(), samples.found());
        eprintln!("unclip: {left_out} of {of} pictures and captions were left out as broken");
    }
}
