//! Variations: what they keep of an image, and what varies in them beside samples from the image's caption (2204.06125,
//! section 3.1).

use image::RgbImage;
use judge::markdown::table;
use judge::{Judge, Prediction, Proportion, Question};
use pipeline::Settings;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::evaluator::{Evaluator, Report};
use crate::examples::{CaptionSet, Example};
use crate::image_metrics::pairwise_distances;
use crate::siblings::SIBLING_QUESTIONS;
use crate::statistics::AnswerCounts;

/// The number of the first scene, and how many there are.
const FIRST: u64 = 20_000;
const SCENES: u64 = 500;
/// Further scenes that are sampled repeatedly, and how often.
const REPEATED_SCENES: u64 = 25;
const REPEATS: usize = 10;

/// Variations of fresh scenes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VariationReport {
    /// For each of [`SIBLING_QUESTIONS`]: how often a variation shows the same as its image.
    pub kept: Vec<(Question, Proportion)>,
    /// How often it shows the same thing in the same colour.
    pub thing_and_colour: Proportion,
    /// The spread of variations of one image.
    pub variations: Spread,
    /// The spread of samples from its caption.
    pub drawings: Spread,
}

/// How different images of one origin are, on average over origins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// For each of [`SIBLING_QUESTIONS`]: the entropy of the judge's answers, in nats.
    pub entropies: Vec<(Question, f64)>,
    /// The distance of two images at 32 pixels: the root of the mean square over all values from 0 to 1.
    pub distance: f64,
}

/// Samples variations of fresh scenes.
pub fn evaluate_variations(evaluator: &Evaluator) -> Result<VariationReport, Error> {
    evaluator.prepare()?;
    let drawing = evaluator.settings.drawing.clone().without_prior();
    let count = evaluator.limited(SCENES);
    let mut kept = SIBLING_QUESTIONS.map(|question| (question, Proportion::default()));
    let mut thing_and_colour = Proportion::default();
    for batch in CaptionSet::Seen.examples(FIRST..FIRST + count).chunks(evaluator.settings.batch) {
        let images = vary(evaluator, batch, &evaluator.seeds(batch), &drawing)?;
        for (example, prediction) in batch.iter().zip(evaluator.judge.predict(&images)) {
            let labels = example.scene.labels();
            let same = |question: Question| prediction.answer(question) == question.truth(&labels);
            kept.iter_mut().for_each(|(question, proportion)| proportion.add(same(*question)));
            thing_and_colour.add(same(Question::Thing) && same(Question::Colour));
        }
        (evaluator.progress)("variations", thing_and_colour.total, count);
    }
    let [variations, drawings] = sample_repeatedly(evaluator, FIRST + count, &drawing)?;
    Ok(VariationReport {
        kept: kept.to_vec(),
        thing_and_colour,
        variations: Spread::of(&variations, evaluator.judge),
        drawings: Spread::of(&drawings, evaluator.judge),
    })
}

/// Variations of each of the scenes from number `first` on, and as many samples from its caption.
fn sample_repeatedly(
    evaluator: &Evaluator,
    first: u64,
    drawing: &Settings,
) -> Result<[Vec<Vec<RgbImage>>; 2], Error> {
    let count = evaluator.limited(REPEATED_SCENES);
    let (mut variations, mut drawings) = (Vec::new(), Vec::new());
    for (done, example) in (1..).zip(CaptionSet::Seen.examples(first..first + count)) {
        let copies = vec![example.clone(); REPEATS];
        let first = evaluator.settings.seed.wrapping_add(example.number * REPEATS as u64);
        let seeds: Vec<u64> = (0..REPEATS as u64).map(|i| first.wrapping_add(i)).collect();
        variations.push(vary(evaluator, &copies, &seeds, drawing)?);
        let captions = [&*example.caption.text; REPEATS];
        let settings = &evaluator.settings.drawing;
        drawings.push(evaluator.sample(&captions, None, &seeds, settings)?);
        (evaluator.progress)("variations again", done, count);
    }
    Ok([variations, drawings])
}

/// A variation of each example's image, from these seeds.
fn vary(
    evaluator: &Evaluator,
    examples: &[Example],
    seeds: &[u64],
    drawing: &Settings,
) -> Result<Vec<RgbImage>, Error> {
    let embeddings = evaluator.true_embeddings(examples)?; // [B, E]
    evaluator.sample(&vec![""; examples.len()], Some(&embeddings), seeds, drawing)
}

impl Spread {
    /// The spread of images in groups of one origin.
    fn of(groups: &[Vec<RgbImage>], judge: &Judge) -> Self {
        let predictions: Vec<Vec<Prediction>> = groups.iter().map(|g| judge.predict(g)).collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let entropies = SIBLING_QUESTIONS.map(|question| {
            let varieties = predictions.iter().map(|g| AnswerCounts::of(g, question).variety());
            (question, mean(varieties.collect()))
        });
        Self {
            entropies: entropies.to_vec(),
            distance: mean(groups.iter().flat_map(|group| pairwise_distances(group)).collect()),
        }
    }
}

impl Report for VariationReport {
    fn to_markdown(&self) -> String {
        let kept = self.kept.iter().map(|(question, kept)| (question.name(), kept));
        let both = [("thing and colour", &self.thing_and_colour)];
        let kept = kept.chain(both).map(|(name, kept)| vec![name.to_owned(), kept.to_string()]);
        let kept = table("variations: label | kept", kept);
        let header =
            "spread of repeated drawing | variations of a picture | pictures from its caption";
        let spreads = [&self.variations, &self.drawings];
        let entropies = SIBLING_QUESTIONS.into_iter().enumerate().map(|(index, question)| {
            let [variations, drawings] = spreads.map(|s| format!("{:.2}", s.entropies[index].1));
            vec![format!("{}, entropy in nats", question.name()), variations, drawings]
        });
        let [variations, drawings] = spreads.map(|s| format!("{:.3}", s.distance));
        let distance = vec!["distance at 32 pixels, rms".to_owned(), variations, drawings];
        format!("{kept}\n{}", table(header, entropies.chain([distance])))
    }
}
