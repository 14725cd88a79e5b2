//! The stages that sample images: the decoder, `P(x | z_i, y)`, and those that upsample (2204.06125, section 2.1; 2112.10741,
//! section 4.1).

use decoder::{Conditions, StepConditions, UNet};
use diffusion::{Hooks, Output, Step as DiffusionStep, Variance, dynamic_threshold};
use families::{Condition, PublishedSampler, Stage};
use kernels::channels_last;
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};

use crate::components::{Lease, Network, opened};
use crate::diffuse::{Diffusion, ObservedStage};
use crate::image_tensors::to_images;
use crate::inpainting::{InpaintingBatch, KnownPixels};
use crate::memory::within_memory;
use crate::noise_streams::Streams;
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
    /// Image embeddings `[B, E]`, and the captions after CLIP's text encoder.
    pub(crate) embedding: Option<(&'a Tensor, &'a Text)>,
    /// The images of the stage before, `[B, C, h, w]`.
    pub(crate) previous: Option<&'a Tensor>,
    /// The parts of images that stay, for stages that inpaint.
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
        self.base_images(embeddings, text, &mut Batch { settings, streams, observer })
    }

    pub(crate) fn base_images(
        &self,
        embeddings: Option<&Tensor>,
        text: &Text,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        let candidates = batch.settings().candidates;
        let mut candidate = || {
            let embedding = match embeddings {
                Some(embeddings) => embeddings.shallow_clone(),
                None => self.embeddings(text, batch)?,
            };
            self.decoded(&embedding, text, batch)
        };
        if candidates == 1 {
            return candidate();
        }
        let target = embeddings.unwrap_or(&text.embedding);
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
        self.decoded(embedding, text, &mut Batch { settings, streams, observer })
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
            return self.base_images(None, &self.encode_text(captions)?, batch);
        }
        let input = StageInput { captions, ..StageInput::default() };
        within_memory(|| self.stage_images(BASE, input, batch))
    }

    fn decoded(&self, embedding: &Tensor, text: &Text, batch: &mut Batch) -> Result<Tensor, Error> {
        let input = StageInput { embedding: Some((embedding, text)), ..StageInput::default() };
        within_memory(|| self.stage_images(BASE, input, batch))
    }

    /// A denoiser over the decoder for these `steps`, of image embeddings `[B, E]` and captions. Guided, it expects the batch
    /// twice, `[2B, ..]`, the unconditional half first; or once, the conditional half, at a step without guidance.
    pub(crate) fn decoder_denoiser<'a>(
        &'a self,
        embedding: &Tensor,
        text: &Text,
        guided: bool,
        steps: &[DiffusionStep],
    ) -> Result<impl FnMut(&Tensor, DiffusionStep) -> Output + use<'a>, Error> {
        let unet = self.components.unet(BASE)?;
        let conditions = self.embedding_conditions(BASE, embedding, text, guided)?;
        let learned = self.learns_variance(BASE)?;
        let batch = text.batch() * if guided { 2 } else { 1 };
        let mut denoise = no_grad(|| self.denoiser(unet, steps, batch, Some(&conditions)));
        Ok(move |x: &Tensor, step: DiffusionStep| output_of(&denoise(x, step), learned))
    }

    fn learns_variance(&self, index: usize) -> Result<bool, Error> {
        let scheduler = self.components.scheduler(self.components.stage(index).scheduler)?;
        Ok(scheduler.variance == Variance::LearnedRange)
    }

    /// The conditions of an unCLIP decoder. Guided, of the batch twice: first the learned embedding with the empty caption.
    fn embedding_conditions(
        &self,
        index: usize,
        embedding: &Tensor,
        text: &Text,
        guided: bool,
    ) -> Result<Conditions, Error> {
        let conditioning = self.components.conditioning(index)?;
        let captions = match guided {
            true => self.empty_text()?.expand(text.batch()).followed_by(text),
            false => text.shallow_clone(),
        };
        let Text { embedding: text_embedding, states, mask, .. } = &captions.without_padding();
        Ok(no_grad(|| {
            let embedding = match guided {
                true => {
                    let unconditional = conditioning.unconditional().unsqueeze(0);
                    Tensor::cat(&[&unconditional.expand_as(embedding), embedding], 0) // [2B, E]
                }
                false => embedding.shallow_clone(),
            };
            let embedding = embedding.to_device(self.device).to_kind(self.kind);
            conditioning.forward(&embedding, text_embedding, states, mask)
        }))
    }

    /// The conditions of `batch` captions by a stage's own text transformer. Guided, of the batch twice: first the empty
    /// caption.
    fn caption_conditions(
        &self,
        index: usize,
        captions: &[&str],
        batch: usize,
        guided: bool,
    ) -> Result<Conditions, Error> {
        let encoder = self.components.stage_text_encoder(index)?;
        let tokenizer = self.components.stage_tokenizer(index)?;
        let conditions = |captions: &[&str]| {
            let tokens = tokenizer.encode(captions)?;
            let (ids, mask) =
                (tokens.ids.to_device(self.device), tokens.mask.to_device(self.device));
            Ok::<_, Error>(no_grad(|| encoder.forward(&ids, &mask)))
        };
        let empty = || Ok::<_, Error>(conditions(&[""])?.expand(batch as i64));
        let conditional = match captions {
            [] => empty()?,
            captions => conditions(captions)?,
        };
        Ok(if guided { empty()?.followed_by(&conditional) } else { conditional })
    }

    /// The empty caption.
    pub(crate) fn empty_text(&self) -> Result<&Text, Error> {
        opened(&self.empty, || self.encode_text(&[""]))
    }

    /// The shape `[C, h, w]` of a stage's image.
    pub(crate) fn image_shape(&self, index: usize) -> Result<[i64; 3], Error> {
        let unet = self.components.unet(index)?;
        let config = unet.config();
        let channels = self.components.stage(index).image_channels(config.in_channels);
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
        let count = batch.streams.len();
        let scales = batch.guidance(|settings| {
            settings.stage(stage.name).and_then(|stage| settings.stage_guidance(stage))
        });
        let guided = scales.is_some();
        let sampler = self.stage_sampler(index, settings)?;
        let steps = self.stage_steps(index, &sampler, settings)?;
        let conditions = match (stage.condition, input.embedding) {
            (Condition::None, _) => None,
            (Condition::Embedding { .. }, Some((embedding, text))) => {
                Some(self.embedding_conditions(index, embedding, text, guided)?)
            }
            (Condition::Embedding { .. }, None) => {
                unreachable!("a decoder is called with embeddings")
            }
            (Condition::Caption { .. }, _) => {
                Some(self.caption_conditions(index, input.captions, count, guided)?)
            }
        };
        let unet = self.components.unet(index)?;
        let shape = self.image_shape(index)?;
        let known = input.known.map(|known| known.pixels(shape[1], self.device)).transpose()?;
        let channels = self.input_channels(stage, input.previous, known.as_ref(), shape[1]);
        let mut streams = Streams::new(&mut *batch.streams, self.device, self.kind)
            .twice(guided && stage.sampler != PublishedSampler::Unclip);
        let temperature = settings.stage(stage.name).and_then(|stage| stage.temperature);
        let mut x = streams.normal(&shape);
        if let Some(temperature) = temperature {
            x *= temperature;
        }
        let learned = self.learns_variance(index)?;
        let is_base = stage.upsampling.is_none();
        let clip = match settings.clip_guidance_scale {
            Some(scale) if is_base => Some(self.clip_guidance(input.captions, scale)?),
            _ => None,
        };
        let last = steps.len() - usize::from(stage.last_network.is_some());
        let mut run = |unet: Lease<UNet>, first: usize, end: usize, x: Tensor| {
            let batch_size = count as i64 * if guided { 2 } else { 1 };
            let mut denoise =
                no_grad(|| self.denoiser(unet, &steps, batch_size, conditions.as_ref()));
            let denoise = |x: &Tensor, step: DiffusionStep| {
                let x = with_channels(x, &channels); // [B, in, H, W]
                output_of(&denoise(&x, step), learned)
            };
            let mut hooks = Hooks::default();
            let thresholding = settings.thresholding.filter(|_| is_base);
            if thresholding.is_some() || known.is_some() {
                hooks.x_0 = Some(Box::new(|x_0, _| {
                    let x_0 = match thresholding {
                        Some(quantile) => dynamic_threshold(&x_0, quantile),
                        None => x_0,
                    };
                    known.as_ref().map_or_else(|| x_0.shallow_clone(), |known| known.impose(&x_0))
                }));
            }
            if let Some(clip) = &clip {
                hooks.guidance = Some(Box::new(|value, guidance| clip.guide(value, guidance)));
            }
            let diffusion = Diffusion {
                stage: self.observed(index, steps.len()),
                sampler: &sampler,
                steps: &steps[first..end],
                first,
                scales: scales.clone(),
                guided_timesteps: settings.guided_timesteps(sampler.config().train_timesteps),
                draws_always: stage.sampler != PublishedSampler::Unclip,
                hooks,
                quantity: if is_base { Quantity::Base } else { Quantity::Upsampled(index) },
            };
            self.diffuse(diffusion, x, &mut streams, denoise, &mut *batch.observer)
        };
        let x = run(unet, 0, last, x)?;
        let x = match self.components.last_network(index)? {
            Some(unet) => run(unet, last, steps.len(), x)?,
            None => x,
        };
        let next = self.components.family().stages.get(index + 1);
        let rounds = next.and_then(|next| next.upsampling).is_some_and(|next| next.rounds);
        Ok(if is_base && !rounds { x.clamp(-1.0, 1.0) } else { x })
    }

    /// The channels of a stage's input beside the noised image's: the known part of an image with its mask, and the enlarged
    /// image of the stage before, `[B, .., size, size]` each.
    fn input_channels(
        &self,
        stage: Stage,
        previous: Option<&Tensor>,
        known: Option<&KnownPixels>,
        size: i64,
    ) -> Vec<Tensor> {
        let mut channels = known.map_or_else(Vec::new, KnownPixels::channels);
        if let Some((upsampling, images)) = stage.upsampling.zip(previous) {
            let images = match upsampling.rounds {
                true => ((images + 1.0) * 127.5).round() / 127.5 - 1.0,
                false => images.clamp(-1.0, 1.0),
            };
            channels.push(upsampling.interpolation.enlarge(&images, size));
        }
        channels
    }

    /// A denoiser over a U-Net for the `steps` of `batch` images, or of the last of them: from `x [B, ..]` at one of the
    /// steps to the network's output, in f32. What does not depend on x is computed once.
    fn denoiser<'a>(
        &'a self,
        unet: Lease<'a, UNet>,
        steps: &[DiffusionStep],
        batch: i64,
        conditions: Option<&Conditions>,
    ) -> impl FnMut(&Tensor, DiffusionStep) -> Tensor + use<'a> {
        let timesteps: Vec<i64> = steps.iter().map(|step| step.timestep).collect();
        let precomputed = {
            let timesteps = Tensor::from_slice(&timesteps).to_device(self.device);
            let timesteps = timesteps.repeat_interleave_self_int(batch, 0, None);
            unet.precompute(&timesteps, conditions, self.kind)
        };
        move |x, step| {
            let n = timesteps.iter().position(|&timestep| timestep == step.timestep);
            let conditions = precomputed.at_step(n.expect("one of the steps"), batch, x.size()[0]);
            let x = x.to_kind(self.kind);
            // The CPU's convolutions of halves sum over a pixel's channels.
            let x = match (self.device, self.kind) {
                (Device::Cpu, Kind::BFloat16) => channels_last(&x),
                _ => x,
            };
            self.output(&unet, x, conditions).to_kind(Kind::Float)
        }
    }

    fn output(&self, unet: &Network<UNet>, x: Tensor, conditions: StepConditions) -> Tensor {
        match &self.graphs {
            None => unet.denoise(&x, &conditions),
            Some(graphs) => {
                let inputs: Vec<Tensor> = [x].into_iter().chain(conditions.tensors()).collect();
                unet.graph.run(&**graphs, &inputs, &|inputs| {
                    unet.denoise(&inputs[0], &conditions.with_tensors(&inputs[1..]))
                })
            }
        }
    }

    pub(crate) fn observed(&self, index: usize, steps: usize) -> ObservedStage<'static> {
        let family = self.components.family();
        let place = index % family.stages.len() + usize::from(family.decodes_embeddings());
        let name = self.components.stage(index).name;
        ObservedStage { name, index: place, steps, is_image: true }
    }
}

/// The output of a network, with or without a learned variance beside its prediction.
fn output_of(output: &Tensor, learned: bool) -> Output {
    if learned { Output::with_variance(output) } else { Output::plain(output.shallow_clone()) }
}

/// `x [B, C, H, W]` beside further channels `[b, .., H, W]`, which are repeated where the batch is there twice.
fn with_channels(x: &Tensor, channels: &[Tensor]) -> Tensor {
    if channels.is_empty() {
        return x.shallow_clone();
    }
    let repeated = channels.iter().map(|c| match x.size()[0] / c.size()[0] {
        1 => c.shallow_clone(),
        times => c.repeat([times, 1, 1, 1]),
    });
    let all: Vec<Tensor> = [x.shallow_clone()].into_iter().chain(repeated).collect();
    Tensor::cat(&all, 1)
}
