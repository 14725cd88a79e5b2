//! Mixes: images of the weighted sum of the embeddings of images and captions, as diffusers' prior pipeline of Kandinsky 2.2 sums
//! them (`interpolate`).

use std::slice;

use images::RgbImage;
use noise::Generator;
use tch::Tensor;

use crate::image_tensors::to_images;
use crate::memory::within_memory;
use crate::noise_streams::Streams;
use crate::request::Batch;
use crate::stages::StageInput;
use crate::{Error, Observer, Pipeline, Settings, Step, Task};

/// The largest size of a weight: 1 at most is usual.
pub const LARGEST_WEIGHT: f64 = 100.0;

/// A condition of a mix.
#[derive(Debug)]
pub enum MixCondition {
    /// An image, by its CLIP embedding `[1, E]`.
    Image(Tensor),
    /// A caption, whose embedding the prior samples.
    Caption(String),
}

/// Refuses weights of fewer than two conditions, those beyond [`LARGEST_WEIGHT`], and those that are all 0.
pub fn check_weights(weights: &[f64]) -> Result<(), Error> {
    if weights.len() < 2 {
        return Err(Error::NothingToMix { count: weights.len() });
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        let must = "one of them at least must not be 0: nothing would be mixed";
        return Err(Error::setting("weights", "all 0", must));
    }
    match weights.iter().find(|weight| weight.is_nan() || weight.abs() > LARGEST_WEIGHT) {
        Some(weight) => {
            let must = format!("it must lie between -{LARGEST_WEIGHT} and {LARGEST_WEIGHT}");
            Err(Error::setting("weights", weight, &must))
        }
        None => Ok(()),
    }
}

impl Pipeline {
    /// The task of a mix with `captions`, with `images`, or with both. An error in a family whose networks take no image
    /// embedding.
    pub fn mix_task(&self, captions: bool, images: bool) -> Result<Task, Error> {
        match self.decodes_embeddings() {
            true => Ok(Task { prior: captions, image_encoder: images, ..Task::MIXED }),
            false => Err(Error::NoEmbedding { family: self.components.family().name }),
        }
    }

    /// An image for each seed, of conditions with their weights: the sum of their embeddings, each times its weight, is decoded
    /// with an empty caption. The prior samples the captions' embeddings one after another from the noise of the image's own seed.
    /// To the observer its steps are those of all captions.
    ///
    /// Guidance in a decoder that takes embeddings alone starts from the embedding that the prior samples, last, of the `negative`
    /// caption. Without one it starts from that of an image of zeros, and the noise of one more embedding is passed over:
    /// diffusers samples the empty caption's too, and makes no use of it.
    pub fn mix(
        &self,
        conditions: &[(MixCondition, f64)],
        negative: Option<&str>,
        seeds: &[u64],
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        // An empty one is none, as in the reference.
        let negative = negative.filter(|negative| !negative.is_empty());
        let captions = captions_of(conditions);
        let task = self.mix_task(captions > 0 || negative.is_some(), false)?;
        let settings = &match task.prior {
            true => settings.clone(),
            false => settings.clone().without_prior(),
        };
        self.prepare(task, settings)?;
        if let Some(negative) = negative {
            self.check_negative_caption(negative, task)?;
        }
        if seeds.is_empty() {
            return Ok(Vec::new());
        }
        let mut streams: Vec<Generator> = seeds.iter().map(|&seed| Generator::new(seed)).collect();
        within_memory(|| {
            let streams = &mut streams[..];
            let mut captions = Captions { done: 0, of: captions + negative.iter().len(), observer };
            let embedding = self.sum(conditions, settings, streams, &mut captions)?;
            let of_negative = match negative {
                Some(caption) => Some(captions.sample(self, caption, settings, streams)?),
                None => None,
            };
            let words = vec![""; seeds.len()];
            let text = match self.components.family().decodes_embeddings_alone() {
                true if negative.is_some() => None,
                true => {
                    self.skip_embedding(settings, streams)?;
                    None
                }
                false => Some(self.encode_text(&words)?),
            };
            let settings = slice::from_ref(settings);
            let batch = &mut Batch { settings, streams, observer: captions.observer };
            let input = StageInput { captions: &words, ..StageInput::default() };
            let (embedding, text) = (Some(&embedding), text.as_ref());
            let stages = self.stage_indices(task, &settings[0]);
            let negative_embedding = of_negative.as_ref();
            let of_embedding = StageInput { embedding, negative_embedding, text, ..input };
            let base = self.base_images(stages.start, of_embedding, batch)?; // [B, C, h, w]
            let images = self.upsampled_images(base, stages.start + 1..stages.end, input, batch)?;
            Ok(to_images(&images))
        })
    }

    /// The sum `[B, E]` of the conditions' embeddings, each times its weight, for each stream of noise.
    pub fn mix_embedding(
        &self,
        conditions: &[(MixCondition, f64)],
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let mut captions = Captions { done: 0, of: captions_of(conditions), observer };
        self.sum(conditions, settings, streams, &mut captions)
    }

    fn sum(
        &self,
        conditions: &[(MixCondition, f64)],
        settings: &Settings,
        streams: &mut [Generator],
        captions: &mut Captions,
    ) -> Result<Tensor, Error> {
        let weights: Vec<f64> = conditions.iter().map(|(_, weight)| *weight).collect();
        check_weights(&weights)?;
        let mut terms = Vec::with_capacity(conditions.len());
        for (condition, weight) in conditions {
            let embedding = match condition {
                MixCondition::Image(embedding) => {
                    let embedding = embedding.to_device(self.device).to_kind(self.kind);
                    embedding.expand([streams.len() as i64, -1], false)
                }
                MixCondition::Caption(caption) => {
                    captions.sample(self, caption, settings, streams)?
                }
            }; // [B, E]
            terms.push(embedding * *weight);
        }
        let sum = terms.into_iter().reduce(|sum, term| sum + term);
        Ok(sum.expect("the weights of no conditions are refused"))
    }

    /// Moves each stream on by the noise that the prior draws for one embedding.
    fn skip_embedding(&self, settings: &Settings, streams: &mut [Generator]) -> Result<(), Error> {
        let shape = [self.embedding_width()?];
        let steps = settings.prior.as_ref().map_or(0, |prior| prior.steps);
        let mut streams = Streams::new(streams, self.device, self.kind);
        (0..steps).for_each(|_| streams.skip(&shape));
        Ok(())
    }
}

/// The number of captions among conditions.
fn captions_of(conditions: &[(MixCondition, f64)]) -> usize {
    conditions.iter().filter(|(c, _)| matches!(c, MixCondition::Caption(_))).count()
}

/// Captions whose embeddings the prior samples one after another.
struct Captions<'a> {
    /// How many are done.
    done: usize,
    /// How many there are.
    of: usize,
    /// To which their steps are those of one stage.
    observer: &'a mut dyn Observer,
}

impl Captions<'_> {
    /// The embedding `[B, E]` of the next caption, for each stream of noise.
    fn sample(
        &mut self,
        pipeline: &Pipeline,
        caption: &str,
        settings: &Settings,
        streams: &mut [Generator],
    ) -> Result<Tensor, Error> {
        let text = pipeline.encode_text(&vec![caption; streams.len()])?;
        let mut observer = |step: Step<'_>| {
            let (done, steps) = (self.done * step.steps + step.done, self.of * step.steps);
            self.observer.step(Step { done, steps, ..step })
        };
        let embedding = pipeline.sample_embedding(&text, settings, streams, &mut observer)?;
        self.done += 1;
        Ok(embedding)
    }
}
