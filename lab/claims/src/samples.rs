//! The samples of each setting, in a folder.

use std::path::PathBuf;

use evaluation::examples::{captions, true_images};
use evaluation::{Batches, Error, EvaluationProgress, Example};
use image::RgbImage;
use pipeline::{Pipeline, to_images};
use tch::Tensor;

use crate::systems::Setting;

/// Scenes that are rendered at once.
const SCENES: usize = 100;

/// The numbers of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleCounts {
    /// For each setting.
    pub each: usize,
    /// For the best setting of each system.
    pub best: usize,
    /// Captions whose diversity is measured.
    pub open: usize,
    /// Images of each of these.
    pub seeds: usize,
    /// Scenes that CLIP classifies, and four times as many that a classifier learns from.
    pub scenes: u64,
    /// For each scale of GLIDE's two kinds of guidance.
    pub guidance: usize,
    /// For the best scales of both.
    pub best_guidance: usize,
}

impl SampleCounts {
    /// Those of the documentation.
    pub const STANDARD: Self = Self {
        each: 1000,
        best: 5000,
        open: 40,
        seeds: 10,
        scenes: 1000,
        guidance: 500,
        best_guidance: 2000,
    };

    /// No more than `most` of anything, to try something.
    pub fn limited(self, most: u64) -> Self {
        let few = |count: usize| count.min(most as usize);
        Self {
            each: few(self.each),
            best: few(self.best),
            open: few(self.open),
            seeds: few(self.seeds),
            scenes: self.scenes.min(most),
            guidance: few(self.guidance),
            best_guidance: few(self.best_guidance),
        }
    }
}

/// Models that sample base images by a setting.
pub trait Sampler {
    /// The images' side, in pixels.
    fn base_side(&self) -> Result<u32, Error>;

    /// Base images `[B, C, h, w]` of captions, each with the noise of its seed.
    fn sample(&self, setting: Setting, captions: &[&str], seeds: &[u64]) -> Result<Tensor, Error>;
}

/// Samples that are kept in a folder, and sampled where it does not have them.
pub struct SampleStore<'a> {
    /// The models.
    pub sampler: &'a dyn Sampler,
    /// The folder.
    pub folder: PathBuf,
    /// Images that are sampled at once, at least 1.
    pub batch: usize,
    /// Hears of every batch.
    pub progress: &'a EvaluationProgress<'a>,
}

/// Captions and the seeds of their noise, under the name of their folder.
struct Prompts<'a> {
    name: String,
    captions: Vec<&'a str>,
    seeds: Vec<u64>,
}

impl SampleStore<'_> {
    /// An image of each example. Examples of pairs have sheets of their own.
    pub fn of_examples(
        &self,
        setting: Setting,
        examples: &[Example],
    ) -> Result<Vec<RgbImage>, Error> {
        let pairs = examples.first().is_some_and(|e| e.caption.mentioned.second.is_some());
        let prompts = Prompts {
            name: if pairs { format!("{}-pairs", setting.slug()) } else { setting.slug() },
            captions: captions(examples),
            seeds: examples.iter().map(|e| e.number).collect(),
        };
        self.sample(setting, &prompts)
    }

    /// `each` images of each caption, caption by caption.
    pub fn of_captions(
        &self,
        setting: Setting,
        captions: Vec<&str>,
        each: usize,
    ) -> Result<Vec<RgbImage>, Error> {
        let prompts = Prompts {
            name: format!("{}-open", setting.slug()),
            captions: captions.iter().flat_map(|&text| std::iter::repeat_n(text, each)).collect(),
            seeds: (0..(captions.len() * each) as u64).collect(),
        };
        self.sample(setting, &prompts)
    }

    fn sample(&self, setting: Setting, prompts: &Prompts) -> Result<Vec<RgbImage>, Error> {
        let batches = Batches {
            folder: Some(self.folder.join(&prompts.name)),
            side: self.sampler.base_side()?,
            size: self.batch,
            progress: self.progress,
            part: (0, 1),
        };
        batches.sample(&prompts.name, prompts.captions.len(), &|batch| {
            let (captions, seeds) = (&prompts.captions[batch.clone()], &prompts.seeds[batch]);
            Ok(to_images(&self.sampler.sample(setting, captions, seeds)?))
        })
    }
}

/// The scenes of examples at the decoder's size.
pub fn true_base_images(pipeline: &Pipeline, examples: &[Example]) -> Result<Vec<RgbImage>, Error> {
    let mut base = Vec::with_capacity(examples.len());
    for some in examples.chunks(SCENES) {
        let images = true_images(some, 4 * pipeline.base_side()?);
        base.extend(to_images(&pipeline.to_base_images(&images)?));
    }
    Ok(base)
}
