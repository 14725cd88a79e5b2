//! What less time for a picture costs: seconds, what the judge sees, and how far the pictures lie from true ones.

use std::time::Instant;

use image::RgbImage;
use pipeline::{Pipeline, Settings, Stage, Use};
use scenes::Pairs;
use serde::{Deserialize, Serialize};

use crate::evaluate::{EvaluationProgress, EvaluationSettings, draw_pictures, true_pictures};
use crate::examples::{Asked, Example};
use crate::frechet::{check, frechet};
use crate::network::HIDDEN;
use crate::report::{Row, Source, percent, table};
use crate::statistics::Median;
use crate::{Error, Judge, Question};

/// The number of the first scene that is looked at for another one.
const FIRST_OTHER: u64 = 80_000;

/// What was found about presets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresetReport {
    /// True pictures first, which took no time; then a row for each preset.
    pub rows: Vec<PresetRow>,
}

/// One preset's pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresetRow {
    /// The preset's name.
    pub name: String,
    /// What it draws with, and the seconds that a picture takes: their median over batches.
    pub drawn: Option<(Settings, Median)>,
    /// What the judge saw.
    pub row: Row,
    /// The Frechet distance from the captions' own scenes over the judge's features; of true pictures, that of
    /// other scenes that the captions describe.
    pub fid_j: f64,
}

/// Draws the first captions of the evaluation, of seen pairs, with each of the `presets`, a batch with each in turn so
/// that whatever else the machine does slows all of them. An error where there are too few captions for the distance.
pub fn evaluate_presets(
    pipeline: &Pipeline,
    judge: &Judge,
    settings: &EvaluationSettings,
    presets: &[(&str, Settings)],
    progress: &mut EvaluationProgress,
) -> Result<PresetReport, Error> {
    let count = settings.captions;
    check(count as i64, HIDDEN)?;
    for (_, drawing) in presets {
        pipeline.prepare(&[Use::Prior], drawing)?;
    }
    let asked = &Asked::Seen.examples(0..count)[..];
    let side = pipeline.side()?;
    let truth = true_pictures(asked, side);
    let features = judge.features(&truth);
    let floor = frechet(&judge.features(&true_pictures(&others(asked), side)), &features)?;
    let mut rows = vec![PresetRow {
        name: "true pictures".to_owned(),
        drawn: None,
        row: count_answers(judge, asked, &truth, Source::True),
        fid_j: floor,
    }];
    let mut drawn: Vec<(Vec<RgbImage>, Vec<f64>)> =
        presets.iter().map(|_| Default::default()).collect();
    let draw = |some: &[Example], drawing: &Settings| {
        let captions: Vec<&str> = some.iter().map(|e| &*e.caption.text).collect();
        let seed = |e: &Example| settings.seed.wrapping_add(e.number);
        let seeds: Vec<u64> = some.iter().map(seed).collect();
        draw_pictures(pipeline, &captions, None, &seeds, drawing)
    };
    let batch = settings.batch.max(1);
    for (_, drawing) in presets {
        // What is opened and tried once is nobody's time.
        draw(&asked[..batch.min(asked.len())], drawing)?;
    }
    for some in asked.chunks(batch) {
        for ((_, drawing), (pictures, seconds)) in presets.iter().zip(&mut drawn) {
            let begun = Instant::now();
            pictures.extend(draw(some, drawing)?);
            seconds.push(begun.elapsed().as_secs_f64() / some.len() as f64);
        }
        let done = drawn.first().map_or(0, |(pictures, _)| pictures.len());
        progress("presets", done as u64, count);
    }
    for ((name, drawing), (pictures, seconds)) in presets.iter().zip(drawn) {
        rows.push(PresetRow {
            name: (*name).to_owned(),
            drawn: Some((*drawing, Median::of(seconds))),
            row: count_answers(judge, asked, &pictures, Source::Chain),
            fid_j: frechet(&judge.features(&pictures), &features)?,
        });
    }
    Ok(PresetReport { rows })
}

/// For each example another scene that its caption describes; none is taken twice.
fn others(examples: &[Example]) -> Vec<Example> {
    let mut number = FIRST_OTHER;
    let mut passed_over: Vec<Example> = Vec::new();
    let other = |example: &Example| {
        let fits = |other: &Example| example.caption.mentioned.describes(&other.scene.labels());
        if let Some(place) = passed_over.iter().position(fits) {
            return passed_over.swap_remove(place);
        }
        loop {
            let drawn = Example::draw(number, Pairs::Seen);
            number += 1;
            match fits(&drawn) {
                true => return drawn,
                false => passed_over.push(drawn),
            }
        }
    };
    examples.iter().map(other).collect()
}

fn count_answers(judge: &Judge, asked: &[Example], pictures: &[RgbImage], source: Source) -> Row {
    let mut row = Row::new(source, Asked::Seen);
    for (example, reading) in asked.iter().zip(judge.read(pictures)) {
        row.add(example, &reading);
    }
    row
}

impl PresetReport {
    /// A markdown table.
    pub fn to_markdown(&self) -> String {
        let header = [
            "preset",
            "solver",
            "steps: prior, decoder, upsampler",
            "guided",
            "seconds a picture",
            Question::Thing.name(),
            Question::Colour.name(),
            "everything asked",
            "FID-J",
        ];
        let rows = self.rows.iter().map(|row| {
            let mut line = vec![row.name.clone()];
            line.extend(match &row.drawn {
                Some((settings, seconds)) => [
                    settings.solver.name().to_owned(),
                    Stage::ALL.map(|stage| settings.steps(stage).to_string()).join(", "),
                    match settings.guidance_interval {
                        Some([low, high]) => format!("{low} to {high}"),
                        None => "all".to_owned(),
                    },
                    format!("{:.2}", seconds.value),
                ],
                None => Default::default(),
            });
            let cell = |question: Question| row.row.cell(question.name()).unwrap_or_default();
            let tallies = [cell(Question::Thing), cell(Question::Colour), row.row.everything];
            line.extend(tallies.map(percent));
            line.push(format!("{:.2}", row.fid_j));
            line
        });
        table(&header, rows)
    }
}
