//! The training loop that every model shares: a loss, its backward pass, an optimiser step; a line of log, a checkpoint.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use collectives::{Group, Reduction};
use files::digest::sha256;
use files::lock::FolderLock;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::checkpoint::Checkpoints;
use crate::metrics::MetricsWriter;
use crate::{AdamW, AdamWSettings, Error};

/// Steps between two lines of metrics.
const LOG_EVERY: u64 = 10;

/// The ratio of two processes' speeds above which they are reported, at most once in so long.
const UNEVEN: f64 = 1.2;
const UNEVEN_PAUSE: Duration = Duration::from_secs(60);

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
    /// Adds the gradients of the next batch's loss, or of this process's part of it, to those of the parameters.
    fn backward(&mut self) -> Result<Loss, Error>;
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
    /// Of all processes, since the run began or was resumed.
    pub images_per_second: f64,
    /// Where the processes' own speeds differ much, each one's images a second while it computed its gradients, by rank; else empty.
    /// CLIP's processes wait for each other there, so that theirs hardly differ.
    pub uneven_speeds: &'a [f64],
}

/// Observes a run, and may stop it. `()` ignores everything.
pub trait Observer {
    /// Called before the first step and after each; `Break` ends the run with a checkpoint, from which it can be resumed.
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
    /// The recipe as text: processes that train together must have one.
    pub recipe: String,
    /// The processes that train together.
    pub group: Group,
    /// Whether each of them holds only its part of the optimiser's state.
    pub shard_optimizer: bool,
}

