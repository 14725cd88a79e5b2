//! Diversity: the entropy of the images of one caption in what the caption leaves out, over that of the scenes that it
//! describes.
//!
//! The entropy of a small sample lies below that of its distribution, so the renderer's own entropy is measured as the
//! images' is: over as many scenes that the caption describes as there are images of it.

use judge::markdown::table;
use judge::{FIRST_TEST_SEED, Prediction, Question, Subject};
use scenes::{Caption, Labels, Scene, Split, held_out};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::examples::answers;
use crate::statistics::{AnswerCounts, entropy, entropy_ratio};

/// The questions whose answers a caption may leave out.
pub const OPEN_QUESTIONS: [Question; 3] = [Question::Colour, Question::Sky, Question::Ground];
/// The first caption's seed, far above every seed that the judge was trained or tested on.
const FIRST_SEED: u64 = FIRST_TEST_SEED + FIRST_TEST_SEED / 2;
/// Scenes of the renderer that captions may describe.
const POOL: u64 = 60_000;
/// Groups of scenes over which the renderer's entropy is averaged, at most.
const GROUPS: usize = 10;
/// Images of each caption.
const SEEDS: usize = 20;

/// The diversity of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiversityReport {
    /// The number of captions.
    pub captions: usize,
    /// Images a caption.
    pub seeds: usize,
    /// For each question: captions that leave it out, and the judge's entropy over the renderer's.
    pub ratios: Vec<(Question, usize, f64)>,
}

impl DiversityReport {
    /// The mean of the ratios.
    pub fn mean(&self) -> f64 {
        self.ratios.iter().map(|(.., ratio)| ratio).sum::<f64>() / self.ratios.len().max(1) as f64
    }

    /// A markdown table of the ratios.
    pub fn to_markdown(&self) -> String {
        let header = format!(
            "entropy over the renderer's ({} captions, {} seeds each) | captions that leave it out | ratio",
            self.captions, self.seeds
        );
        let rows = self.ratios.iter().map(|(question, captions, ratio)| {
            vec![question.name().to_owned(), captions.to_string(), format!("{ratio:.2}")]
        });
        let mean = vec!["mean".to_owned(), String::new(), format!("{:.2}", self.mean())];
        table(&header, rows.chain([mean]))
    }
}

/// Samples many images of each of `count` captions and compares their variety with the renderer's.
pub fn evaluate_diversity(evaluator: &Evaluator, count: usize) -> Result<DiversityReport, Error> {
    let open = OpenCaptions::new(open_captions(count), SEEDS);
    let captions = open.texts();
    let mut predictions = Vec::new();
    for (number, caption) in captions.iter().enumerate() {
        let first = evaluator.settings.seed.wrapping_add((number * SEEDS) as u64);
        let seeds: Vec<u64> = (0..SEEDS as u64).map(|i| first.wrapping_add(i)).collect();
        for batch in seeds.chunks(evaluator.settings.batch) {
            let texts = vec![*caption; batch.len()];
            let images = evaluator.sample(&texts, None, batch, &evaluator.settings.drawing)?;
            predictions.extend(evaluator.judge.predict(&images));
        }
        let (done, all) = ((number + 1) * SEEDS, captions.len() * SEEDS);
        (evaluator.progress)("diversity", done as u64, all as u64);
    }
    let ratios = OPEN_QUESTIONS.into_iter().filter_map(|question| {
        let (answers, references) = open.answers(question, &predictions);
        Some((question, answers.len(), entropy_ratio(&answers, &references)?))
    });
    Ok(DiversityReport { captions: captions.len(), seeds: SEEDS, ratios: ratios.collect() })
}

