//! The stages of a picture: an image embedding, a small picture, a large one, each drawn by diffusion, and what they share.

use std::any::Any;
use std::ops::ControlFlow;
use std::ops::Range;
use std::rc::Rc;

use decoder::{Conditions, UNet, enlarge};
use diffusion::{Hooks, Output, Step, Variance, guided, sample};
use kernels::channels_last;
use layers::embedding::timesteps;
use layers::finite::norm;
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};

use crate::memory::within_memory;
use crate::nearest::Nearest;
use crate::noise_streams::Streams;
use crate::parts::{Network, opened};
use crate::settings::{Settings, Stage};
use crate::{Error, Pipeline, Progress, Quantity, Text, to_pictures};

/// From x_t at a step to a network's answer.
type Denoise<'a> = dyn FnMut(&Tensor, Step) -> Output + 'a;

impl Stage {
    fn quantity(self) -> Quantity {
        match self {
            Self::Prior => Quantity::PriorEmbedding,
            Self::Decoder => Quantity::Base,
            Self::Upsampler => Quantity::Upsampled,
        }
    }
}

impl Pipeline {
    /// Small pictures `[B, C, H, W]` from -1 to 1 for captions, from these embeddings `[B, E]` or else from the prior's. Of
    /// several candidates each is the one whose CLIP embedding has the largest cosine with what was asked for: the
    /// embedding that was given, or else the caption's.
    pub fn draw_small(
        &self,
        given: Option<&Tensor>,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let candidate = &mut || {
            let embedding = match given {
                Some(embedding) => embedding.shallow_clone(),
                None => self.draw_embedding(text, settings, streams, progress)?,
            };
            self.decode(&embedding, text, settings, streams, progress)
        };
        if settings.candidates == 1 {
            return candidate();
        }
        let asked = given.unwrap_or(&text.embedding);
        within_memory(|| {
            let mut nearest = Nearest::default();
            for _ in 0..settings.candidates {
                let small = candidate()?;
                let seen = self.encode_pictures(&to_pictures(&small))?; // [B, E]
                nearest.take(small, &seen, asked);
            }
            Ok(nearest.kept())
        })
    }

    /// Image embeddings for captions, `[B, E]`, drawn by the prior (section 2.2): of several candidates the one whose
    /// cosine with the caption's embedding is the largest.
    pub fn draw_embedding(
        &self,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        // Held, so that every candidate finds it open.
        let _prior: Rc<dyn Any> = match settings.prior_codes {
            Some(_) => self.parts.autoregressive_prior()?,
            None => self.parts.prior()?,
        };
        within_memory(|| {
            let mut nearest = Nearest::default();
            for _ in 0..settings.prior_candidates {
                let embedding = match &settings.prior_codes {
                    Some(sampling) => {
                        self.draw_codes(text, sampling, settings, streams, progress)?
                    }
                    None => self.diffuse_embedding(text, settings, streams, progress)?,
                };
                let seen = embedding.shallow_clone();
                nearest.take(embedding, &seen, &text.embedding);
            }
            Ok(nearest.kept())
        })
    }

    /// Image embeddings `[B, E]` for captions, drawn by diffusion.
    fn diffuse_embedding(
        &self,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let prior = self.parts.prior()?;
        let guidance = settings.guidance(Stage::Prior);
        let read = self.with_unconditional(text, guidance)?.without_padding();
        let captions = no_grad(|| prior.read(&read.embedding, &read.states, &read.mask));
        let denoise = |x: &Tensor, step: Step| {
            let (x, t) = self.network_input(x, step);
            let predicted = match &self.recorder {
                None => captions.predict(&x, &t),
                Some(recorder) => {
                    let inputs = [vec![x, t], captions.tensors()].into_iter().flatten();
                    let inputs: Vec<Tensor> = inputs.collect();
                    prior.steps.run(&**recorder, &inputs, &|inputs| {
                        captions.over(&inputs[2..]).predict(&inputs[0], &inputs[1])
                    })
                }
            };
            Output::plain(predicted.to_kind(Kind::Float))
        };
        let mut streams = Streams::new(streams, self.device, self.kind);
        let x = streams.normal(&[prior.config().embedding]);
        let (of, all) = ((Stage::Prior, settings), 0..settings.prior_steps);
        let whitened = self.sample(of, all, x, &mut streams, denoise, progress)?;
        let embedding = no_grad(|| prior.restore(&whitened.to_kind(self.kind)));
        self.finite(embedding, Quantity::PriorEmbedding, guidance)
    }

