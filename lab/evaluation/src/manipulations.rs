//! Manipulations in CLIP's space: interpolations and text diffs of images that are inverted (2204.06125, sections 3.2 and
//! 3.3).

use image::RgbImage;
use judge::markdown::table;
use judge::{Prediction, Proportion, Question};
use pipeline::text_diff::EDIT_GUIDANCE_SCALE;
use pipeline::{Decoding, Inversion, Silent};
use scenes::Scene;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::evaluator::{Evaluator, Report, streams};
use crate::siblings::{CAPTION_QUESTIONS, SIBLING_QUESTIONS, Siblings};

/// Images of an interpolation from one scene to its sibling, both ends included.
pub const FRAMES: usize = 9;
/// Pairs of scenes in each table, and the numbers of their first.
const PAIRS: u64 = 200;
const FIRST_INTERPOLATION: u64 = 30_000;
const FIRST_EDIT: u64 = 40_000;

/// How often one label changed as it should, and the others stayed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeReport {
    #[serde(skip)]
    title: &'static str,
    /// For each of [`SIBLING_QUESTIONS`]: how often it changed as it should.
    pub changed: Vec<(Question, Proportion)>,
    /// For each of [`SIBLING_QUESTIONS`]: how often it stayed while another should change.
    pub kept: Vec<(Question, Proportion)>,
    /// How often one changed and all others stayed.
    pub everything: Proportion,
}

impl ChangeReport {
    fn new(title: &'static str) -> Self {
        let none = || SIBLING_QUESTIONS.map(|question| (question, Proportion::default())).to_vec();
        Self { title, changed: none(), kept: none(), everything: Proportion::default() }
    }

    /// Counts an image in which `changing` should change; `right` says of each question whether it is as it should.
    fn add(&mut self, changing: Question, right: impl Fn(Question) -> bool) {
        for ((question, changed), (_, kept)) in self.changed.iter_mut().zip(&mut self.kept) {
            let count = if *question == changing { changed } else { kept };
            count.add(right(*question));
        }
        self.everything.add(SIBLING_QUESTIONS.into_iter().all(right));
    }

    /// How often the label that should change did, whichever it was.
    pub fn all_changed(&self) -> Proportion {
        let sum = |sum: Proportion, (_, one): &(Question, Proportion)| Proportion {
            right: sum.right + one.right,
            total: sum.total + one.total,
        };
        self.changed.iter().fold(Proportion::default(), sum)
    }
}

impl Report for ChangeReport {
    fn to_markdown(&self) -> String {
        let header = format!("{} | changes as it should | stays where another changes", self.title);
        let rows = self.changed.iter().zip(&self.kept);
        let rows = rows.map(|((question, changed), (_, kept))| {
            vec![question.name().to_owned(), changed.to_string(), kept.to_string()]
        });
        let last = [
            vec!["any of them".to_owned(), self.all_changed().to_string(), String::new()],
            vec!["it, and all others stay".to_owned(), self.everything.to_string(), String::new()],
        ];
        table(&header, rows.chain(last))
    }
}

/// Whether the predictions along an interpolation are first `from` and last `to`, never `from` again once they were something
/// else, and never anything else once they were `to`.
pub fn turns_once(answers: &[Option<usize>], from: usize, to: usize) -> bool {
    let left = answers.iter().position(|&answer| answer != Some(from));
    let reached = answers.iter().position(|&answer| answer == Some(to));
    match (left, reached) {
        (Some(left), Some(reached)) => {
            left > 0
                && answers[left..].iter().all(|&answer| answer != Some(from))
                && answers[reached..].iter().all(|&answer| answer == Some(to))
        }
        _ => false,
    }
}

