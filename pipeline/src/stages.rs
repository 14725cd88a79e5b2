//! The stages that sample images: the decoder, `P(x | z_i, y)`, and those that upsample (2204.06125, section 2.1; 2112.10741,
//! section 4.1).

use decoder::UNet;
use diffusion::{Hooks, Step as DiffusionStep, dynamic_threshold};
use families::PublishedSampler;
use noise::Generator;
use tch::{Tensor, no_grad};

use crate::clip_guidance::ClipGuidance;
use crate::denoiser::{output_of, with_channels};
use crate::diffuse::{Arrival, Diffusion, ObservedStage};
use crate::image_tensors::to_images;
use crate::image_to_image::{Strength, first_x};
use crate::inpainting::{InpaintingBatch, KnownPixels};
use crate::lease::Lease;
use crate::memory::within_memory;
use crate::noise_streams::Streams;
use crate::observer::LatentDecoder;
use crate::repaint::{RESAMPLE, consistent, resample_steps};
use crate::request::Batch;
use crate::reranker::Reranker;
use crate::{Error, Observer, Pipeline, Quantity, Settings, Text};

/// The stage whose images are the base of those that upsample.
pub(crate) const BASE: usize = 0;

/// All that a stage samples images of, beyond noise.
#[derive(Clone, Copy, Default)]
pub(crate) struct StageInput<'a> {
    /// The captions, `B` of them; none where a stage is conditioned on no caption, and empty ones where it is.
    pub(crate) captions: &'a [&'a str],
    /// Image embeddings `[B, E]`.
    pub(crate) embedding: Option<&'a Tensor>,
    /// Image embeddings `[B, E]` of what the images should not show.
    pub(crate) negative_embedding: Option<&'a Tensor>,
    /// Image embeddings `[B, E]` that the prior starts from, noised.
    pub(crate) first_embedding: Option<&'a Tensor>,
    /// The captions after CLIP's text encoder; perhaps the negative ones after them.
    pub(crate) text: Option<&'a Text>,
    /// The images of the stage before, `[B, C, h, w]`.
    pub(crate) previous: Option<&'a Tensor>,
    /// The latents `[B, C, h, w]` of the images that the base stage starts from, noised.
    pub(crate) latents: Option<&'a Tensor>,
    /// The features `[B, 4, h, w]` of the hints that the base stage draws by.
    pub(crate) hints: Option<&'a Tensor>,
    /// The parts of images that stay, where they are inpainted.
    pub(crate) known: Option<&'a InpaintingBatch>,
}

impl Pipeline {
    /// Base images `[B, C, h, w]` from -1 to 1 of captions, with these embeddings `[B, E]` or else the prior's. Of
    /// several candidates each is the one whose CLIP embedding has the largest cosine with the given embedding, or else with
    /// the caption's.
    pub fn sample_base(
        &self,
        embeddings: Option<&Tensor>,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        let batch = &mut Batch { settings, streams, observer };
        let input = StageInput { embedding: embeddings, text: Some(text), ..StageInput::default() };
        self.base_images(BASE, input, batch)
    }

    /// The base images of the embeddings in `input`, or else of those that the prior samples of its text.
    pub(crate) fn base_images(
        &self,
        index: usize,
        input: StageInput,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        let candidates = batch.settings().candidates;
        let count = batch.streams.len() as i64;
        let mut candidate = || {
            let (embedding, negative) = match (input.embedding, input.text) {
                (None, Some(text)) => {
                    let all = self.embeddings(text, input.first_embedding, batch)?; // [B, E] or [2B, E]
                    let negative = all.size()[0] > count;
                    (all.narrow(0, 0, count), negative.then(|| all.narrow(0, count, count)))
                }
                (embedding, _) => {
                    let embedding = embedding.expect("an embedding, or a caption of it");
                    let negative = input.negative_embedding.map(Tensor::shallow_clone);
                    (embedding.shallow_clone(), negative)
                }
            };
            let (embedding, negative_embedding) = (Some(&embedding), negative.as_ref());
            let input = StageInput { embedding, negative_embedding, ..input };
            within_memory(|| self.stage_images(index, input, batch))
        };
        if candidates == 1 {
            return candidate();
        }
        let of_text = input.text.map(|text| text.embedding.narrow(0, 0, count));
        let target = input.embedding.or(of_text.as_ref()).expect("one of both");
        within_memory(|| {
            let mut reranker = Reranker::default();
            for _ in 0..candidates {
                let images = candidate()?;
                let embedding = self.encode_images(&to_images(&images))?; // [B, E]
                reranker.offer(images, &embedding, target);
            }
            Ok(reranker.into_best())
        })
    }