    /// Small pictures `[B, C, H, W]` from -1 to 1, drawn by the decoder from image embeddings `[B, E]` and captions
    /// (section 2.1).
    pub fn decode(
        &self,
        embedding: &Tensor,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let guidance = settings.guidance(Stage::Decoder);
        let steps = self.parts.steps(Stage::Decoder, settings)?;
        within_memory(|| {
            let denoise = self.decoder_denoiser(embedding, text, guidance, &steps)?;
            let mut streams = Streams::new(streams, self.device, self.kind);
            let x = streams.normal(&self.base_shape()?);
            let (of, all) = ((Stage::Decoder, settings), 0..steps.len());
            let small = self.sample(of, all, x, &mut streams, denoise, progress)?;
            Ok(small.clamp(-1.0, 1.0))
        })
    }

    /// The decoder for these `steps`, told image embeddings `[B, E]` and captions. With guidance it takes the batch twice,
    /// and is first told nothing; or once, told all, at a step without.
    pub(crate) fn decoder_denoiser<'a>(
        &'a self,
        embedding: &Tensor,
        text: &Text,
        guidance: Option<f64>,
        steps: &[Step],
    ) -> Result<impl FnMut(&Tensor, Step) -> Output + use<'a>, Error> {
        let (conditioning, decoder) = (self.parts.conditioning()?, self.parts.decoder()?);
        let learned = self.parts.scheduler(Stage::Decoder)?.variance == Variance::LearnedRange;
        let read = self.with_unconditional(text, guidance)?.without_padding();
        let denoise = no_grad(|| {
            let embedding = match guidance {
                Some(_) => {
                    let nothing = conditioning.unconditional().unsqueeze(0).expand_as(embedding);
                    Tensor::cat(&[&nothing, embedding], 0) // [2B, E]
                }
                None => embedding.shallow_clone(),
            };
            let embedding = embedding.to_device(self.device).to_kind(self.kind);
            let conditions = conditioning.forward(&embedding, &read.embedding, &read.states);
            let mask = conditioning.context_mask(&read.mask);
            self.unet(decoder, steps, read.batch(), Some((&conditions, &mask)))
        });
        Ok(move |x: &Tensor, step: Step| {
            let output = denoise(x, step);
            if learned { Output::with_variance(&output) } else { Output::plain(output) }
        })
    }

    /// The shape `[C, h, w]` of a small picture.
    pub(crate) fn base_shape(&self) -> Result<[i64; 3], Error> {
        let decoder = self.parts.decoder()?;
        let decoder = decoder.config();
        Ok([decoder.in_channels, decoder.sample_size, decoder.sample_size])
    }

    /// Large pictures of small ones, `[B, C, h, w] -> [B, C, H, W]`, values around -1 to 1 (section 2.1); the last step
    /// runs a network of its own, and there is no guidance.
    pub fn upsample(
        &self,
        small: &Tensor,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        within_memory(|| self.enlarge(small, settings, streams, progress))
    }

    fn enlarge(
        &self,
        small: &Tensor,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let first = self.parts.upsampler_first()?;
        let size = first.config().sample_size;
        let enlarged = enlarge(small, size); // [B, C, H, W]
        let steps = self.parts.steps(Stage::Upsampler, settings)?;
        let batch = small.size()[0];
        let mut streams = Streams::new(streams, self.device, self.kind);
        let x = streams.normal(&[first.config().in_channels / 2, size, size]);
        let mut run = |network: Rc<Network<UNet>>, own: Range<usize>, x: Tensor| {
            let denoise = no_grad(|| self.unet(network, &steps, batch, None));
            let denoise = |x: &Tensor, step: Step| {
                let x = Tensor::cat(&[x, &enlarged], 1); // [B, 2C, H, W]
                Output::plain(denoise(&x, step))
            };
            let of = (Stage::Upsampler, settings);
            self.sample(of, own, x, &mut streams, denoise, progress)
        };
        let last = steps.len() - 1;
        let x = run(first, 0..last, x)?;
        run(self.parts.upsampler_last()?, last..steps.len(), x)
    }

    /// Runs some of the steps of a stage's diffusion, from `x [B, ..]` on, with one stream of noise a picture. An error where a
    /// step's answer or what is drawn is not finite: where x_0 is clamped, infinity looks like white or black.
    fn sample(
        &self,
        (stage, settings): (Stage, &Settings),
        own: Range<usize>,
        x: Tensor,
        streams: &mut Streams,
        denoise: impl FnMut(&Tensor, Step) -> Output,
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let sampler = self.parts.sampler(stage, settings)?;
        let steps = self.parts.steps(stage, settings)?;
        let timesteps = settings.guided_timesteps(stage, sampler.config().train_timesteps);
        let guidance = settings.guidance(stage);
        let mut denoise: Box<Denoise> = match guidance {
            Some(scale) => Box::new(guided(vec![scale], timesteps, denoise)),
            None => Box::new(denoise),
        };
        let mut norms = Vec::new();
        let denoise = |x: &Tensor, step: Step| {
            let output = denoise(x, step);
            norms.push(norm(&output.prediction));
            output
        };
        let shape = x.size();
        let noise = || streams.normal(&shape[1..]);
        let observe = |done, _x_0: &Tensor| {
            progress(stage, own.start + done, steps.len());
            ControlFlow::Continue(())
        };
        let own = &steps[own.clone()];
        let x = no_grad(|| sample(&sampler, own, x, denoise, noise, Hooks::default(), observe))
            .expect("nothing stops it");
        norms.push(norm(&x));
        self.finite_norms(&norms, stage.quantity(), guidance)?;
        Ok(x)
    }

    /// A U-Net for the `steps` of `batch` pictures, or of the last of them: from `x [B, ..]` at one of the steps to the
    /// answer, in f32. What it takes of the steps and of its conditions is computed once.
    fn unet<'a>(
        &'a self,
        network: Rc<Network<UNet>>,
        steps: &[Step],
        batch: i64,
        conditions: Option<(&Conditions, &Tensor)>,
    ) -> impl Fn(&Tensor, Step) -> Tensor + use<'a> {
        let asked: Vec<i64> = steps.iter().map(|step| step.timestep).collect();
        let timesteps = Tensor::from_slice(&asked)
            .to_device(self.device)
            .repeat_interleave_self_int(batch, 0, None);
        let told = network.tell(&timesteps, conditions, self.kind);
        move |x, step| {
            let n = asked.iter().position(|&timestep| timestep == step.timestep);
            let told = told.step(n.expect("one of the steps"), batch, x.size()[0]);
            let x = x.to_kind(self.kind);
            // The CPU's convolutions of halves sum over a pixel's channels.
            let x = match (self.device, self.kind) {
                (Device::Cpu, Kind::BFloat16) => channels_last(&x),
                _ => x,
            };
            let answer = match &self.recorder {
                None => network.denoise(&x, &told),
                Some(recorder) => {
                    let inputs = [vec![x], told.tensors()].into_iter().flatten();
                    let inputs: Vec<Tensor> = inputs.collect();
                    network.steps.run(&**recorder, &inputs, &|inputs| {
                        network.denoise(&inputs[0], &told.over(&inputs[1..]))
                    })
                }
            };
            answer.to_kind(Kind::Float)
        }
    }

    /// What a network takes of `x [B, ..]` at a step: `x` in the network's kind, and the timestep `[B]`.
    fn network_input(&self, x: &Tensor, step: Step) -> (Tensor, Tensor) {
        (x.to_kind(self.kind), timesteps(step.timestep, x.size()[0], self.device))
    }

    /// The captions `[B]`; with guidance `[2B]`, as many empty ones before them.
    pub(crate) fn with_unconditional(
        &self,
        text: &Text,
        guidance: Option<f64>,
    ) -> Result<Text, Error> {
        Ok(match guidance {
            Some(_) => {
                let empty = opened(&self.empty, || self.encode_text(&[""]))?;
                empty.expand(text.batch()).followed_by(text)
            }
            None => text.expand(text.batch()),
        })
    }
}