/// Interpolates between inverted scenes that differ in one label, `calls` of the decoder an inversion.
pub fn evaluate_interpolations(evaluator: &Evaluator, calls: usize) -> Result<ChangeReport, Error> {
    evaluator.prepare()?;
    let pairs = pairs(evaluator, FIRST_INTERPOLATION, &SIBLING_QUESTIONS);
    let mut changes = ChangeReport::new("interpolation: the ends differ in");
    for batch in pairs.chunks(evaluator.settings.batch) {
        let from = invert(evaluator, calls, batch, |pair| &pair.from)?;
        let to = invert(evaluator, calls, batch, |pair| &pair.to)?;
        let frames = (0..FRAMES).map(|frame| {
            let t = frame as f64 / (FRAMES - 1) as f64;
            predict(evaluator, batch, &from.between(&to, t), 1.0)
        });
        // The predictions of a frame of each pair, frame by frame.
        let frames: Vec<Vec<Prediction>> = frames.collect::<Result<_, _>>()?;
        for (index, pair) in batch.iter().enumerate() {
            changes.add(pair.question, |question| {
                let answers: Vec<_> = frames.iter().map(|f| f[index].answer(question)).collect();
                let [from, to] = pair.truth(question);
                match from == to {
                    true => answers.iter().all(|&answer| answer == Some(from)),
                    false => turns_once(&answers, from, to),
                }
            });
        }
        (evaluator.progress)("interpolation", changes.everything.total, pairs.len() as u64);
    }
    Ok(changes)
}

/// Edits inverted scenes by text diffs of captions that differ in one label: `calls` of the decoder an inversion, and
/// `strength` how far a diff turns an embedding.
pub fn evaluate_edits(
    evaluator: &Evaluator,
    calls: usize,
    strength: f64,
) -> Result<ChangeReport, Error> {
    evaluator.prepare()?;
    let pairs = pairs(evaluator, FIRST_EDIT, &CAPTION_QUESTIONS);
    let mut changes = ChangeReport::new("text diff: the captions differ in");
    for batch in pairs.chunks(evaluator.settings.batch) {
        let inversion = invert(evaluator, calls, batch, |pair| &pair.from)?;
        let captions: Vec<[String; 2]> = batch.iter().map(Siblings::captions).collect();
        let [from, to] = [0, 1].map(|end| {
            let texts: Vec<&str> = captions.iter().map(|both| both[end].as_str()).collect();
            evaluator.pipeline.encode_text(&texts)
        });
        let (from, to) = (from?.embedding, to?.embedding); // [B, E]
        let edited = inversion.edited(&from, &to, strength);
        let predictions = predict(evaluator, batch, &edited, EDIT_GUIDANCE_SCALE)?;
        for (pair, prediction) in batch.iter().zip(predictions) {
            changes.add(pair.question, |question| {
                prediction.answer(question) == Some(pair.truth(question)[1])
            });
        }
        (evaluator.progress)("text diffs", changes.everything.total, pairs.len() as u64);
    }
    Ok(changes)
}

/// A table's pairs, from this number on.
fn pairs(evaluator: &Evaluator, first: u64, questions: &[Question]) -> Vec<Siblings> {
    let numbers = first..first + evaluator.limited(PAIRS);
    numbers.map(|number| Siblings::draw(number, questions)).collect()
}

/// One scene of each pair, inverted.
fn invert(
    evaluator: &Evaluator,
    calls: usize,
    batch: &[Siblings],
    scene: fn(&Siblings) -> &Scene,
) -> Result<Inversion, Error> {
    let side = evaluator.pipeline.side()?;
    let images: Vec<RgbImage> = batch.iter().map(|pair| scene(pair).to_image(side)).collect();
    evaluator.invert(&images, calls)
}

/// The judge's predictions for the images of latents, which the pairs' noise upsamples.
fn predict(
    evaluator: &Evaluator,
    batch: &[Siblings],
    latents: &Inversion,
    guidance_scale: f64,
) -> Result<Vec<Prediction>, Error> {
    let seed = |pair: &Siblings| evaluator.settings.seed.wrapping_add(pair.number);
    let seeds: Vec<u64> = batch.iter().map(seed).collect();
    let images = evaluator.pipeline.sample_inversion(
        latents,
        Decoding { eta: 0.0, guidance_scale },
        &mut streams(&seeds),
        &evaluator.settings.drawing,
        &mut Silent,
    )?;
    Ok(evaluator.judge.predict(&images))
}
