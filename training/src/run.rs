//! The training loop that every model shares: a loss, its backward pass, an optimiser step; a line of log, a checkpoint.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use files::lock::FolderLock;
use image::RgbImage;
use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::checkpoint::Checkpoints;
use crate::metrics::MetricsWriter;
use crate::{AdamW, AdamWSettings, Error};

/// Steps between two lines of metrics.
const LOG_EVERY: u64 = 10;

/// The length, batch size and learning rate of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Steps in all.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// Parts that a batch is computed in, one after the other, where memory is short (gradient accumulation); the step is
    /// the same.
    pub accumulate: usize,
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
    /// Images that are computed at once.
    pub fn micro_batch(&self) -> usize {
        self.batch / self.accumulate
    }

    /// The learning rate of step `step`, counted from 0.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let done =
            (step - self.warmup) as f64 / self.steps.saturating_sub(self.warmup).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

/// Numbers to log, by name.
pub type Metrics = Vec<(&'static str, f64)>;

/// A loss, and metrics to log beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    /// The loss.
    pub value: f64,
    /// The metrics.
    pub metrics: Metrics,
}

/// A model's training objective over its own stream of data.
pub trait Objective {
    /// Adds the gradients of the next batch's loss to those of the parameters. Everything random comes from `generator`.
    fn backward(&mut self, generator: &mut Generator) -> Result<Loss, Error>;
}

/// Gradient accumulation, for a loss that is a mean over images: `backward` is called for each of `parts`, with the weight
/// of the part in the step, and returns the part's own loss. The step's loss and metrics are their means.
pub fn accumulate(
    parts: usize,
    mut backward: impl FnMut(f64) -> Result<Loss, Error>,
) -> Result<Loss, Error> {
    let weight = 1.0 / parts as f64;
    let mut mean = Loss::default();
    for _ in 0..parts {
        let part = backward(weight)?;
        mean.value += weight * part.value;
        for (n, (name, value)) in part.metrics.into_iter().enumerate() {
            match mean.metrics.get_mut(n) {
                Some((_, mean)) => *mean += weight * value,
                None => mean.metrics.push((name, weight * value)),
            }
        }
    }
    Ok(mean)
}

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub struct TrainingStep<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Steps taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// The step's loss.
    pub loss: f64,
    /// Since the run began or was resumed.
    pub images_per_second: f64,
}

/// Observes a run, and may stop it. `()` ignores everything.
pub trait Observer {
    /// Called before each step; `Break` ends the run with a checkpoint, from which it can be resumed.
    fn before_step(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called after each step.
    fn step(&mut self, _: &TrainingStep) {}
}

impl Observer for () {}

/// Weights by their names.
pub type Weights = [(String, Tensor)];

/// Sheets of sample images of a run.
pub struct SampleSheets<'a> {
    /// Steps between two sheets. There is one at the end too.
    pub every: u64,
    /// Draws one from the averaged weights.
    pub draw: &'a dyn Fn(&Weights) -> Result<RgbImage, Error>,
}

/// The training of one model, or a part of it.
pub struct TrainingRun<'a> {
    /// The model's name, in logs and checkpoints.
    pub model: &'static str,
    /// Length, batch size and learning rate.
    pub settings: &'a RunSettings,
    /// The folder of checkpoints, metrics and samples.
    pub folder: PathBuf,
    /// The step to stop at, to be resumed another time.
    pub stop_at: Option<u64>,
    /// A fingerprint of the models that this one learns from: a checkpoint is no use after they have changed.
    pub upstream: String,
    /// A description of the data: the same goes for it.
    pub data: String,
    /// Sheets of samples, if any.
    pub samples: Option<SampleSheets<'a>>,
}

