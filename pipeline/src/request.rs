//! Requests: an image each, sampled alone or in a batch.

use std::collections::BTreeMap;

use images::RgbImage;
use noise::Generator;
use tch::Tensor;

use crate::image_tensors::to_images;
use crate::image_to_image::Strength;
use crate::inpainting::{Inpainting, InpaintingBatch};
use crate::memory::within_memory;
use crate::observer::PRIOR;
use crate::repaint::{RESAMPLE, resample_count};
use crate::stages::{BASE, StageInput};
use crate::{Error, Observer, Pipeline, Settings, Task};

/// An image to sample.
#[derive(Debug)]
pub struct Request {
    /// The caption; empty for an image that its embedding alone describes.
    pub caption: String,
    /// The CLIP image embedding `[1, E]` to decode; `None` for the prior to sample one of the caption.
    pub image_embedding: Option<Tensor>,
    /// The CLIP image embedding `[1, E]` that the diffusion prior starts from, noised as far as
    /// [`PriorSettings::strength`](crate::settings::PriorSettings::strength) says; `None` for noise alone.
    pub first_embedding: Option<Tensor>,
    /// The caption of what the image should not show, for models that [take](Pipeline::takes_negative_captions) one.
    pub negative_caption: Option<String>,
    /// The image to start from, noised as far as [`Settings::strength`] says and squashed to the size of the settings' images;
    /// `None` for noise alone.
    pub image: Option<RgbImage>,
    /// The hint that the image is drawn by, squashed to [its size](Pipeline::hint_size), for models that
    /// [take](Pipeline::takes_hints) one.
    pub hint: Option<RgbImage>,
    /// An image of which the known part stays; `None` for an image that is all sampled.
    pub inpainting: Option<Inpainting>,
    /// The seed of the image's own noise. The same request gives the same image.
    pub seed: u64,
    /// Steps and guidance.
    pub settings: Settings,
}

impl Request {
    /// An image of a caption: the prior samples its embedding, in models that have one.
    pub fn new(caption: impl Into<String>, seed: u64, settings: Settings) -> Self {
        let caption = caption.into();
        Self {
            caption,
            image_embedding: None,
            first_embedding: None,
            negative_caption: None,
            image: None,
            hint: None,
            inpainting: None,
            seed,
            settings,
        }
    }

    /// An image of an image embedding `[1, E]`, without the prior.
    pub fn of_embedding(image_embedding: &Tensor, seed: u64, settings: Settings) -> Self {
        Self {
            image_embedding: Some(image_embedding.shallow_clone()),
            ..Self::new("", seed, settings)
        }
    }

    /// The same with a caption, which the decoder reads beside the embedding.
    pub fn with_caption(self, caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), ..self }
    }

    /// The same where the prior starts from an image embedding `[1, E]`.
    pub fn with_first_embedding(self, embedding: &Tensor) -> Self {
        Self { first_embedding: Some(embedding.shallow_clone()), ..self }
    }

    /// The same with a caption of what the image should not show.
    pub fn with_negative_caption(self, caption: impl Into<String>) -> Self {
        Self { negative_caption: Some(caption.into()), ..self }
    }

    /// The same from an image on, for models that denoise latents.
    pub fn with_image(self, image: RgbImage) -> Self {
        Self { image: Some(image), ..self }
    }

    /// The same by a hint, for models that take one.
    pub fn with_hint(self, hint: RgbImage) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// The same with a part of an image that stays (2112.10741, section 4.3).
    pub fn with_inpainting(self, inpainting: Inpainting) -> Self {
        Self { inpainting: Some(inpainting), ..self }
    }
}

/// A batch of images on their way through the stages.
pub(crate) struct Batch<'a> {
    /// The settings of each image, or one for all. They differ in their guidance scales alone.
    pub(crate) settings: &'a [Settings],
    /// A stream of noise for each image.
    pub(crate) streams: &'a mut [Generator],
    pub(crate) observer: &'a mut dyn Observer,
}

impl<'a> Batch<'a> {
    /// The settings that all images have in common: everything but guidance scales.
    pub(crate) fn settings(&self) -> &'a Settings {
        &self.settings[0]
    }

    /// A guidance scale for each image, as `scale` finds it in settings; `None` where the batch is not guided.
    pub(crate) fn guidance(&self, scale: impl Fn(&Settings) -> Option<f64>) -> Option<Vec<f64>> {
        let scales: Vec<f64> = self.settings.iter().map(scale).collect::<Option<_>>()?;
        match scales[..] {
            [scale] => Some(vec![scale; self.streams.len()]),
            _ => Some(scales),
        }
    }
}

