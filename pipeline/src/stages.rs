//! The stages that sample images: the decoder, `P(x | z_i, y)`, and those that upsample (2204.06125, section 2.1).

use decoder::{Conditions, StepConditions, UNet, enlarge};
use diffusion::{Output, Step as DiffusionStep, Variance};
use families::StageKind;
use kernels::channels_last;
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};

use crate::components::{Lease, Network, opened};
use crate::diffuse::{Diffusion, ObservedStage};
use crate::image_tensors::to_images;
use crate::memory::within_memory;
use crate::noise_streams::Streams;
use crate::request::Batch;
use crate::reranker::Reranker;
use crate::{Error, Observer, Pipeline, Quantity, Settings, Text};

/// The stage whose images are the base of those that upsample.
pub(crate) const BASE: usize = 0;

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

    fn decoded(&self, embedding: &Tensor, text: &Text, batch: &mut Batch) -> Result<Tensor, Error> {
        within_memory(|| {
            let settings = batch.settings();
            let name = self.components.stage(BASE).name;
            let scales = batch.guidance(|settings| {
                settings.stage(name).and_then(|stage| settings.stage_guidance(stage))
            });
            let sampler = self.stage_sampler(BASE, settings)?;
            let steps = self.stage_steps(BASE, &sampler, settings)?;
            let denoise = self.decoder_denoiser(embedding, text, scales.is_some(), &steps)?;
            let diffusion = Diffusion {
                stage: self.observed(BASE, steps.len()),
                sampler: &sampler,
                steps: &steps,
                first: 0,
                scales,
                guided_timesteps: settings.guided_timesteps(sampler.config().train_timesteps),
                thresholding: settings.thresholding,
                quantity: Quantity::Base,
            };
            let mut streams = Streams::new(&mut *batch.streams, self.device, self.kind);
            let x = streams.normal(&self.base_shape()?);
            let images = self.diffuse(diffusion, x, &mut streams, denoise, &mut *batch.observer)?;
            Ok(images.clamp(-1.0, 1.0))
        })
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
        let (conditioning, unet) =
            (self.components.conditioning(BASE)?, self.components.unet(BASE)?);
        let scheduler = self.components.scheduler(self.components.stage(BASE).scheduler)?;
        let learned = scheduler.variance == Variance::LearnedRange;
        let captions = match guided {
            true => self.empty_text()?.expand(text.batch()).followed_by(text),
            false => text.shallow_clone(),
        };
        let captions = captions.without_padding();
        let mut denoise = no_grad(|| {
            let embedding = match guided {
                true => {
                    let unconditional = conditioning.unconditional().unsqueeze(0);
                    Tensor::cat(&[&unconditional.expand_as(embedding), embedding], 0) // [2B, E]
                }
                false => embedding.shallow_clone(),
            };
            let embedding = embedding.to_device(self.device).to_kind(self.kind);
            let Text { embedding: text_embedding, states, mask, .. } = &captions;
            let conditions = conditioning.forward(&embedding, text_embedding, states, mask);
            self.denoiser(unet, steps, captions.batch(), Some(&conditions))
        });
        Ok(move |x: &Tensor, step: DiffusionStep| {
            let output = denoise(x, step);
            if learned { Output::with_variance(&output) } else { Output::plain(output) }
        })
    }

    /// The empty caption.
    pub(crate) fn empty_text(&self) -> Result<&Text, Error> {
        opened(&self.empty, || self.encode_text(&[""]))
    }

    /// The shape `[C, h, w]` of a base image.
    pub(crate) fn base_shape(&self) -> Result<[i64; 3], Error> {
        let unet = self.components.unet(BASE)?;
        let config = unet.config();
        Ok([config.in_channels, config.sample_size, config.sample_size])
    }

    /// Upsampled images of base images, `[B, C, h, w] -> [B, C, H, W]`, values around -1 to 1: each stage that upsamples in
    /// turn, without guidance; a stage's last step may run a network of its own.
    pub fn upsample(
        &self,
        images: &Tensor,
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        let images = images.shallow_clone();
        self.upsampled_images(images, &mut Batch { settings, streams, observer })
    }

    pub(crate) fn upsampled_images(
        &self,
        base: Tensor,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        within_memory(|| {
            let mut images = base;
            for (n, index) in self.upsamplers().enumerate() {
                // The last step of a stage clips nothing.
                images = if n == 0 { images } else { images.clamp(-1.0, 1.0) };
                images = self.upsampled(index, &images, batch)?;
            }
            Ok(images)
        })
    }

    /// The images of one stage that upsamples.
    fn upsampled(&self, index: usize, images: &Tensor, batch: &mut Batch) -> Result<Tensor, Error> {
        let settings = batch.settings();
        let sampler = self.stage_sampler(index, settings)?;
        let steps = self.stage_steps(index, &sampler, settings)?;
        let unet = self.components.unet(index)?;
        let size = unet.config().sample_size;
        let enlarged = enlarge(images, size); // [B, C, H, W]
        let mut streams = Streams::new(&mut *batch.streams, self.device, self.kind);
        let x = streams.normal(&[unet.config().in_channels / 2, size, size]);
        let has_last = matches!(
            self.components.stage(index).kind,
            StageKind::Upsampler { last_network: Some(_), .. }
        );
        let last = steps.len() - usize::from(has_last);
        let mut run = |unet: Lease<UNet>, first: usize, end: usize, x: Tensor| {
            let mut denoise = no_grad(|| self.denoiser(unet, &steps, images.size()[0], None));
            let denoise = |x: &Tensor, step: DiffusionStep| {
                let x = Tensor::cat(&[x, &enlarged], 1); // [B, 2C, H, W]
                Output::plain(denoise(&x, step))
            };
            let diffusion = Diffusion {
                stage: self.observed(index, steps.len()),
                sampler: &sampler,
                steps: &steps[first..end],
                first,
                scales: None,
                guided_timesteps: 0..=0,
                thresholding: None,
                quantity: Quantity::Upsampled(index),
            };
            self.diffuse(diffusion, x, &mut streams, denoise, &mut *batch.observer)
        };
        let x = run(unet, 0, last, x)?;
        match self.components.last_network(index)? {
            Some(unet) => run(unet, last, steps.len(), x),
            None => Ok(x),
        }
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
        let name = self.components.stage(index).name;
        ObservedStage { name, index: 1 + index, steps, is_image: true }
    }
}