impl TrainingRun<'_> {
    /// Trains until `settings.steps`, or until `stop_at`, and returns the averaged weights.
    ///
    /// `open` makes the objective at the step that the run is resumed at, over parameters that the optimiser already holds.
    pub fn train<O: Objective>(
        &self,
        mut optimizer: AdamW,
        observer: &mut dyn Observer,
        open: impl FnOnce(u64) -> Result<O, Error>,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let Self { model, settings, folder, upstream, data, .. } = self;
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let _alone = FolderLock::take(folder).map_err(Error::lock(folder))?;
        let checkpoints = Checkpoints { folder, model, upstream, data };
        let resumed = checkpoints.resume(&mut optimizer)?;
        let mut generator = resumed.unwrap_or_else(|| Generator::new(settings.seed));
        let (first, end) =
            (optimizer.steps_taken(), settings.steps.min(self.stop_at.unwrap_or(u64::MAX)));
        if first >= end && end > 0 {
            let folder = folder.display();
            tracing::warn!(
                "{model}: {folder} is at step {first} of {end} already, nothing is trained"
            );
        }
        tracing::info!(model, parameters = optimizer.parameter_count(), step = first, "training");
        let mut objective = open(first)?;
        let mut log = StepLog::open(self, first, end)?;
        let mut saved = first;
        while optimizer.steps_taken() < end && observer.before_step().is_continue() {
            let step = optimizer.steps_taken();
            let learning_rate = settings.learning_rate_at(step);
            let loss = objective.backward(&mut generator)?;
            let gradient_norm = optimizer.step(learning_rate);
            if !loss.value.is_finite() || !gradient_norm.is_finite() {
                return Err(Error::Diverged {
                    model: (*model).to_owned(),
                    step,
                    learning_rate,
                    loss: if loss.value.is_finite() { gradient_norm } else { loss.value },
                    checkpoint: checkpoints.found().into_iter().next(),
                });
            }
            observer.step(&log.step(step, &loss));
            log.metrics(step, loss, gradient_norm)?;
            if (step + 1).is_multiple_of(settings.checkpoint_every) || step + 1 == end {
                checkpoints.save(&optimizer, &generator)?;
                saved = step + 1;
            }
            log.samples(step + 1, &optimizer)?;
        }
        if optimizer.steps_taken() > saved {
            checkpoints.save(&optimizer, &generator)?;
        }
        Ok(optimizer.averaged())
    }
}

/// The log of a run: metrics and samples, and how fast it goes.
struct StepLog<'a> {
    run: &'a TrainingRun<'a>,
    writer: MetricsWriter,
    first: u64,
    end: u64,
    started: Instant,
    /// The step after the last line of metrics, and when that was written; drawing samples takes no time of it.
    last_line: (u64, Instant),
    /// Whether samples cannot be drawn.
    samples_failed: bool,
}

impl<'a> StepLog<'a> {
    fn open(run: &'a TrainingRun, first: u64, end: u64) -> Result<Self, Error> {
        let writer = MetricsWriter::open(&run.folder, first)?;
        let started = Instant::now();
        let last_line = (first, started);
        Ok(Self { run, writer, first, end, started, last_line, samples_failed: false })
    }

    /// Step `step`, counted from 0, as an observer sees it.
    fn step(&self, step: u64, loss: &Loss) -> TrainingStep<'a> {
        let RunSettings { steps, batch, .. } = *self.run.settings;
        let images = (step + 1 - self.first) as usize * batch;
        TrainingStep {
            model: self.run.model,
            step: step + 1,
            steps,
            batch,
            loss: loss.value,
            images_per_second: images as f64 / self.started.elapsed().as_secs_f64(),
        }
    }

    /// Writes the metrics of every few steps and of the last.
    fn metrics(&mut self, step: u64, loss: Loss, gradient_norm: f64) -> Result<(), Error> {
        if !step.is_multiple_of(LOG_EVERY) && step + 1 != self.end {
            return Ok(());
        }
        let (after, since) = self.last_line;
        let images = (step + 1 - after) * self.run.settings.batch as u64;
        let mut metrics = vec![
            ("loss", loss.value),
            ("gradient_norm", gradient_norm),
            ("learning_rate", self.run.settings.learning_rate_at(step)),
            ("pictures_per_second", images as f64 / since.elapsed().as_secs_f64()),
        ];
        metrics.extend(loss.metrics);
        self.writer.write(step, &metrics)?;
        self.last_line = (step + 1, Instant::now());
        Ok(())
    }

    /// Draws a sheet of samples after every so many `steps` and after the last.
    fn samples(&mut self, steps: u64, optimizer: &AdamW) -> Result<(), Error> {
        let due = |sheets: &&SampleSheets| {
            steps.is_multiple_of(sheets.every) || steps == self.run.settings.steps
        };
        let Some(sheets) = self.run.samples.as_ref().filter(due).filter(|_| !self.samples_failed)
        else {
            return Ok(());
        };
        let begun = Instant::now();
        match (sheets.draw)(&optimizer.averaged()) {
            Ok(sheet) => self.writer.write_samples(steps, &sheet)?,
            Err(error) => {
                tracing::warn!("{}: no samples are drawn: {error}", self.run.model);
                self.samples_failed = true;
            }
        }
        self.last_line.1 += begun.elapsed();
        Ok(())
    }
}