    /// Base images `[B, C, h, w]` from -1 to 1, sampled by the decoder from image embeddings `[B, E]` and captions.
    pub fn decode(
        &self,
        embedding: &Tensor,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        let (embedding, text) = (Some(embedding), Some(text));
        let input = StageInput { embedding, text, ..StageInput::default() };
        let batch = &mut Batch { settings, streams, observer };
        within_memory(|| self.stage_images(BASE, input, batch))
    }

    /// Base images `[B, C, h, w]` from -1 to 1 of captions alone, whatever the model's chain to them is.
    pub fn sample_base_of_captions(
        &self,
        captions: &[&str],
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        let batch = &mut Batch { settings, streams, observer };
        if self.decodes_embeddings() {
            let text = self.encode_text(captions)?;
            let input = StageInput { text: Some(&text), ..StageInput::default() };
            return self.base_images(BASE, input, batch);
        }
        let input = StageInput { captions, ..StageInput::default() };
        within_memory(|| self.stage_images(BASE, input, batch))
    }

    /// The shape `[C, h, w]` of a stage's image.
    pub(crate) fn image_shape(&self, index: usize) -> Result<[i64; 3], Error> {
        let config = self.components.network_config(index)?;
        let hint = self.components.hint_channels(index)?;
        let channels = self.components.stage(index).image_channels(config, hint);
        Ok([channels, config.sample_size, config.sample_size])
    }

    /// Upsampled images of base images, `[B, C, h, w] -> [B, C, H, W]`, values around -1 to 1: each stage that upsamples in
    /// turn, without guidance and with an empty caption; a stage's last step may run a network of its own.
    pub fn upsample(
        &self,
        images: &Tensor,
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        let images = images.shallow_clone();
        let batch = &mut Batch { settings, streams, observer };
        self.upsampled_images(
            images,
            1..self.components.family().stages.len(),
            StageInput::default(),
            batch,
        )
    }

    /// The images of the stages with these indices, which upsample those of the base stage.
    pub(crate) fn upsampled_images(
        &self,
        base: Tensor,
        stages: std::ops::Range<usize>,
        input: StageInput,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        within_memory(|| {
            stages.clone().try_fold(base.shallow_clone(), |images, index| {
                let input = StageInput { previous: Some(&images), ..input };
                self.stage_images(index, input, batch)
            })
        })
    }

