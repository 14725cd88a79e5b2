//! The evaluator: a pipeline, the judge of its images, and how they are sampled.

use std::ops::Range;
use std::path::PathBuf;

use image::RgbImage;
use judge::Judge;
use noise::Generator;
use pipeline::{Inversion, Pipeline, Request, Settings, Silent, Task};
use serde::Serialize;
use tch::Tensor;

use crate::batches::Batches;
use crate::error::Error;
use crate::examples::{CaptionedScene, true_images};

/// Hears what is being sampled, how many images of it are done and how many there will be.
pub type EvaluationProgress<'a> = dyn Fn(&str, u64, u64) + 'a;

/// Measurements that print as markdown and are written as JSON.
pub trait Report: Serialize {
    /// Markdown tables.
    fn to_markdown(&self) -> String;
}

/// How an evaluation samples.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationSettings {
    /// Fewer examples than a table's own number, to try something.
    pub at_most: Option<u64>,
    /// Images that are sampled at once, at least 1.
    pub batch: usize,
    /// The noise of example `i` comes from `seed + i`.
    pub seed: u64,
    /// The pipeline's settings.
    pub drawing: Settings,
    /// The folder of the samples of this model by these settings, from which a run that was cut off goes on.
    pub samples: Option<PathBuf>,
    /// The number of this process and of all that share that folder.
    pub part: (usize, usize),
}

/// A pipeline with the judge of its images.
#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    /// The model.
    pub pipeline: &'a Pipeline,
    /// The judge.
    pub judge: &'a Judge,
    /// How images are sampled.
    pub settings: &'a EvaluationSettings,
    /// Hears of every batch.
    pub progress: &'a EvaluationProgress<'a>,
}

impl Evaluator<'_> {
    /// Opens what sampling from captions and from images takes.
    pub fn prepare(&self) -> Result<(), Error> {
        Ok(self.pipeline.prepare(Task::MIXED, &self.settings.drawing)?)
    }

    /// Opens what sampling from captions takes and, in models that decode image embeddings, what embeds images.
    pub fn prepare_captions(&self) -> Result<(), Error> {
        let task = match self.pipeline.decodes_embeddings() {
            true => Task::MIXED,
            false => Task::GENERATE,
        };
        Ok(self.pipeline.prepare(task, &self.settings.drawing)?)
    }

    /// A table's number of examples, or the smaller one of the settings.
    pub fn limited(&self, count: u64) -> u64 {
        self.settings.at_most.unwrap_or(count).min(count)
    }

    /// The seeds of the noise of examples.
    pub fn seeds(&self, examples: &[impl CaptionedScene]) -> Vec<u64> {
        examples.iter().map(|example| self.settings.seed.wrapping_add(example.number())).collect()
    }

    /// The scenes of examples, of the size that the pipeline samples.
    pub fn true_images(&self, examples: &[impl CaptionedScene]) -> Result<Vec<RgbImage>, Error> {
        Ok(true_images(examples, self.pipeline.side()?))
    }

    /// The CLIP embeddings of these: `[B, E]`.
    pub fn true_embeddings(&self, examples: &[impl CaptionedScene]) -> Result<Tensor, Error> {
        Ok(self.pipeline.encode_images(&self.true_images(examples)?)?)
    }

    /// An image a caption, each with noise of its own: from these embeddings `[B, E]`, or else from the prior's.
    pub fn sample(
        &self,
        captions: &[&str],
        embeddings: Option<&Tensor>,
        seeds: &[u64],
        drawing: &Settings,
    ) -> Result<Vec<RgbImage>, Error> {
        let requests =
            (0..).zip(captions).zip(seeds).map(|((n, &caption), &seed)| match embeddings {
                Some(embeddings) => {
                    let embedding = embeddings.narrow(0, n, 1); // [1, E]
                    Request::of_embedding(&embedding, seed, drawing.clone()).with_caption(caption)
                }
                None => Request::new(caption, seed, drawing.clone()),
            });
        Ok(self.pipeline.sample(&requests.collect::<Vec<_>>(), &mut Silent)?)
    }

    /// `count` images of the size that the pipeline samples, a batch at a time by `sample`, or those that the folder of samples
    /// has under `label`.
    pub fn sample_batches(
        &self,
        label: &str,
        count: usize,
        sample: &dyn Fn(Range<usize>) -> Result<Vec<RgbImage>, Error>,
    ) -> Result<Vec<RgbImage>, Error> {
        let name = label.replace(", ", "-").replace(' ', "-");
        let batches = Batches {
            folder: self.settings.samples.as_ref().map(|folder| folder.join(name)),
            side: self.pipeline.side()?,
            size: self.settings.batch,
            progress: self.progress,
            part: self.settings.part,
        };
        batches.sample(label, count, sample)
    }

    /// The inversions of images by `calls` of the decoder each.
    pub(crate) fn invert(&self, images: &[RgbImage], calls: usize) -> Result<Inversion, Error> {
        let steps = calls / pipeline::inversion::CALLS_A_STEP;
        Ok(self.pipeline.invert(images, steps, &mut Silent)?)
    }
}

/// A stream of noise a seed.
pub fn streams(seeds: &[u64]) -> Vec<Generator> {
    seeds.iter().map(|&seed| Generator::new(seed)).collect()
}
