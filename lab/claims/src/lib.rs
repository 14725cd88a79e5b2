//! Hypothesis tests of what the CLIP, GLIDE and unCLIP papers claim, in small: `docs/claims.md` says of each claim what the
//! paper says, how it is tested and when it holds, and was written before the first run.
//!
//! Modules in reading order: [`systems`] (the models that are compared), [`samples`] (their images, in a folder),
//! [`hypothesis_tests`], `features` and `diversity` (comparisons by images), `linear_probe` (CLIP beside a classifier on its
//! embeddings), [`guidance`] (GLIDE's two kinds), [`report`], [`plots`].

#![forbid(unsafe_code)]

mod diversity;
mod features;
pub mod guidance;
pub mod hypothesis_tests;
mod linear_probe;
pub mod plots;
pub mod report;
pub mod samples;
pub mod systems;

use evaluation::statistics::paired_difference;
use evaluation::{CaptionSet, CaptionedScene, Error};
use judge::{Judge, Question, Subject};

use diversity::Diversity;
use features::{Features, ImageFeatures};
use hypothesis_tests::Claim;
use samples::true_base_images;
use systems::{PRIOR_SCALES, SCALES, Setting, System};

pub use guidance::{Glide, evaluate_guidance};
pub use report::ClaimsReport;
pub use samples::{SampleCounts, SampleStore, Sampler};
pub use systems::Systems;

/// Samples what `store`, of these systems, does not have yet, and tests the claims on them.
pub fn evaluate_claims(
    systems: &Systems,
    store: &SampleStore,
    counts: SampleCounts,
) -> Result<ClaimsReport, Error> {
    let stack = systems.stack;
    systems.prepare()?;
    let judge = &Judge::shipped(Subject::Scene)?;
    let examples = CaptionSet::Seen.examples(0..counts.best.max(counts.each) as u64);
    let true_images = true_base_images(stack, &examples)?;
    let truth = ImageFeatures::of(judge, Some(stack), &examples, &true_images)?;
    let mut features = Features { judge, store, clip: Some(stack), truth, by_setting: Vec::new() };
    let each = &examples[..counts.each];

    // The curves, each system's best scale, and the others at the stack's.
    for system in [System::Stack, System::Captions] {
        for scale in SCALES {
            features.add(Setting::new(system, scale), each)?;
        }
    }
    let [best, captions] = [System::Stack, System::Captions].map(|system| {
        let settings = SCALES.map(|scale| Setting::new(system, scale));
        features.best(&settings, counts.each)
    });
    for prior_scale in PRIOR_SCALES {
        features.add(Setting { prior_scale, ..best }, each)?;
    }
    let others = [System::TextEmbedding, System::NoEmbedding, System::Codes];
    let others = others.map(|system| Setting { system, ..best });
    for setting in others.into_iter().chain([best, captions]) {
        features.add(setting, &examples[..counts.best])?;
    }

    let mut claims = features.compare_systems(best, captions, others, counts.best);
    claims.push(binding(store, [captions, best], counts.each)?);
    let diversity = Diversity::measure(store, judge, counts)?;
    claims.extend(diversity.claims(&features, captions, counts.each));
    claims.extend(features.guidance(best, captions, counts.each));
    claims.extend(linear_probe::claims(stack, counts.scenes, store.batch, store.progress)?);
    Ok(ClaimsReport {
        claims,
        points: report::points(&features, Some(&diversity), counts.each),
        truth: features.truth.accuracy(counts.each),
    })
}

/// unCLIP's section 7: a decoder of captions binds colours to things better.
fn binding(store: &SampleStore, settings: [Setting; 2], count: usize) -> Result<Claim, Error> {
    let judge = Judge::shipped(Subject::Pair)?;
    let examples = CaptionSet::Pairs.examples(0..count as u64);
    let both = [Question::Thing, Question::Colour, Question::SecondThing, Question::SecondColour];
    let right = |setting: Setting| -> Result<Vec<f64>, Error> {
        let predictions = judge.predict(&store.of_examples(setting, &examples)?);
        let right = examples.iter().zip(&predictions).map(|(example, prediction)| {
            f64::from(example.is_right(&both, prediction) == Some(true))
        });
        Ok(right.collect())
    };
    let [captions, stack] = settings;
    // The stack's images come first, as the progress says.
    let stack = right(stack)?;
    Ok(Claim::test(
        "a decoder of captions binds attributes better",
        "two things, each with its own colour, captions' less stack's, in points",
        paired_difference(&right(captions)?, &stack).percent(),
    ))
}
