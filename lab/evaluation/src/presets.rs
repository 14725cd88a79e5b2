//! Presets: seconds an image, accuracy, and the Frechet distance from true images.

use std::time::Instant;

use image::RgbImage;
use judge::markdown::table;
use judge::network::HIDDEN;
use judge::{Proportion, Question};
use pipeline::{Settings, Task};
use scenes::Pairs;
use serde::{Deserialize, Serialize};

use crate::accuracy::{AccuracyRow, ImageSource};
use crate::error::Error;
use crate::evaluator::{Evaluator, Report};
use crate::examples::{CaptionSet, Example, captions};
use crate::frechet::{check, frechet};
use crate::statistics::Median;

/// The number of the first scene that may be another one.
const FIRST_OTHER: u64 = 80_000;

/// Presets beside each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresetReport {
    /// True images first, which took no time; then a row for each preset.
    pub rows: Vec<PresetRow>,
}

/// The images of one preset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresetRow {
    /// The preset's name.
    pub name: String,
    /// Its settings, and the seconds an image: their median over batches.
    pub drawn: Option<(Settings, Median)>,
    /// The accuracy.
    pub row: AccuracyRow,
    /// The Frechet distance from the captions' own scenes over the judge's features; of true images, that of
    /// other scenes that the captions describe.
    pub fid_j: f64,
}

/// A preset and the settings that it stands for.
pub type NamedSettings<'a> = (&'a str, Settings);

/// Samples the first `count` captions of seen pairs with each of the `presets`, a batch with each in turn so that whatever
/// else the machine does slows all of them. An error where there are too few captions for the distance.
pub fn evaluate_presets(
    evaluator: &Evaluator,
    count: u64,
    presets: &[NamedSettings],
) -> Result<PresetReport, Error> {
    check(count as i64, HIDDEN)?;
    let Evaluator { pipeline, judge, .. } = evaluator;
    for (_, drawing) in presets {
        pipeline.prepare(Task::GENERATE, drawing)?;
    }
    let examples = &CaptionSet::Seen.examples(0..count)[..];
    let truth = evaluator.true_images(examples)?;
    let features = judge.features(&truth);
    let row = |name: &str, drawn, source, images: &[RgbImage], distance_images: &[RgbImage]| {
        let mut row = AccuracyRow::new(source, CaptionSet::Seen);
        row.count(examples, &judge.predict(images));
        let fid_j = frechet(&judge.features(distance_images), &features)?;
        Ok::<_, Error>(PresetRow { name: name.to_owned(), drawn, row, fid_j })
    };
    let others = evaluator.true_images(&others(examples))?;
    let mut rows = vec![row("true pictures", None, ImageSource::True, &truth, &others)?];
    let samples = sample_in_turn(evaluator, examples, presets)?;
    for ((name, drawing), TimedSamples { images, seconds }) in presets.iter().zip(samples) {
        let drawn = Some((drawing.clone(), Median::of(seconds)));
        rows.push(row(name, drawn, ImageSource::Chain, &images, &images)?);
    }
    Ok(PresetReport { rows })
}

/// The images of one preset, and the seconds an image of each batch.
#[derive(Default)]
struct TimedSamples {
    images: Vec<RgbImage>,
    seconds: Vec<f64>,
}

/// The samples of each preset.
fn sample_in_turn(
    evaluator: &Evaluator,
    examples: &[Example],
    presets: &[NamedSettings],
) -> Result<Vec<TimedSamples>, Error> {
    let sample = |batch: &[Example], drawing: &Settings| {
        evaluator.sample(&captions(batch), None, &evaluator.seeds(batch), drawing)
    };
    let batch = evaluator.settings.batch;
    for (_, drawing) in presets {
        // A warm-up: opening weights and choosing kernels is not timed.
        sample(&examples[..batch.min(examples.len())], drawing)?;
    }
    let mut samples: Vec<TimedSamples> = presets.iter().map(|_| TimedSamples::default()).collect();
    for batch in examples.chunks(batch) {
        for ((_, drawing), TimedSamples { images, seconds }) in presets.iter().zip(&mut samples) {
            let start = Instant::now();
            images.extend(sample(batch, drawing)?);
            seconds.push(start.elapsed().as_secs_f64() / batch.len() as f64);
        }
        let done = samples.first().map_or(0, |samples| samples.images.len());
        (evaluator.progress)("presets", done as u64, examples.len() as u64);
    }
    Ok(samples)
}

/// For each example another scene that its caption describes; none is taken twice.
fn others(examples: &[Example]) -> Vec<Example> {
    let mut number = FIRST_OTHER;
    let mut skipped: Vec<Example> = Vec::new();
    let other = |example: &Example| {
        let fits = |other: &Example| example.caption.mentioned.describes(&other.scene.labels());
        if let Some(place) = skipped.iter().position(fits) {
            return skipped.swap_remove(place);
        }
        loop {
            let candidate = Example::draw(number, Pairs::Seen);
            number += 1;
            match fits(&candidate) {
                true => return candidate,
                false => skipped.push(candidate),
            }
        }
    };
    examples.iter().map(other).collect()
}

impl Report for PresetReport {
    fn to_markdown(&self) -> String {
        let header = "preset | solver | steps: prior, decoder, upsampler | guided | seconds a picture \
                      | thing | colour | everything asked | FID-J";
        let rows = self.rows.iter().map(|row| {
            let mut line = vec![row.name.clone()];
            line.extend(match &row.drawn {
                Some((settings, seconds)) => [
                    settings.solver.name().to_owned(),
                    steps(settings),
                    match settings.guidance_interval {
                        _ if is_unguided(settings) => "none".to_owned(),
                        Some([low, high]) => format!("{low} to {high}"),
                        None => "all".to_owned(),
                    },
                    format!("{:.2}", seconds.value),
                ],
                None => Default::default(),
            });
            let cell = |question: Question| row.row.cell(question.name()).unwrap_or_default();
            let accuracies = [cell(Question::Thing), cell(Question::Colour), row.row.everything];
            line.extend(accuracies.map(|accuracy: Proportion| accuracy.to_string()));
            line.push(format!("{:.2}", row.fid_j));
            line
        });
        table(header, rows)
    }
}

/// Whether no timestep of the first stage is guided.
fn is_unguided(settings: &Settings) -> bool {
    settings.stages.first().is_none_or(|stage| settings.stage_guidance(stage).is_none())
}

/// The steps of the prior and of each stage, as a table has them.
fn steps(settings: &Settings) -> String {
    let stages = settings.stages.iter().map(|stage| stage.steps.to_string());
    let prior = settings.prior.iter().map(|prior| prior.steps.to_string());
    let steps: Vec<String> = prior.chain(stages).collect();
    steps.join(", ")
}
