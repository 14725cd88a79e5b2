//! What the CLIP, GLIDE and unCLIP papers claim, tested in small: `docs/claims.md` says of each claim what the paper says,
//! how it is tested and when it holds, and was written before the first run.
//!
//! Read in this order: [`systems`] (what draws), [`drawn`] (the pictures, kept so that a run goes on where it stopped),
//! [`verdicts`] (differences with their intervals), `measured` and `diversities` (what the pictures show), [`probe`] (CLIP
//! beside a classifier on its embeddings), [`report`], [`plots`].

mod diversities;
pub mod drawn;
mod measured;
pub mod plots;
pub mod probe;
pub mod report;
pub mod systems;
pub mod verdicts;

use std::path::Path;

use pipeline::Pipeline;

use crate::evaluate::EvaluationProgress;
use crate::examples::{Asked, Example};
use crate::judge::{Judge, Reading};
use crate::questions::Subject;
use crate::{Error, Question};
use diversities::Diversities;
use drawn::{Drawn, true_bases};
use measured::{Measured, Seen};
use report::{Claim, ClaimsReport};
use systems::{Setting, System, Systems};
use verdicts::{Verdict, paired};

/// Guidance scales of the curves; 1 is no guidance.
pub const SCALES: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
/// Guidance scales of the prior that are compared with none.
const PRIOR_SCALES: [f64; 2] = [2.0, 4.0];

/// How many pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// For each setting.
    pub each: usize,
    /// For the best setting of each system.
    pub best: usize,
    /// Captions whose diversity is measured.
    pub open: usize,
    /// Pictures of each of these.
    pub seeds: usize,
    /// Scenes that CLIP is asked about, and four times as many that a classifier learns from.
    pub scenes: u64,
}

impl Counts {
    /// Those of the documentation.
    pub const STANDARD: Self = Self { each: 1000, best: 5000, open: 40, seeds: 10, scenes: 1000 };

    /// No more than `most` of anything, to try something.
    pub fn limited(self, most: u64) -> Self {
        let few = |count: usize| count.min(most as usize);
        Self {
            each: few(self.each),
            best: few(self.best),
            open: few(self.open),
            seeds: few(self.seeds),
            scenes: self.scenes.min(most),
        }
    }
}

/// Draws with the systems what is not in `folder` yet, and tests the claims. `batch` pictures are drawn at once.
pub fn evaluate_claims(
    (stack, captions): (&Pipeline, &Pipeline),
    folder: &Path,
    counts: Counts,
    batch: usize,
    progress: &mut EvaluationProgress,
) -> Result<ClaimsReport, Error> {
    let systems = Systems { stack, captions };
    systems.prepare()?;
    let judge = Judge::shipped(Subject::Scene)?;
    let drawn = Drawn::new(&systems, folder, batch);
    let examples = Asked::Seen.examples(0..counts.best.max(counts.each) as u64);
    let mut measured = Measured {
        truth: Seen::of(&judge, stack, &examples, true_bases(stack, &examples)?)?,
        examples,
        judge: &judge,
        drawn: &drawn,
        stack,
        seen: Vec::new(),
    };

    // The curves, each system's best scale, and the others at the stack's.
    for system in [System::Stack, System::Captions] {
        for scale in SCALES {
            measured.add(Setting::new(system, scale), counts.each, progress)?;
        }
    }
    let best = measured.best(System::Stack, counts.each);
    let best_of_captions = measured.best(System::Captions, counts.each);
    for prior_scale in PRIOR_SCALES {
        let setting = Setting { prior_scale, ..best };
        measured.add(setting, counts.each, progress)?;
    }
    let others = [System::TextEmbedding, System::NoEmbedding, System::Codes];
    let others = others.map(|system| Setting { system, ..best });
    for setting in others.into_iter().chain([best, best_of_captions]) {
        measured.add(setting, counts.best, progress)?;
    }

    let mut claims = measured.compare_systems(best, best_of_captions, &others, counts);
    let pairs = binding(&drawn, counts.each, [best, best_of_captions], progress)?;
    claims.push(pairs);
    let diversity = Diversities::measure(&drawn, &judge, counts, progress)?;
    claims.extend(diversity.claims(&measured, best_of_captions, counts.each));
    claims.extend(measured.guidance(best, best_of_captions, counts.each));
    claims.extend(probe::claims(stack, counts.scenes, batch, progress)?);
    claims.push(Claim {
        name: "guidance without a classifier beats CLIP guidance".to_owned(),
        compared: "no CLIP here was trained on noised pictures, so its gradient cannot guide"
            .to_owned(),
        found: None,
        verdict: Verdict::CannotBeTold,
    });
    Ok(ClaimsReport {
        claims,
        points: measured.points(&diversity, counts),
        truth: measured.truth.right(counts.each),
    })
}

/// unCLIP's section 7: a decoder of captions binds colours to things better.
fn binding(
    drawn: &Drawn,
    count: usize,
    settings: [Setting; 2],
    progress: &mut EvaluationProgress,
) -> Result<Claim, Error> {
    let judge = Judge::shipped(Subject::Pair)?;
    let examples = Asked::Pairs.examples(0..count as u64);
    let both = [Question::Thing, Question::Colour, Question::SecondThing, Question::SecondColour];
    let mut bound = |setting: Setting| -> Result<Vec<f64>, Error> {
        let pictures = drawn.of_examples(setting, &examples, progress)?;
        let readings = judge.read(&pictures);
        let right = |(example, reading): (&Example, &Reading)| {
            f64::from(example.right(&both, reading) == Some(true))
        };
        Ok(examples.iter().zip(&readings).map(right).collect())
    };
    let (stack, captions) = (bound(settings[0])?, bound(settings[1])?);
    Ok(Claim::tested(
        "a decoder of captions binds attributes better",
        "two things, each with its own colour, captions' less stack's, in points",
        paired(&captions, &stack).percent(),
        0.0,
    ))
}