impl TrainingRun<'_> {
    /// Trains until `settings.steps`, or until `stop_at`, and returns the averaged weights. Of a group all processes do, with
    /// the same arguments; rank 0 has the folder, the log and the last word.
    ///
    /// `open` makes the objective at the step that the run is resumed at, over parameters that the optimiser already holds.
    pub fn train<O: Objective>(
        &self,
        mut optimizer: AdamW,
        observer: &mut dyn Observer,
        open: impl FnOnce(u64) -> Result<O, Error>,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let Self { model, settings, folder, upstream, data, group, .. } = self;
        self.agree(&optimizer)?;
        let lock = || {
            std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
            FolderLock::take(folder).map_err(Error::lock(folder))
        };
        let _alone = group.is_first().then(lock).transpose()?;
        optimizer.distribute(group, self.shard_optimizer)?;
        let checkpoints = Checkpoints { folder, model, upstream, data };
        checkpoints.resume(&mut optimizer, group)?;
        let (first, end) =
            (optimizer.steps_taken(), settings.steps.min(self.stop_at.unwrap_or(u64::MAX)));
        if first >= end && end > 0 && group.is_first() {
            let folder = folder.display();
            tracing::warn!(
                "{model}: {folder} is at step {first} of {end} already, nothing is trained"
            );
        }
        tracing::info!(model, parameters = optimizer.parameter_count(), step = first, "training");
        let mut objective = open(first)?;
        let mut log = StepLog::open(self, first, end)?;
        let mut saved = first;
        let mut stops = any(group, observer.before_step().is_break())?;
        while optimizer.steps_taken() < end && !stops {
            let step = optimizer.steps_taken();
            let learning_rate = settings.learning_rate_at(step);
            let started = Instant::now();
            let own = objective.backward()?;
            log.computed(started.elapsed());
            let gradient_norm = optimizer.step(learning_rate)?;
            let loss;
            (loss, stops) = mean_loss(group, own, observer.before_step().is_break())?;
            if !loss.value.is_finite() || !gradient_norm.is_finite() {
                return Err(Error::Diverged {
                    model: (*model).to_owned(),
                    step,
                    learning_rate,
                    loss: if loss.value.is_finite() { gradient_norm } else { loss.value },
                    checkpoint: checkpoints.found().into_iter().next(),
                });
            }
            let uneven = log.uneven_speeds(step)?;
            observer.step(&TrainingStep { uneven_speeds: &uneven, ..log.step(step, &loss) });
            log.metrics(step, loss, gradient_norm)?;
            if (step + 1).is_multiple_of(settings.checkpoint_every) || step + 1 == end {
                checkpoints.save(&optimizer, group)?;
                saved = step + 1;
            }
            log.samples(step + 1, &optimizer)?;
        }
        if optimizer.steps_taken() > saved {
            checkpoints.save(&optimizer, group)?;
        }
        optimizer.averaged()
    }

    /// An error on every process where one of them trains something else.
    fn agree(&self, optimizer: &AdamW) -> Result<(), Error> {
        let Self { model, settings, group, .. } = self;
        let json = |value: serde_json::Result<String>| value.expect("plain data");
        let parameters = optimizer.layout();
        let own: [(&str, String); 10] = [
            ("the version", env!("CARGO_PKG_VERSION").to_owned()),
            ("the dtype", format!("{:?}", optimizer.kind())),
            ("the step to stop at", format!("{:?}", self.stop_at)),
            ("whether the optimiser's state is spread", self.shard_optimizer.to_string()),
            ("the number of parameters", optimizer.parameter_count().to_string()),
            (
                "the parameters' names and shapes",
                sha256(json(serde_json::to_string(&parameters)).as_bytes()),
            ),
            ("the recipe", json(serde_json::to_string(settings))),
            ("the rest of the recipe", self.recipe.clone()),
            ("the data", self.data.clone()),
            ("the models that it learns from", self.upstream.clone()),
        ];
        let bytes = json(serde_json::to_string(&own)).into_bytes();
        let all = group.all_gather_bytes(&bytes)?;
        let read = |bytes: &[u8]| -> Vec<(String, String)> {
            serde_json::from_slice(bytes).unwrap_or_default()
        };
        let first = read(&all[0]);
        for (rank, theirs) in all.iter().enumerate().skip(1) {
            let theirs = read(theirs);
            if theirs.len() != own.len() || first.len() != own.len() {
                let (own, first) = ("other things".to_owned(), "its own".to_owned());
                let (model, what) = ((*model).to_owned(), "the release");
                return Err(Error::Disagreement { rank, model, what, own, first });
            }
            for ((what, _), (theirs, first)) in own.iter().zip(theirs.iter().zip(&first)) {
                if theirs != first {
                    let (own, first) = (theirs.1.clone(), first.1.clone());
                    return Err(Error::Disagreement {
                        rank,
                        model: (*model).to_owned(),
                        what,
                        own,
                        first,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether any process says so.
pub(crate) fn any(group: &Group, own: bool) -> Result<bool, Error> {
    let said = Tensor::from_slice(&[i64::from(own)]);
    group.all_reduce(&said, Reduction::Max)?;
    Ok(said.int64_value(&[0]) == 1)
}

/// The mean of all processes' losses and metrics, and whether any of them stops.
fn mean_loss(group: &Group, own: Loss, stops: bool) -> Result<(Loss, bool), Error> {
    if group.is_alone() {
        return Ok((own, stops));
    }
    let numbers: Vec<f64> = [own.value, f64::from(u8::from(stops))]
        .into_iter()
        .chain(own.metrics.iter().map(|(_, value)| *value))
        .collect();
    let numbers = Tensor::from_slice(&numbers);
    group.all_reduce(&numbers, Reduction::Mean)?;
    let means = Vec::<f64>::try_from(&numbers).expect("a vector of f64");
    let metrics = own.metrics.iter().zip(&means[2..]).map(|((name, _), &mean)| (*name, mean));
    Ok((Loss { value: means[0], metrics: metrics.collect() }, means[1] > 0.0))
}

/// The log of a run: metrics and samples, and how fast it goes.
struct StepLog<'a> {
    run: &'a TrainingRun<'a>,
    /// Of rank 0.
    writer: Option<MetricsWriter>,
    /// The time that this process computed since the last line, and when uneven speeds were reported.
    computed: Duration,
    reported: Option<Instant>,
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
        let writer = run.group.is_first().then(|| MetricsWriter::open(&run.folder, first));
        let writer = writer.transpose()?;
        let started = Instant::now();
        let last_line = (first, started);
        Ok(Self {
            run,
            writer,
            computed: Duration::ZERO,
            reported: None,
            first,
            end,
            started,
            last_line,
            samples_failed: false,
        })
    }

    /// Counts the time of a backward pass.
    fn computed(&mut self, time: Duration) {
        self.computed += time;
    }

    /// Each process's images a second of its own computing, since the last line of metrics, where they differ by more than a
    /// fifth and were not reported within a minute. To be called by all of them.
    fn uneven_speeds(&mut self, step: u64) -> Result<Vec<f64>, Error> {
        let group = &self.run.group;
        if group.is_alone() || !self.is_line(step) {
            return Ok(Vec::new());
        }
        let images = (step + 1 - self.last_line.0) as usize * self.run.settings.batch;
        let own = (images / group.world()) as f64 / self.computed.as_secs_f64().max(1e-9);
        self.computed = Duration::ZERO;
        let speeds = group.all_gather_into(&Tensor::from_slice(&[own]))?;
        let speeds = Vec::<f64>::try_from(&speeds).expect("a vector of f64");
        let least = speeds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = speeds.iter().copied().fold(0.0, f64::max);
        // Less than a second of the slowest says nothing.
        let is_measured = (images / group.world()) as f64 / least > 1.0;
        let is_due = self.reported.is_none_or(|reported| reported.elapsed() > UNEVEN_PAUSE);
        if most <= UNEVEN * least || !is_measured || !is_due {
            return Ok(Vec::new());
        }
        self.reported = Some(Instant::now());
        Ok(speeds)
    }

    /// Whether a step's metrics are written.
    fn is_line(&self, step: u64) -> bool {
        step.is_multiple_of(LOG_EVERY) || step + 1 == self.end
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
            uneven_speeds: &[],
        }
    }

    /// Writes the metrics of every few steps and of the last.
    fn metrics(&mut self, step: u64, loss: Loss, gradient_norm: f64) -> Result<(), Error> {
        if !self.is_line(step) {
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
        if let Some(writer) = &mut self.writer {
            writer.write(step, &metrics)?;
        }
        self.last_line = (step + 1, Instant::now());
        Ok(())
    }

    /// Draws a sheet of samples after every so many `steps` and after the last.
    fn samples(&mut self, steps: u64, optimizer: &AdamW) -> Result<(), Error> {
        let due = |sheets: &&SampleSheets| {
            steps.is_multiple_of(sheets.every) || steps == self.run.settings.steps
        };
        let Some(sheets) = self.run.samples.as_ref().filter(due) else {
            return Ok(());
        };
        let begun = Instant::now();
        // All processes gather it, whatever became of the last sheet; the others then wait in their next step.
        let averaged = optimizer.averaged()?;
        let Some(writer) = self.writer.as_mut().filter(|_| !self.samples_failed) else {
            return Ok(());
        };
        match (sheets.draw)(&averaged) {
            Ok(sheet) => writer.write_samples(steps, &sheet)?,
            Err(error) => {
                tracing::warn!("{}: no samples are drawn: {error}", self.run.model);
                self.samples_failed = true;
            }
        }
        self.last_line.1 += begun.elapsed();
        Ok(())
    }
}