impl Pipeline {
    /// The task of a request. Where nothing is said of an image that is inpainted, neither by a caption nor by an embedding, no
    /// prior takes part: the known part alone says what is painted.
    pub fn task(&self, request: &Request) -> Task {
        let inpaints = request.inpainting.is_some();
        let by_embedding = self.components.family().decodes_embeddings();
        let says_nothing = by_embedding && inpaints && request.caption.trim().is_empty();
        let prior = request.image_embedding.is_none() && !says_nothing;
        Task { prior, inpaints, hint: request.hint.is_some(), ..Task::GENERATE }
    }

    /// The steps that a stage takes for a request, [`Step::steps`](crate::Step::steps): none of a prior that takes no part, and
    /// more than the settings say where RePaint inpaints the base image.
    pub fn step_count(&self, request: &Request, stage: &str) -> Result<usize, Error> {
        let (task, settings) = (self.task(request), &request.settings);
        if stage == PRIOR {
            let prior = settings.prior.as_ref().filter(|_| task.prior);
            let steps = prior.map_or(0, |prior| prior.steps);
            return Ok(match request.first_embedding {
                Some(_) => Strength::of_prior(settings).count(steps),
                None => steps,
            });
        }
        let steps = settings.stage(stage).map_or(0, |stage| stage.steps.count());
        let steps = match request.image {
            Some(_) => Strength::of_stage(settings).count(steps),
            None => steps,
        };
        let is_base = self.components.stage(BASE).name == stage;
        Ok(match is_base && task.inpaints && self.repaints()? {
            true => resample_count(steps, settings.resample.unwrap_or(RESAMPLE)),
            false => steps,
        })
    }