/// Captions of one thing that leave out its colour, the sky or the ground. They come from the templates that training
/// uses, because those of evaluation always name the colour.
pub fn open_captions(count: usize) -> Vec<Caption> {
    (FIRST_SEED..)
        .map(|seed| Scene::draw_alone(seed, Split::Judge))
        // The renderer's scenes of training show no held-out pairs.
        .filter(|scene| !held_out(scene.labels().thing, scene.labels().colour))
        .map(|scene| scene.own_caption())
        .filter(|caption| caption.mentioned.thing.is_some() && !left_out(caption).is_empty())
        .take(count)
        .collect()
}

/// The [`OPEN_QUESTIONS`] that a caption does not answer.
fn left_out(caption: &Caption) -> Vec<Question> {
    let answers = answers(caption);
    let is_open = |question: &Question| answers.iter().all(|(answered, _)| answered != question);
    OPEN_QUESTIONS.into_iter().filter(is_open).collect()
}

/// The renderer's scenes of one thing, as labels.
pub fn pool() -> Vec<Labels> {
    (0..POOL).map(|seed| Scene::draw_alone(seed, Split::Training).labels()).collect()
}

/// The entropy of a question's answers over `draws` scenes of `pool` that `caption` describes, averaged over several
/// such groups; `None` where there are not that many.
pub fn renderer_entropy(
    pool: &[Labels],
    caption: &Caption,
    question: Question,
    draws: usize,
) -> Option<f64> {
    let fitting: Vec<usize> = pool
        .iter()
        .filter(|labels| caption.mentioned.describes(labels))
        .take(draws * GROUPS)
        .filter_map(|labels| question.truth(labels))
        .collect();
    let groups: Vec<f64> = fitting
        .chunks_exact(draws)
        .map(|group| {
            let mut counts = vec![0; Subject::Scene.answers(question)];
            group.iter().for_each(|&answer| counts[answer] += 1);
            entropy(&counts)
        })
        .collect();
    (!groups.is_empty()).then(|| groups.iter().sum::<f64>() / groups.len() as f64)
}

/// Captions that leave something out, with the renderer's entropies of it.
pub struct OpenCaptions {
    captions: Vec<Caption>,
    seeds: usize,
    /// The questions that each caption leaves out, with the renderer's entropy.
    left_out: Vec<Vec<(Question, f64)>>,
}

impl OpenCaptions {
    /// The captions, each beside `seeds` scenes, as many as it has images.
    pub fn new(captions: Vec<Caption>, seeds: usize) -> Self {
        let pool = pool();
        let of = |caption: &Caption| {
            let questions = left_out(caption).into_iter();
            let entropy = |q| Some((q, renderer_entropy(&pool, caption, q, seeds)?));
            questions.filter_map(entropy).collect()
        };
        Self { left_out: captions.iter().map(of).collect(), captions, seeds }
    }

    /// The captions' texts.
    pub fn texts(&self) -> Vec<&str> {
        self.captions.iter().map(|caption| &*caption.text).collect()
    }

    /// The variety of each caption's images in all that it leaves out together, and the renderer's. `predictions` are those
    /// of each caption's images after the other's.
    pub fn variety(&self, predictions: &[Prediction]) -> Vec<[f64; 2]> {
        let own = predictions.chunks(self.seeds).zip(&self.left_out);
        own.map(|(predictions, left_out)| {
            let both = left_out.iter().map(|&(question, renderers)| {
                [AnswerCounts::of(predictions, question).variety(), renderers]
            });
            both.fold([0.0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
        })
        .collect()
    }

    /// Of the captions that leave a question out, the answers in their images, and the renderer's entropies.
    fn answers(
        &self,
        question: Question,
        predictions: &[Prediction],
    ) -> (Vec<AnswerCounts>, Vec<f64>) {
        let own = predictions.chunks(self.seeds).zip(&self.left_out);
        own.filter_map(|(predictions, left_out)| {
            let (_, entropy) = left_out.iter().find(|(open, _)| *open == question)?;
            Some((AnswerCounts::of(predictions, question), *entropy))
        })
        .unzip()
    }
}
