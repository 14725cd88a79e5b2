//! The loop that every leg shares: a loss, a backward pass, a step; a line of log, a checkpoint, the time left.

use std::path::PathBuf;
use std::time::Instant;

use files::lock::FolderLock;
use image::RgbImage;
use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::checkpoint::Checkpoints;
use crate::metrics::Metrics;
use crate::{AdamW, AdamWSettings, Error};

/// How long and how fast a leg trains.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Steps in all.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Parts that a step's pictures are computed in, one after the other, where memory is short; the step is the same.
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
    /// Pictures that are computed at once.
    pub fn part(&self) -> usize {
        self.batch / self.accumulate
    }

    /// The learning rate of step `step`.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let done =
            (step - self.warmup) as f64 / self.steps.saturating_sub(self.warmup).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

/// Figures to log beside a loss.
pub type Figures = Vec<(&'static str, f64)>;

/// One model's objective.
pub trait Leg {
    /// Adds the gradients of the next step's loss to those of the parameters. Returns the loss, and figures to log beside
    /// it. Everything random comes from `generator`.
    fn backward(&mut self, generator: &mut Generator) -> Result<(f64, Figures), Error>;
}

/// A step in `parts`, for a loss that is a mean over pictures: `backward` is called for each part, with the part's share
/// of the step, and returns its own loss and figures. The step's are their means.
pub fn in_parts(
    parts: usize,
    mut backward: impl FnMut(f64) -> Result<(f64, Figures), Error>,
) -> Result<(f64, Figures), Error> {
    let share = 1.0 / parts as f64;
    let (mut loss, mut figures) = (0.0, Figures::new());
    for _ in 0..parts {
        let (part, told) = backward(share)?;
        loss += share * part;
        for (n, (name, value)) in told.into_iter().enumerate() {
            match figures.get_mut(n) {
                Some((_, mean)) => *mean += share * value,
                None => figures.push((name, share * value)),
            }
        }
    }
    Ok((loss, figures))
}

/// How far a leg is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The leg's name.
    pub leg: &'a str,
    /// Steps taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// The last step's loss.
    pub loss: f64,
    /// Since the leg began or went on.
    pub pictures_per_second: f64,
}

/// Weights by their names.
pub type Weights = [(String, Tensor)];

/// When and how a leg shows what it would draw.
pub struct Samples<'a> {
    /// Steps between two sheets; 0 for none. There is one at the end too.
    pub every: u64,
    /// Draws one from the averaged weights.
    pub sheet: &'a dyn Fn(&Weights) -> Result<RgbImage, Error>,
}

impl Samples<'_> {
    /// For a leg that shows nothing.
    pub const NONE: Samples<'static> =
        Samples { every: 0, sheet: &|_| unreachable!("no step is a multiple of 0") };

    fn are_due(&self, steps: u64, last: u64) -> bool {
        self.every > 0 && (steps.is_multiple_of(self.every) || steps == last)
    }
}

/// Hears of every step.
pub type Told = dyn Fn(&Progress);

/// Asked before every step.
pub type Stopped = dyn Fn() -> bool;

/// A leg's way, or a part of it.
pub struct Run<'a> {
    /// The leg's name, in logs and checkpoints.
    pub name: &'static str,
    /// How long and how fast.
    pub settings: &'a RunSettings,
    /// The folder that gets the checkpoints, the figures and the samples.
    pub folder: PathBuf,
    /// The step to stop at, to go on another time.
    pub stop_at: Option<u64>,
    /// Names what the leg learns from beside its pictures: a checkpoint is no use after it has changed.
    pub upstream: String,
    /// Tells those pictures from others: the same goes for them.
    pub data: String,
    /// Hears of every step.
    pub told: &'a Told,
    /// Whether the user wants the leg to stop, to go on another time.
    pub stopped: &'a Stopped,
}

/// Trains until `settings.steps`, or until `stop_at`, and returns the averaged weights.
///
/// `open` makes the leg at the step it is to go on from, over parameters that the optimiser already holds.
pub fn train<L: Leg>(
    run: &Run,
    mut optimizer: AdamW,
    mut samples: Samples,
    open: impl FnOnce(u64) -> Result<L, Error>,
) -> Result<Vec<(String, Tensor)>, Error> {
    let Run { name, settings, .. } = *run;
    std::fs::create_dir_all(&run.folder).map_err(Error::file(&run.folder))?;
    let _alone = FolderLock::take(&run.folder).map_err(Error::lock(&run.folder))?;
    let checkpoints =
        Checkpoints { folder: &run.folder, leg: name, upstream: &run.upstream, data: &run.data };
    let resumed = checkpoints.resume(&mut optimizer)?;
    let mut generator = resumed.unwrap_or_else(|| Generator::new(settings.seed));
    let end = settings.steps.min(run.stop_at.unwrap_or(u64::MAX));
    if optimizer.steps_taken() >= end && end > 0 {
        let (step, folder) = (optimizer.steps_taken(), run.folder.display());
        tracing::warn!("{name}: {folder} is at step {step} of {end} already, nothing is trained");
    }
    tracing::info!(
        leg = name,
        parameters = optimizer.parameter_count(),
        step = optimizer.steps_taken(),
        "training"
    );
    let mut leg = open(optimizer.steps_taken())?;
    let mut metrics = Metrics::open(&run.folder, optimizer.steps_taken())?;

    let (started, first) = (Instant::now(), optimizer.steps_taken());
    let mut saved = first;
    let (mut told, mut told_at) = (first, started);
    while optimizer.steps_taken() < end && !(run.stopped)() {
        let step = optimizer.steps_taken();
        let learning_rate = settings.learning_rate_at(step);
        let (loss, figures) = leg.backward(&mut generator)?;
        let norm = optimizer.step(learning_rate);
        if !loss.is_finite() || !norm.is_finite() {
            let loss = if loss.is_finite() { norm } else { loss };
            return Err(Error::Diverged {
                leg: name.to_owned(),
                step,
                learning_rate,
                loss,
                checkpoint: checkpoints.found().into_iter().next(),
            });
        }
        let rate =
            ((step + 1 - first) as usize * settings.batch) as f64 / started.elapsed().as_secs_f64();
        (run.told)(&Progress {
            leg: name,
            step: step + 1,
            steps: settings.steps,
            batch: settings.batch,
            loss,
            pictures_per_second: rate,
        });
        if step.is_multiple_of(10) || step + 1 == end {
            let pictures = (step + 1 - told) * settings.batch as u64;
            let figures = [
                ("loss", loss),
                ("gradient_norm", norm),
                ("learning_rate", learning_rate),
                ("pictures_per_second", pictures as f64 / told_at.elapsed().as_secs_f64()),
            ]
            .into_iter()
            .chain(figures)
            .collect::<Figures>();
            metrics.tell(step, &figures)?;
            (told, told_at) = (step + 1, Instant::now());
        }
        if (step + 1).is_multiple_of(settings.checkpoint_every) || step + 1 == end {
            checkpoints.save(&optimizer, &generator)?;
            saved = step + 1;
        }
        if samples.are_due(step + 1, settings.steps) {
            let begun = Instant::now();
            match (samples.sheet)(&optimizer.averaged()) {
                Ok(sheet) => metrics.show(step + 1, &sheet)?,
                Err(error) => {
                    tracing::warn!("{name}: no samples are drawn: {error}");
                    samples.every = 0;
                }
            }
            told_at += begun.elapsed();
        }
    }
    if optimizer.steps_taken() > saved {
        checkpoints.save(&optimizer, &generator)?;
    }
    Ok(optimizer.averaged())
}
