//! Trains the judge, and tests it on scenes that it never saw.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use layers::{Initialiser, Params};
use noise::Generator;
use scenes::{Scene, Split};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use training::{AdamW, AdamWSettings, Figures, Leg, Run, RunSettings, Samples, Told};

use crate::Error;
use crate::judge::Judge;
use crate::lessons::{FIRST_TEST_SEED, Lesson};
use crate::network::{Network, SIDE};
use crate::questions::{Question, Subject, Target, Targets};
use crate::statistics::Tally;

/// What cross-entropy skips.
const OPEN: i64 = -100;

/// How the judge is trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRecipe {
    /// Its leg.
    pub run: RunSettings,
}

impl JudgeRecipe {
    /// As much training as the shipped judge had: about half an hour of one CPU core.
    pub fn small() -> Self {
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
                steps: 6500,
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

/// How well a judge answers on scenes of its own seeds that it did not learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// Right answers on undamaged scenes, for each question.
    pub clean: Vec<(Question, Tally)>,
    /// Right answers on those of them that show one thing.
    pub alone: Vec<(Question, Tally)>,
    /// Right answers on the others, which show two.
    pub together: Vec<(Question, Tally)>,
    /// Right answers on every kind of picture it learns from, 'none of these' among them, for each question.
    pub damaged: Vec<(Question, Tally)>,
}

impl Examination {
    /// A row a question, with 95% intervals.
    pub fn to_markdown(&self) -> String {
        let cell = |tally: Tally| match tally.share() {
            None => "not asked".to_owned(),
            Some(share) => {
                let (low, high) = tally.interval();
                let [share, low, high] = [share, low, high].map(|part| 100.0 * part);
                format!("{share:.2}% ({low:.1} to {high:.1}), n {}", tally.asked)
            }
        };
        let mut table =
            "| label | undamaged | those with one thing | those with two | all kinds of damage, where asked |\n"
                .to_owned();
        table.push_str("| --- | --- | --- | --- | --- |\n");
        for (n, (question, clean)) in self.clean.iter().enumerate() {
            let others = [&self.alone, &self.together, &self.damaged];
            let [alone, together, damaged] = others.map(|tallies| tallies[n].1);
            let cells = [*clean, alone, together, damaged].map(cell).join(" | ");
            table.push_str(&format!("| {} | {cells} |\n", question.name()));
        }
        table
    }
}

/// Trains a judge and writes its weights, in f16, to `out`; the folder `run` gets checkpoints and a log, and a run that
/// was cut off goes on from there.
pub fn train_judge(
    recipe: &JudgeRecipe,
    subject: Subject,
    run: &Path,
    out: &Path,
    told: &Told,
) -> Result<(), Error> {
    let kind = Kind::BFloat16;
    let initialiser = Initialiser::new(recipe.run.seed, Device::Cpu, kind);
    let network = Network::new(&Params::root(&initialiser), subject.logits());
    let optimizer = AdamW::new(initialiser.into_parameters(), recipe.run.optimizer.clone());
    let run = Run {
        name: "judge",
        settings: &recipe.run,
        folder: run.to_owned(),
        stop_at: None,
        upstream: String::new(),
        data: String::new(),
        told,
        stopped: &|| false,
    };
    let weights = training::train(&run, optimizer, Samples::NONE, |step| {
        let lessons = lessons_from(step, recipe.run.batch, subject);
        Ok(JudgeLeg { network, subject, kind, lessons })
    })?;
    weights::save_safetensors(out, &weights, Kind::Half)?;
    Ok(())
}

/// Lets `judge` answer on `count` undamaged test scenes, from number `first` of the test half of its seeds on, and on as
/// many further ones with every damage.
pub fn examine(judge: &Judge, first: u64, count: u64) -> Examination {
    let none = || -> Vec<(Question, Tally)> {
        let questions = judge.subject().questions().iter();
        questions.map(|&q| (q, Tally::default())).collect()
    };
    let mut examination =
        Examination { clean: none(), alone: none(), together: none(), damaged: none() };
    let first = FIRST_TEST_SEED + first;
    let seeds: Vec<u64> = (first..first + count).collect();
    for seeds in seeds.chunks(50) {
        let scenes: Vec<Scene> =
            seeds.iter().map(|&seed| Scene::draw(seed, Split::Judge)).collect();
        let bytes: Vec<u8> = scenes.iter().flat_map(|scene| scene.render(SIDE)).collect();
        let clean = bytes_to_tensor(&bytes, seeds.len());
        for (scene, reading) in scenes.iter().zip(judge.read_tensor(&clean)) {
            let labels = scene.labels();
            let right = |question: Question| reading.answer(question) == question.truth(&labels);
            for (question, tally) in &mut examination.clean {
                tally.add(right(*question));
            }
            let of_as_many = match labels.second {
                None => &mut examination.alone,
                Some(_) => &mut examination.together,
            };
            for (question, tally) in of_as_many {
                tally.add(right(*question));
            }
        }
        // Other seeds than the clean ones, so that the two halves are two samples.
        let lessons: Vec<Lesson> =
            seeds.iter().map(|seed| Lesson::draw(seed + count, judge.subject())).collect();
        let bytes: Vec<u8> = lessons.iter().flat_map(|lesson| lesson.picture.to_bytes()).collect();
        let pictures = bytes_to_tensor(&bytes, seeds.len());
        for (lesson, reading) in lessons.iter().zip(judge.read_tensor(&pictures)) {
            for (question, tally) in &mut examination.damaged {
                match lesson.targets.get(*question) {
                    Target::Answer(answer) => tally.add(reading.answer(*question) == Some(answer)),
                    Target::None => tally.add(reading.answer(*question).is_none()),
                    Target::Open => {}
                }
            }
        }
    }
    examination
}

struct JudgeLeg {
    network: Network,
    subject: Subject,
    kind: Kind,
    lessons: Receiver<Vec<Lesson>>,
}

impl Leg for JudgeLeg {
    fn backward(&mut self, _: &mut Generator) -> Result<(f64, Figures), training::Error> {
        let lessons = self.lessons.recv().expect("the drawing thread lives as long as the leg");
        let bytes: Vec<u8> = lessons.iter().flat_map(|lesson| lesson.picture.to_bytes()).collect();
        let pictures = to_signed(&bytes_to_tensor(&bytes, lessons.len())).to_kind(self.kind);
        let targets: Vec<Targets> = lessons.iter().map(|lesson| lesson.targets).collect();
        let (loss, figures) = loss(&self.network.forward(&pictures), self.subject, &targets);
        loss.backward();
        Ok((loss.double_value(&[]), figures))
    }
}

/// The mean over the questions of each one's cross-entropy from `logits [B, L]`; beside it the share of right answers
/// to every question that is asked of a picture, and to the thing alone.
fn loss(logits: &Tensor, subject: Subject, targets: &[Targets]) -> (Tensor, Figures) {
    let mut losses = Vec::new();
    let mut figures = Vec::new();
    let mut start = 0;
    for &question in subject.questions() {
        let width = question.answers() as i64 + 1;
        let own = logits.narrow(1, start, width); // [B, answers + 1]
        start += width;
        let wanted: Vec<i64> =
            targets.iter().map(|targets| class(question, targets.get(question))).collect();
        let wanted = Tensor::from_slice(&wanted);
        let summed =
            own.cross_entropy_loss(&wanted, None::<&Tensor>, tch::Reduction::Sum, OPEN, 0.0);
        losses.push(summed / targets.len() as f64);
        let asked = wanted.not_equal(OPEN);
        let right = own.argmax(1, false).eq_tensor(&wanted).sum(Kind::Float).double_value(&[]);
        figures.push((question.name(), right / asked.sum(Kind::Float).double_value(&[]).max(1.0)));
    }
    (Tensor::stack(&losses, 0).mean(Kind::Float), figures)
}

/// The logit of a target within its question; 'none of these' is the last.
fn class(question: Question, target: Target) -> i64 {
    match target {
        Target::Answer(answer) => answer as i64,
        Target::None => question.answers() as i64,
        Target::Open => OPEN,
    }
}

/// Lessons in batches from the step's on, drawn in the background a few ahead. Step `n` always has the same.
fn lessons_from(step: u64, batch: usize, subject: Subject) -> Receiver<Vec<Lesson>> {
    let (sender, lessons) = sync_channel(8);
    thread::spawn(move || {
        for n in step.. {
            let first = n * batch as u64;
            let drawn = (first..first + batch as u64)
                .map(|seed| Lesson::draw(seed % FIRST_TEST_SEED, subject))
                .collect();
            if sender.send(drawn).is_err() {
                return; // the leg has ended
            }
        }
    });
    lessons
}

/// Pictures of [`SIDE`] pixels after one another to `[B, 3, 64, 64]`, u8.
fn bytes_to_tensor(bytes: &[u8], count: usize) -> Tensor {
    let side = i64::from(SIDE);
    Tensor::from_slice(bytes).view([count as i64, side, side, 3]).permute([0, 3, 1, 2])
}

/// From bytes to [-1, 1], in f32.
pub(crate) fn to_signed(pictures: &Tensor) -> Tensor {
    pictures.to_kind(Kind::Float) / 127.5 - 1.0
}
