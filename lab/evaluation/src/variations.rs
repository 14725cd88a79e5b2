//! What variations of a picture keep, and what varies in them beside repeated drawing from the picture's caption.

use image::RgbImage;
use pipeline::{Pipeline, Settings};
use scenes::Pairs;
use serde::{Deserialize, Serialize};

use crate::evaluate::{EvaluationProgress, draw_pictures, true_pictures};
use crate::examples::Example;
use crate::manipulations::{CHANGED, ManipulationSettings};
use crate::questions::Question;
use crate::report::{percent, table};
use crate::sheets::distances;
use crate::statistics::{Answers, Tally};
use crate::{Error, Judge, Reading};

/// The number of the first scene.
const FIRST: u64 = 20_000;
/// Scenes that are drawn again and again, and how often.
const AGAIN: (u64, usize) = (25, 10);

/// What variations keep and what they vary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VariationReport {
    /// For each of [`CHANGED`]: how often a variation shows what its picture does.
    pub kept: Vec<(Question, Tally)>,
    /// How often it shows the same thing in the same colour.
    pub thing_and_colour: Tally,
    /// What varies among variations of one picture.
    pub variations: Spread,
    /// What varies among pictures that are drawn from its caption.
    pub drawings: Spread,
}

/// How different pictures of one origin are, on average over origins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// For each of [`CHANGED`]: the entropy of the judge's answers, in nats.
    pub entropies: Vec<(Question, f64)>,
    /// The distance of two pictures at 32 pixels: the root of the mean square over all values from 0 to 1.
    pub distance: f64,
}

/// Draws variations of fresh scenes.
pub fn measure_variations(
    pipeline: &Pipeline,
    judge: &Judge,
    settings: &ManipulationSettings,
    progress: &mut EvaluationProgress,
) -> Result<VariationReport, Error> {
    let drawing = settings.drawing.without_prior();
    let count = settings.limited(500);
    let examples: Vec<Example> =
        (FIRST..FIRST + count).map(|number| Example::draw(number, Pairs::Seen)).collect();
    let mut kept = CHANGED.map(|question| (question, Tally::default()));
    let mut thing_and_colour = Tally::default();
    for batch in examples.chunks(settings.batch) {
        let seeds: Vec<u64> = batch.iter().map(|e| settings.seed.wrapping_add(e.number)).collect();
        let drawn = vary(pipeline, batch, &seeds, &drawing)?;
        for (example, reading) in batch.iter().zip(judge.read(&drawn)) {
            let labels = example.scene.labels();
            let same = |question: Question| reading.answer(question) == question.truth(&labels);
            kept.iter_mut().for_each(|(q, tally)| tally.add(same(*q)));
            thing_and_colour.add(same(Question::Thing) && same(Question::Colour));
        }
        progress("variations", thing_and_colour.asked, count);
    }

    let again = settings.limited(AGAIN.0);
    let (mut variations, mut drawings) = (Vec::new(), Vec::new());
    for (index, example) in (0..again).map(|i| (i, Example::draw(FIRST + count + i, Pairs::Seen))) {
        let copies = vec![example.clone(); AGAIN.1];
        let first = settings.seed.wrapping_add(example.number * AGAIN.1 as u64);
        let seeds: Vec<u64> = (0..AGAIN.1 as u64).map(|i| first.wrapping_add(i)).collect();
        variations.push(vary(pipeline, &copies, &seeds, &drawing)?);
        let captions = vec![example.caption.text.as_str(); AGAIN.1];
        let drawn = draw_pictures(pipeline, &captions, None, &seeds, &settings.drawing)?;
        drawings.push(drawn);
        progress("variations again", index + 1, again);
    }
    Ok(VariationReport {
        kept: kept.to_vec(),
        thing_and_colour,
        variations: Spread::of(&variations, judge),
        drawings: Spread::of(&drawings, judge),
    })
}

/// A variation of each example's picture, from these seeds.
fn vary(
    pipeline: &Pipeline,
    examples: &[Example],
    seeds: &[u64],
    drawing: &Settings,
) -> Result<Vec<RgbImage>, Error> {
    let embeddings = pipeline.encode_pictures(&true_pictures(examples, pipeline.side()?))?; // [B, E]
    let captions = vec![""; examples.len()];
    draw_pictures(pipeline, &captions, Some(&embeddings), seeds, drawing)
}

impl Spread {
    /// Of pictures in groups of one origin.
    fn of(groups: &[Vec<RgbImage>], judge: &Judge) -> Self {
        let readings: Vec<Vec<Reading>> = groups.iter().map(|g| judge.read(g)).collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let entropies = CHANGED.map(|question| {
            let varieties = readings.iter().map(|group| Answers::of(group, question).variety());
            (question, mean(varieties.collect()))
        });
        Self {
            entropies: entropies.to_vec(),
            distance: mean(groups.iter().flat_map(|group| distances(group)).collect()),
        }
    }
}

impl VariationReport {
    /// Markdown tables.
    pub fn to_markdown(&self) -> String {
        let kept = self
            .kept
            .iter()
            .map(|(question, tally)| vec![question.name().to_owned(), percent(*tally)]);
        let both = vec!["thing and colour".to_owned(), percent(self.thing_and_colour)];
        let kept = table(&["variations: label", "kept"], kept.chain([both]));
        let header =
            ["spread of repeated drawing", "variations of a picture", "pictures from its caption"];
        let spreads = [&self.variations, &self.drawings];
        let entropies = CHANGED.into_iter().enumerate().map(|(index, question)| {
            let [variations, drawings] = spreads.map(|s| format!("{:.2}", s.entropies[index].1));
            let name = format!("{}, entropy in nats", question.name());
            vec![name, variations, drawings]
        });
        let [variations, drawings] = spreads.map(|s| format!("{:.3}", s.distance));
        let distance = vec!["distance at 32 pixels, rms".to_owned(), variations, drawings];
        format!("{kept}\n{}", table(&header, entropies.chain([distance])))
    }
}
