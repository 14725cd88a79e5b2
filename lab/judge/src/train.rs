//! Training of a judge: cross-entropy over its questions, with AdamW.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use layers::{Initialiser, Params};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use training::run::Metrics;
use training::{
    AdamW, AdamWSettings, Group, Loss, Objective, Observer, RunSettings, TrainingRun, TrainingStep,
};

use crate::dataset::{FIRST_TEST_SEED, Sample};
use crate::error::Error;
use crate::network::{Network, images_to_tensor, to_signed};
use crate::questions::{Subject, Target, Targets};

/// The class that cross-entropy ignores.
const IGNORE_INDEX: i64 = -100;

/// The hyperparameters of a judge's training.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRecipe {
    /// Steps, batch, learning rate and optimiser.
    pub run: RunSettings,
}

impl JudgeRecipe {
    /// The recipe of the shipped judges: about half an hour of one CPU core, and more than twice as many samples of the crate
    /// `world`, which has more to tell apart.
    pub fn of(subject: Subject) -> Self {
        let steps = match subject {
            Subject::Scene | Subject::Pair => 6500,
            Subject::World => 15_000,
        };
        let optimizer = AdamWSettings {
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            weight_decay: 0.02,
            clip_norm: 1.0,
            ema_decay: 0.998,
        };
        Self {
            run: RunSettings {
                steps,
                batch: 64,
                accumulate: 1,
                learning_rate: 2e-3,
                warmup: 200,
                checkpoint_every: 100,
                seed: 7,
                optimizer,
            },
        }
    }
}

/// Trains a judge and writes its weights, in f16, to `out`; the folder `run` gets checkpoints and a log, and a run that
/// was cut off goes on from there. False where the observer stopped it: then there is a checkpoint and nothing in `out`.
pub fn train(
    recipe: &JudgeRecipe,
    subject: Subject,
    run: &Path,
    out: &Path,
    observer: &mut dyn Observer,
) -> Result<bool, Error> {
    let kind = Kind::BFloat16;
    let initialiser = Initialiser::new(recipe.run.seed, Device::Cpu, kind);
    let network = Network::new(&Params::root(&initialiser), subject.logits());
    let optimizer = AdamW::new(initialiser.into_parameters(), recipe.run.optimizer.clone());
    let run = TrainingRun {
        model: "judge",
        settings: &recipe.run,
        folder: run.to_owned(),
        stop_at: None,
        upstream: String::new(),
        data: String::new(),
        samples: None,
        recipe: String::new(),
        group: Group::alone(),
        shard_optimizer: false,
    };
    let mut observer = StopObserver { observer, is_stopped: false };
    let weights = run.train(optimizer, &mut observer, |step| {
        let batches = prefetch(step, recipe.run.batch, subject);
        Ok(JudgeObjective { network, subject, kind, batches })
    })?;
    if observer.is_stopped {
        return Ok(false);
    }
    weights::save_safetensors(out, &weights, Kind::Half)?;
    Ok(true)
}

/// Remembers whether an observer stopped the run.
struct StopObserver<'a> {
    observer: &'a mut dyn Observer,
    is_stopped: bool,
}

impl Observer for StopObserver<'_> {
    fn before_step(&mut self) -> ControlFlow<()> {
        let flow = self.observer.before_step();
        self.is_stopped |= flow.is_break();
        flow
    }

    fn step(&mut self, step: &TrainingStep) {
        self.observer.step(step);
    }
}

struct JudgeObjective {
    network: Network,
    subject: Subject,
    kind: Kind,
    batches: Receiver<Vec<Sample>>,
}

impl Objective for JudgeObjective {
    fn backward(&mut self) -> Result<Loss, training::Error> {
        let samples =
            self.batches.recv().expect("the drawing thread lives as long as the objective");
        let images = images_to_tensor(samples.iter().map(|sample| sample.image.to_bytes()));
        let targets: Vec<Targets> = samples.iter().map(|sample| sample.targets).collect();
        let logits = self.network.forward(&to_signed(&images).to_kind(self.kind)); // [B, L]
        let (loss, metrics) = loss(&logits, self.subject, &targets);
        loss.backward();
        Ok(Loss { value: loss.double_value(&[]), metrics })
    }
}

/// The mean over the questions of each one's cross-entropy from `logits [B, L]`, and each one's accuracy where its target is
/// not open.
fn loss(logits: &Tensor, subject: Subject, targets: &[Targets]) -> (Tensor, Metrics) {
    let mut losses = Vec::new();
    let mut metrics = Vec::new();
    let mut start = 0;
    for &question in subject.questions() {
        let width = subject.answers(question) as i64 + 1;
        let own = logits.narrow(1, start, width); // [B, answers + 1]
        start += width;
        let classes: Vec<i64> =
            targets.iter().map(|targets| class(targets.get(question), width)).collect();
        let classes = Tensor::from_slice(&classes);
        let summed = own.cross_entropy_loss(
            &classes,
            None::<&Tensor>,
            tch::Reduction::Sum,
            IGNORE_INDEX,
            0.0,
        );
        losses.push(summed / targets.len() as f64);
        let labelled = classes.not_equal(IGNORE_INDEX);
        let right = own.argmax(1, false).eq_tensor(&classes).sum(Kind::Float).double_value(&[]);
        metrics
            .push((question.name(), right / labelled.sum(Kind::Float).double_value(&[]).max(1.0)));
    }
    (Tensor::stack(&losses, 0).mean(Kind::Float), metrics)
}

/// The class of a target within the `width` logits of its question; 'none of these' is the last.
fn class(target: Target, width: i64) -> i64 {
    match target {
        Target::Answer(answer) => answer as i64,
        Target::None => width - 1,
        Target::Open => IGNORE_INDEX,
    }
}

/// Batches of samples from the step's on, drawn in the background a few ahead. Step `n` always has the same.
fn prefetch(step: u64, batch: usize, subject: Subject) -> Receiver<Vec<Sample>> {
    let (sender, batches) = sync_channel(8);
    thread::spawn(move || {
        for n in step.. {
            let first = n * batch as u64;
            let samples = (first..first + batch as u64)
                .map(|seed| Sample::draw(seed % FIRST_TEST_SEED, subject))
                .collect();
            if sender.send(samples).is_err() {
                return; // the training has ended
            }
        }
    });
    batches
}
