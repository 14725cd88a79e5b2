//! How varied the pictures of one caption are in what the caption leaves out, beside the scenes it could be about.
//!
//! The entropy of few draws lies below that of their distribution, so the renderer's own entropy is measured as the
//! pictures' is: over as many scenes that the caption describes as there are pictures of it.

use pipeline::Pipeline;
use scenes::{Caption, Labels, Scene, Split, held_out};

use crate::evaluate::{EvaluationProgress, EvaluationSettings, draw_pictures};
use crate::examples::asked;
use crate::lessons::FIRST_TEST_SEED;
use crate::questions::Question;
use crate::report::Diversity;
use crate::statistics::{Answers, entropy, entropy_ratio};
use crate::{Error, Judge, Reading};

/// What is looked at.
pub const VARIED: [Question; 3] = [Question::Colour, Question::Sky, Question::Ground];
/// Far above every seed that the judge was trained or tested on.
const FIRST_SEED: u64 = FIRST_TEST_SEED + FIRST_TEST_SEED / 2;
/// Scenes of the renderer that captions are held against.
const POOL: u64 = 60_000;
/// Groups of scenes over which the renderer's entropy is averaged, at most.
const GROUPS: usize = 10;

/// Captions of one thing that leave out its colour, the sky or the ground. They come from the templates that training
/// uses, because those kept for evaluation always name the colour.
pub fn open_captions(count: usize) -> Vec<Caption> {
    (FIRST_SEED..)
        .map(|seed| Scene::draw_alone(seed, Split::Judge))
        // The renderer that the captions are held against draws no held-out pairs.
        .filter(|scene| !held_out(scene.labels().thing, scene.labels().colour))
        .map(|scene| scene.own_caption())
        .filter(|caption| caption.mentioned.thing.is_some() && !left_out(caption).is_empty())
        .take(count)
        .collect()
}

/// What of [`VARIED`] a caption does not mention.
fn left_out(caption: &Caption) -> Vec<Question> {
    let asked = asked(caption);
    VARIED.into_iter().filter(|question| asked.iter().all(|(said, _)| said != question)).collect()
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
            let mut counts = vec![0; question.answers()];
            group.iter().for_each(|&answer| counts[answer] += 1);
            entropy(&counts)
        })
        .collect();
    (!groups.is_empty()).then(|| groups.iter().sum::<f64>() / groups.len() as f64)
}

/// Captions that leave something out, and how varied the renderer's scenes are in it.
pub struct Varied {
    captions: Vec<Caption>,
    seeds: usize,
    /// For each caption what it leaves out, with the renderer's entropy.
    left_out: Vec<Vec<(Question, f64)>>,
}

impl Varied {
    /// The captions beside as many scenes each as they have pictures, `seeds`.
    pub fn new(captions: Vec<Caption>, seeds: usize) -> Self {
        let pool = pool();
        let of = |caption: &Caption| {
            let questions = left_out(caption).into_iter();
            let entropy = |q| Some((q, renderer_entropy(&pool, caption, q, seeds)?));
            questions.filter_map(entropy).collect()
        };
        Self { left_out: captions.iter().map(of).collect(), captions, seeds }
    }

    /// The captions' words.
    pub fn texts(&self) -> Vec<&str> {
        self.captions.iter().map(|caption| &*caption.text).collect()
    }

    /// For each caption the variety of its pictures in all that it leaves out together, and the renderer's. `readings` are
    /// those of each caption's pictures after the other's.
    pub fn variety(&self, readings: &[Reading]) -> Vec<[f64; 2]> {
        let own = readings.chunks(self.seeds).zip(&self.left_out);
        own.map(|(readings, left_out)| {
            let both = left_out.iter().map(|&(question, renderers)| {
                [Answers::of(readings, question).variety(), renderers]
            });
            both.fold([0.0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
        })
        .collect()
    }
}

/// Draws many pictures of each of some captions and compares their variety with the renderer's.
pub fn measure_diversity(
    pipeline: &Pipeline,
    judge: &Judge,
    settings: &EvaluationSettings,
    progress: &mut EvaluationProgress,
) -> Result<Diversity, Error> {
    let seeds = settings.diversity_seeds;
    let mut found = VARIED.map(|question| Found { question, answers: vec![], references: vec![] });
    let varied = Varied::new(open_captions(settings.diversity_captions), seeds);
    let captions = varied.texts();
    for (number, caption) in captions.iter().enumerate() {
        let first = settings.seed.wrapping_add((number * seeds) as u64);
        let all: Vec<u64> = (0..seeds as u64).map(|i| first.wrapping_add(i)).collect();
        let mut readings = Vec::with_capacity(seeds);
        for some in all.chunks(settings.batch.max(1)) {
            let texts = vec![*caption; some.len()];
            readings.extend(judge.read(&draw_pictures(
                pipeline,
                &texts,
                None,
                some,
                &settings.drawing,
            )?));
        }
        for &(question, reference) in &varied.left_out[number] {
            let own = found.iter_mut().find(|found| found.question == question);
            let own = own.expect("what varies is looked at");
            own.answers.push(Answers::of(&readings, question));
            own.references.push(reference);
        }
        progress("diversity", ((number + 1) * seeds) as u64, (captions.len() * seeds) as u64);
    }
    let ratios = found.iter().filter_map(|Found { question, answers, references }| {
        Some((*question, answers.len(), entropy_ratio(answers, references)?))
    });
    Ok(Diversity { captions: captions.len(), seeds, ratios: ratios.collect() })
}

/// What was found about one question, caption by caption.
struct Found {
    question: Question,
    answers: Vec<Answers>,
    references: Vec<f64>,
}