    /// The images of one stage, `[B, C, H, W]`: the base stage's from -1 to 1, where the next one does not round them itself,
    /// and those of others around that.
    pub(crate) fn stage_images(
        &self,
        index: usize,
        input: StageInput,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        let stage = self.components.stage(index);
        let settings = batch.settings();
        let count = batch.streams.len() as i64;
        let scales = batch.guidance(|settings| {
            settings.stage(stage.name).and_then(|stage| settings.stage_guidance(stage))
        });
        let guided = scales.is_some();
        let sampler = self.stage_sampler(index, settings)?;
        let steps = self.stage_steps(index, &sampler, settings)?;
        let is_base = stage.upsampling.is_none();
        let latents = input.latents.filter(|_| is_base);
        let steps = match latents {
            Some(_) => Strength::of_stage(settings).last(steps)?,
            None => steps,
        };
        let conditions = self.conditions(index, input, count, guided)?;
        let distilled = self.distillation(index, settings)?.is_some();
        let unet = match distilled {
            true => self.components.student(index)?,
            false => self.components.unet(index)?,
        };
        let shape = self.sample_shape(index, settings)?;
        let known = input.known.map(|known| self.known_pixels(index, known, shape[1], settings));
        let known = known.transpose()?;
        let channels = self.input_channels(index, shape, known.as_ref(), input, count)?;
        let repaints = known.is_some() && !stage.inpaints(unet.config());
        let taken = match repaints {
            true if is_base => resample_steps(&steps, settings.resample.unwrap_or(RESAMPLE)),
            _ => steps.clone(),
        };
        let mut streams = Streams::new(&mut *batch.streams, self.device, self.kind)
            .twice(guided && stage.sampler.is_guided_diffusions());
        let temperature = settings.stage(stage.name).and_then(|stage| stage.temperature);
        let level = sampler.level(taken.first().map(|step| step.timestep));
        let noise = streams.normal(&shape) * temperature.unwrap_or(1.0);
        let x = first_x(latents, &noise, &level);
        let (known, arrival) = match &known {
            Some(known) if repaints => (None, Some(Arrival::Repaint(known))),
            Some(known) if stage.autoencoder.is_some() => {
                (None, Some(Arrival::SameNoise(known, &noise)))
            }
            known => (known.as_ref(), None),
        };
        let learned = self.learns_variance(index)?;
        let clip = match settings.clip_guidance_scale {
            Some(scale) if is_base => Some(self.clip_guidance(input.captions, scale)?),
            _ => None,
        };
        let thresholding = settings.thresholding.filter(|_| is_base);
        let consistent_with = input.previous.filter(|_| repaints);
        let has_last = stage.last_network.is_some() && !distilled;
        let last = taken.len() - usize::from(has_last);
        let decode = |latents: &Tensor| self.decode_latents(index, latents).ok();
        let decode = stage.autoencoder.map(|_| &decode as &LatentDecoder);
        let mut run = |unet: Lease<UNet>, first: usize, end: usize, x: Tensor| {
            let batch_size = count * if guided { 2 } else { 1 };
            let mut denoise =
                no_grad(|| self.denoiser(unet, &steps, batch_size, conditions.as_ref()));
            let denoise = |x: &Tensor, step: DiffusionStep| {
                let x = with_channels(x, &channels); // [B, in, H, W]
                output_of(&denoise(&x, step), shape[0], learned)
            };
            let diffusion = Diffusion {
                stage: ObservedStage { decode, ..self.observed(index, taken.len()) },
                sampler: &sampler,
                steps: &taken[first..end],
                first,
                scales: scales.clone(),
                guided_timesteps: settings.guided_timesteps(sampler.config().train_timesteps),
                draws_always: stage.sampler != PublishedSampler::Unclip,
                hooks: stage_hooks(thresholding, known, clip.as_ref(), consistent_with),
                arrival,
                quantity: if is_base { Quantity::Base } else { Quantity::Upsampled(index) },
            };
            self.diffuse(diffusion, x, &mut streams, denoise, &mut *batch.observer)
        };
        let x = run(unet, 0, last, x)?;
        let last_network = if has_last { self.components.last_network(index)? } else { None };
        let x = match last_network {
            Some(unet) => run(unet, last, taken.len(), x)?,
            None => x,
        };
        if stage.autoencoder.is_some() {
            return self.decode_latents(index, &x);
        }
        let next = self.components.family().stages.get(index + 1);
        let rounds = next.and_then(|next| next.upsampling).is_some_and(|next| next.rounds);
        Ok(if is_base && !rounds { x.clamp(-1.0, 1.0) } else { x })
    }

    pub(crate) fn observed(&self, index: usize, steps: usize) -> ObservedStage<'static> {
        let family = self.components.family();
        let place = index % family.stages.len() + usize::from(family.decodes_embeddings());
        let name = self.components.stage(index).name;
        ObservedStage { name, index: place, steps, is_image: true, decode: None }
    }
}

/// The hooks of a stage: a predicted x_0 is clipped at a quantile of itself, and has known pixels in their places; CLIP guides.
/// An upsampler that was not trained to inpaint stays `consistent_with` the smaller image.
fn stage_hooks<'a>(
    thresholding: Option<f64>,
    known: Option<&'a KnownPixels>,
    clip: Option<&'a ClipGuidance>,
    consistent_with: Option<&'a Tensor>,
) -> Hooks<'a> {
    let mut hooks = Hooks::default();
    if let Some(base) = consistent_with {
        hooks.x_0 = Some(Box::new(move |x_0, _| consistent(&x_0, base)));
    }
    if thresholding.is_some() || known.is_some() {
        hooks.x_0 = Some(Box::new(move |x_0, _| {
            let x_0 = match thresholding {
                Some(quantile) => dynamic_threshold(&x_0, quantile),
                None => x_0,
            };
            known.map_or_else(|| x_0.shallow_clone(), |known| known.impose(&x_0))
        }));
    }
    if let Some(clip) = clip {
        hooks.guidance = Some(Box::new(|value, guidance| clip.guide(value, guidance)));
    }
    hooks
}