    /// An image for each request, in their order, with its embedding from the prior, or from the request, decoded and
    /// upsampled in turn. Requests that differ in their captions, embeddings, seeds and guidance scales alone are sampled
    /// as one batch; others in one batch after another.
    ///
    /// Every image has its own stream of noise, so it does not depend on those beside it but for rounding: libtorch's kernels
    /// sum in another order where a batch has another size. A batch of one is the same to the byte.
    pub fn sample(
        &self,
        requests: &[Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        let mut images: BTreeMap<usize, RgbImage> = BTreeMap::new();
        for batch in self.batches(requests) {
            let requests: Vec<&Request> = batch.iter().map(|&n| &requests[n]).collect();
            let sampled = within_memory(|| self.sample_batch(&requests, observer))?;
            images.extend(batch.into_iter().zip(sampled));
        }
        Ok(images.into_values().collect())
    }

    /// The images of requests that can be sampled together (2204.06125, section 2): `P(x | y) = P(x | z_i, y) P(z_i | y)`.
    fn sample_batch(
        &self,
        requests: &[&Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        let task = self.task(requests[0]);
        requests.iter().try_for_each(|request| self.prepare(task, &request.settings))?;
        let captions: Vec<&str> = requests.iter().map(|request| &*request.caption).collect();
        let negative = requests.iter().map(|request| request.negative_caption.as_deref());
        let negative: Option<Vec<&str>> = negative.collect();
        for caption in negative.iter().flatten() {
            self.check_negative_caption(caption, task)?;
        }
        let mut settings: Vec<Settings> = requests.iter().map(|r| r.settings.clone()).collect();
        let embeddings: Option<Vec<&Tensor>> =
            requests.iter().map(|request| request.image_embedding.as_ref()).collect();
        let embeddings = match embeddings {
            Some(embeddings) => Some(Tensor::cat(&embeddings, 0)), // [B, E]
            None if task.prior => None,
            None => {
                check_nothing_to_choose(&settings[0])?;
                // Nothing is said that could guide.
                settings = settings.into_iter().map(Settings::without_guidance).collect();
                if self.components.family().decodes_embeddings_alone() {
                    self.prepare_zero_image(task, &settings[0])?;
                }
                Some(self.unconditional_embedding(requests.len())?)
            }
        };
        let mut streams: Vec<Generator> =
            requests.iter().map(|request| Generator::new(request.seed)).collect();
        let batch = &mut Batch { settings: &settings, streams: &mut streams, observer };
        let stages = self.stage_indices(task, &settings[0]);
        let known: Vec<&Inpainting> =
            requests.iter().filter_map(|r| r.inpainting.as_ref()).collect();
        let known = match known[..] {
            [] => None,
            _ => Some(InpaintingBatch::new(&known)),
        };
        let images: Vec<&RgbImage> = requests.iter().filter_map(|r| r.image.as_ref()).collect();
        self.check_image_to_image(!images.is_empty())?;
        let latents = match &images[..] {
            [] => None,
            images => Some(self.encode_latents(stages.start, images, &settings[0])?),
        }; // [B, C, h, w]
        let hints: Vec<&RgbImage> = requests.iter().filter_map(|r| r.hint.as_ref()).collect();
        let hints = self.hint_features(stages.start, &hints, &settings[0])?; // [B, 4, h, w]
        let first: Vec<&Tensor> =
            requests.iter().filter_map(|r| r.first_embedding.as_ref()).collect();
        self.check_first_embedding(!first.is_empty(), task, &settings[0])?;
        let first = (!first.is_empty()).then(|| Tensor::cat(&first, 0)); // [B, E]
        let input = StageInput {
            captions: &captions,
            first_embedding: first.as_ref(),
            latents: latents.as_ref(),
            hints: hints.as_ref(),
            known: known.as_ref(),
            ..StageInput::default()
        };
        let family = self.components.family();
        let base = match family.decodes_embeddings() {
            true => {
                let is_read = embeddings.is_none() || !family.decodes_embeddings_alone();
                let captions = [captions.clone(), negative.unwrap_or_default()].concat();
                let text = is_read.then(|| self.encode_text(&captions)).transpose()?;
                let (embedding, text) = (embeddings.as_ref(), text.as_ref());
                let input = StageInput { embedding, text, ..input };
                self.base_images(stages.start, input, batch)?
            }
            false => self.stage_images(stages.start, input, batch)?,
        }; // [B, C, h, w]
        let upsampling = stages.start + 1..stages.end;
        let images = self.upsampled_images(base, upsampling, input, batch)?; // [B, C, H, W]
        Ok(to_images(&images))
    }

    /// An image for each seed. The same caption, seed and settings give the same image.
    pub fn generate(
        &self,
        caption: &str,
        seeds: &[u64],
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        crate::check_caption(caption)?;
        let requests = seeds.iter().map(|&seed| Request::new(caption, seed, settings.clone()));
        self.sample_each(requests, observer)
    }

    /// The images of requests, one after another.
    pub(crate) fn sample_each(
        &self,
        requests: impl Iterator<Item = Request>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        let image = |request| Ok(self.sample(&[request], observer)?.remove(0));
        requests.map(image).collect()
    }

    /// Refuses an image embedding to start from, which `is_there`, where no diffusion prior samples.
    pub fn check_first_embedding(
        &self,
        is_there: bool,
        task: Task,
        settings: &Settings,
    ) -> Result<(), Error> {
        match &settings.prior {
            _ if !is_there => Ok(()),
            Some(_) if !task.prior => Err(Error::WithoutPrior { what: "first_embedding" }),
            Some(prior) if prior.codes.is_none() => Ok(()),
            _ => Err(Error::NoDiffusionPrior),
        }
    }

    /// Refuses a caption of what an image should not show where nothing reads it.
    pub fn check_negative_caption(&self, caption: &str, task: Task) -> Result<(), Error> {
        if !self.takes_negative_captions() {
            return Err(Error::NoNegativeCaption { family: self.components.family().name });
        }
        if !task.prior {
            return Err(Error::WithoutPrior { what: "negative_caption" });
        }
        // An empty one is not the same as none: the prior samples an embedding of it.
        match caption.is_empty() {
            true => Ok(()),
            false => crate::check_caption(caption),
        }
    }

    /// The places of the requests that are sampled together, batch by batch, in the order of their first requests.
    fn batches(&self, requests: &[Request]) -> Vec<Vec<usize>> {
        let mut batches: Vec<(_, Vec<usize>)> = Vec::new();
        for (n, request) in requests.iter().enumerate() {
            let by_embedding = request.image_embedding.is_some();
            let has = [
                request.first_embedding.is_some(),
                request.negative_caption.is_some(),
                request.image.is_some(),
            ];
            let key = (self.task(request), by_embedding, has, request.settings.batch_key());
            match batches.iter_mut().find(|(other, _)| *other == key) {
                Some((_, batch)) => batch.push(n),
                None => batches.push((key, vec![n])),
            }
        }
        batches.into_iter().map(|(.., batch)| batch).collect()
    }
}

/// Refuses candidates of an image of which nothing is said: nothing says either which of them to choose.
fn check_nothing_to_choose(settings: &Settings) -> Result<(), Error> {
    match settings.candidates {
        1 => Ok(()),
        candidates => {
            let must = "one is chosen by its likeness to the caption, and without one it must be 1";
            Err(Error::setting("candidates", candidates, must))
        }
    }
}
