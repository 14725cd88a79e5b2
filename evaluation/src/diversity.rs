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
use crate::{Error, Judge};

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
    VARIED
        .into_iter()
        .filter(|question| asked.iter().all(|(said, _)| said != question))
        .collect()
}

/// The renderer's scenes of one thing, as labels.
pub fn pool() -> Vec<Labels> {
    (0..POOL)
        .map(|seed| Scene::draw_alone(seed, Split::Training).labels())
        .collect()
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
        .map(|labels| question.truth(labels))
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

/// Draws many pictures of each of some captions and compares their variety with the renderer's.
pub fn measure_diversity(
    pipeline: &Pipeline,
    judge: &Judge,
    settings: &EvaluationSettings,
    progress: &mut EvaluationProgress,
) -> Result<Diversity, Error> {
    let (seeds, pool) = (settings.diversity_seeds, pool());
    let mut found = VARIED.map(|question| Found {
        question,
        answers: vec![],
        references: vec![],
    });
    let captions = open_captions(settings.diversity_captions);
    for (number, caption) in captions.iter().enumerate() {
        let first = settings.seed.wrapping_add((number * seeds) as u64);
        let all: Vec<u64> = (0..seeds as u64).map(|i| first.wrapping_add(i)).collect();
        let mut readings = Vec::with_capacity(seeds);
        for some in all.chunks(settings.batch.max(1)) {
            let texts = vec![caption.text.as_str(); some.len()];
            readings.extend(judge.read(&draw_pictures(
                pipeline,
                &texts,
                None,
                some,
                &settings.drawing,
            )?));
        }
        let left_out = left_out(caption);
        for found in found
            .iter_mut()
            .filter(|found| left_out.contains(&found.question))
        {
            let reference = renderer_entropy(&pool, caption, found.question, seeds);
            if let Some(reference) = reference {
                found.answers.push(Answers::of(&readings, found.question));
                found.references.push(reference);
            }
        }
        progress(
            "diversity",
            ((number + 1) * seeds) as u64,
            (captions.len() * seeds) as u64,
        );
    }
    let ratios = found.iter().filter_map(
        |Found {
             question,
             answers,
             references,
         }| {
            Some((
                *question,
                answers.len(),
                entropy_ratio(answers, references)?,
            ))
        },
    );
    Ok(Diversity {
        captions: captions.len(),
        seeds,
        ratios: ratios.collect(),
    })
}

/// What was found about one question, caption by caption.
struct Found {
    question: Question,
    answers: Vec<Answers>,
    references: Vec<f64>,
}
