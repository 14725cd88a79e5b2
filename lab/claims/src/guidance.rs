//! GLIDE's claim that classifier-free guidance beats the gradient of a CLIP of noised images (2112.10741, section 5.1), by one
//! model that has both. People chose between the images of both there; here a judge counts what it sees.

use evaluation::evaluator::streams;
use evaluation::{CaptionSet, Error};
use judge::{Judge, Subject};
use pipeline::{Pipeline, Settings, Silent, Stages, Task};
use tch::Tensor;

use crate::features::{Features, ImageFeatures};
use crate::hypothesis_tests::Claim;
use crate::report::{self, ClaimsReport};
use crate::samples::{SampleCounts, SampleStore, Sampler, true_base_images};
use crate::systems::{CLIP_SCALES, SCALES, Setting, System};

/// The claim's name in `docs/claims.md`.
const CLAIM: &str = "guidance without a classifier beats CLIP guidance";
/// The points of accuracy that classifier-free guidance must be ahead by.
const MARGIN: f64 = 5.0;

/// A model with classifier-free guidance and a CLIP of noised images.
pub struct Glide<'a> {
    /// The model.
    pub pipeline: &'a Pipeline,
}

impl Glide<'_> {
    /// Opens the model.
    fn prepare(&self) -> Result<(), Error> {
        let task = Task { stages: Stages::Base, ..Task::GENERATE };
        for system in [System::GlideClassifierFree, System::GlideClip] {
            self.pipeline.prepare(task, &self.settings(Setting::new(system, 1.0))?)?;
        }
        Ok(())
    }

    /// The model's own settings with one kind of guidance. Where CLIP guides, the classifier-free scale is 1, as in the
    /// reference's notebook.
    fn settings(&self, setting: Setting) -> Result<Settings, Error> {
        let mut settings = self.pipeline.defaults()?;
        let (scale, clip_scale) = match setting.system {
            System::GlideClip => (1.0, Some(setting.scale)),
            _ => (setting.scale, None),
        };
        settings.stages[0].guidance_scale = Some(scale);
        Ok(Settings { clip_guidance_scale: clip_scale, ..settings })
    }
}

impl Sampler for Glide<'_> {
    fn base_side(&self) -> Result<u32, Error> {
        Ok(self.pipeline.base_side()?)
    }

    fn sample(&self, setting: Setting, captions: &[&str], seeds: &[u64]) -> Result<Tensor, Error> {
        let settings = self.settings(setting)?;
        let streams = &mut streams(seeds);
        let silent = &mut Silent;
        Ok(self.pipeline.sample_base_of_captions(captions, &settings, streams, silent)?)
    }
}

/// Samples what `store`, of this model, does not have yet, and tests the claim: by accuracy each kind of guidance at the scale
/// at which most images show everything asked, by distance each at the scale of the smallest FID-J.
pub fn evaluate_guidance(
    glide: &Glide,
    store: &SampleStore,
    counts: SampleCounts,
) -> Result<ClaimsReport, Error> {
    glide.prepare()?;
    let judge = &Judge::shipped(Subject::Scene)?;
    let (each, best) = (counts.guidance, counts.best_guidance);
    let examples = CaptionSet::Seen.examples(0..each.max(best) as u64);
    let true_images = true_base_images(glide.pipeline, &examples)?;
    let truth = ImageFeatures::of(judge, None, &examples, &true_images)?;
    let mut features = Features { judge, store, clip: None, truth, by_setting: Vec::new() };
    let curves = [
        SCALES.map(|scale| Setting::new(System::GlideClassifierFree, scale)),
        CLIP_SCALES.map(|scale| Setting::new(System::GlideClip, scale)),
    ];
    for setting in curves.as_flattened() {
        features.add(*setting, &examples[..each])?;
    }
    let most_accurate = curves.map(|curve| features.best(&curve, each));
    let nearest = curves.map(|curve| features.nearest(&curve, each));
    let nearest = [0, 1].map(|n: usize| nearest[n].unwrap_or(most_accurate[n]));
    for setting in most_accurate.into_iter().chain(nearest) {
        features.add(setting, &examples[..best])?;
    }
    let points =
        "everything asked at the best scales, classifier-free less CLIP, in points; more than 5";
    Ok(ClaimsReport {
        claims: vec![
            Claim::test_margin(
                &format!("{CLAIM}: accuracy"),
                points,
                features.accuracy(most_accurate, best),
                MARGIN,
            ),
            Claim::test(
                &format!("{CLAIM}: distance"),
                "FID-J, each at the scale of its smallest",
                features.distance(nearest, best),
            ),
        ],
        points: report::points(&features, None, each),
        truth: features.truth.accuracy(each),
    })
}

/// The claim where there is no such model.
pub fn untested() -> Claim {
    Claim::untested(
        CLAIM,
        "no CLIP here was trained on noised pictures, so its gradient cannot guide",
    )
}
