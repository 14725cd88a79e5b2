//! The loop that every leg shares: a loss, a backward pass, a step; a line of log, a checkpoint, the time left.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{AdamW, AdamWSettings, Error, checkpoint};

/// How long and how fast a leg trains.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Steps in all.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the rate rises from 0; afterwards it falls to 0 along half a cosine.
    pub warmup: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Seed of the weights and of every random choice.
    pub seed: u64,
    /// The optimiser's constants.
    pub optimizer: AdamWSettings,
}

impl RunSettings {
    /// The learning rate of step `step`.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let done = (step - self.warmup) as f64 / (self.steps - self.warmup).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

/// Figures to log beside a loss.
pub type Figures = Vec<(&'static str, f64)>;

/// One model's objective.
pub trait Leg {
    /// Its name in logs and checkpoints.
    fn name(&self) -> &'static str;

    /// The loss (a scalar in f32) of the next batch, and figures to log beside it. Everything random comes from
    /// `generator`.
    fn loss(&mut self, generator: &mut Generator) -> Result<(Tensor, Figures), Error>;
}

/// Trains until `settings.steps`, or until `stop_at` (for runs in parts), and returns the averaged weights.
///
/// `open` makes the leg at the step it is to go on from, over parameters that the optimiser already holds. The folder
/// `run` gets `checkpoint.safetensors` and `log.jsonl`.
pub fn train<L: Leg>(
    name: &str,
    parameters: Vec<(String, Tensor)>,
    settings: &RunSettings,
    run: &Path,
    stop_at: Option<u64>,
    open: impl FnOnce(u64) -> Result<L, Error>,
) -> Result<Vec<(String, Tensor)>, Error> {
    std::fs::create_dir_all(run).map_err(Error::file(run))?;
    let path = run.join("checkpoint.safetensors");
    let mut optimizer = AdamW::new(parameters, settings.optimizer.clone());
    let mut generator = checkpoint::resume(&path, name, &mut optimizer)?
        .unwrap_or_else(|| Generator::new(settings.seed));
    tracing::info!(
        leg = name,
        parameters = optimizer.parameter_count(),
        step = optimizer.steps_taken(),
        "training"
    );
    let mut leg = open(optimizer.steps_taken())?;
    let log_path = run.join("log.jsonl");
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(Error::file(&log_path))?;

    let end = settings.steps.min(stop_at.unwrap_or(u64::MAX));
    let bar = progress_bar(name, settings.steps, optimizer.steps_taken());
    let (started, first) = (Instant::now(), optimizer.steps_taken());
    while optimizer.steps_taken() < end {
        let step = optimizer.steps_taken();
        let learning_rate = settings.learning_rate_at(step);
        let (loss, figures) = leg.loss(&mut generator)?;
        loss.backward();
        let norm = optimizer.step(learning_rate);
        let loss = loss.double_value(&[]);
        if !loss.is_finite() || !norm.is_finite() {
            let loss = if loss.is_finite() { norm } else { loss };
            return Err(Error::Diverged {
                leg: name.to_owned(),
                step,
                learning_rate,
                loss,
            });
        }
        let rate =
            ((step + 1 - first) as usize * settings.batch) as f64 / started.elapsed().as_secs_f64();
        bar.set_message(format!("loss {loss:.4}, {rate:.0} pictures/s"));
        bar.inc(1);
        if step.is_multiple_of(10) || step + 1 == end {
            let mut line = serde_json::json!({
                "step": step, "loss": loss, "gradient_norm": norm, "learning_rate": learning_rate,
                "pictures_per_second": rate,
            });
            for (figure, value) in figures {
                line[figure] = value.into();
            }
            writeln!(log, "{line}").map_err(Error::file(&log_path))?;
        }
        if (step + 1).is_multiple_of(settings.checkpoint_every) || step + 1 == end {
            checkpoint::save(&path, name, &optimizer, &generator)?;
        }
    }
    bar.finish();
    Ok(optimizer.averaged())
}

fn progress_bar(name: &str, steps: u64, done: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len} {msg}, {eta} left");
    let bar = ProgressBar::new(steps)
        .with_style(style.expect("the template is valid"))
        .with_prefix(name.to_owned());
    bar.set_position(done);
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}
