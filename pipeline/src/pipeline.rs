//! The chain from a caption to a picture, and each of its stages alone.

use std::any::Any;
use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

use decoder::{Conditions, UNet, enlarge};
use diffusion::dpm_solver::dpm_solver;
use diffusion::sampler::ddpm;
use diffusion::{DpmSolver, Output, Step, Variance, guided_within};
use graphs::{CudaGraphs, Recorder};
use image::RgbImage;
use layers::channels_last;
use layers::embedding::timesteps;
use noise::Generator;
use prior::Pca;
use tch::{Device, Kind, Tensor, no_grad};

use crate::folders::ModelFolders;
use crate::nearest::Nearest;
use crate::noise_streams::Streams;
use crate::parts::{Network, Parts, Use, opened};
use crate::relations::check_size;
use crate::settings::{Settings, Solver, Stage, check_caption};
use crate::{Error, Text, to_pictures};

/// From x_t at a step to a network's answer.
type Denoise<'a> = dyn FnMut(&Tensor, Step) -> Output + 'a;

/// Told, after each step, the stage, the steps that are done and the steps that there are.
pub type Progress<'a> = dyn FnMut(Stage, usize, usize) + 'a;

/// A model that draws pictures from captions (2204.06125, section 2).
///
/// Its stages take batches; each picture of a batch brings a noise stream of its own, which the stages draw from in
/// turn. Parts are opened when a stage first needs them, and kept unless [`Pipeline::low_memory`] says otherwise. The
/// networks compute in the pipeline's kind of numbers, what is between them in f32.
pub struct Pipeline {
    pub(crate) parts: Parts,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    /// The empty caption, which guidance starts from.
    empty: OnceCell<Text>,
    /// What records the steps of diffusion, which are run again and again.
    recorder: Option<Box<dyn Recorder>>,
}

impl Pipeline {
    /// A pipeline over `folders` whose networks compute in `kind` on `device`. An error for f16 on the CPU.
    pub fn open(folders: ModelFolders, device: Device, kind: Kind) -> Result<Self, Error> {
        if kind == Kind::Half && device == Device::Cpu {
            return Err(Error::HalfOnCpu);
        }
        Ok(Self {
            parts: Parts::new(folders, device, kind),
            device,
            kind,
            empty: OnceCell::new(),
            recorder: match device {
                Device::Cuda(device) => Some(Box::new(CudaGraphs { device })),
                _ => None,
            },
        })
    }

    /// The same, but no network outlives the stage that works with it: of all of them no more than the largest lies in memory
    /// at once, and each picture opens them anew. The pictures are the same.
    pub fn low_memory(self) -> Self {
        self.parts.drop_after_use();
        self
    }

    /// The same with steps recorded by `recorder`, or by none: on a GPU they become CUDA graphs without being asked for.
    pub fn with_recorder(self, recorder: Option<Box<dyn Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    /// What the model's makers draw with.
    pub fn defaults(&self) -> Result<Settings, Error> {
        self.parts.defaults()
    }

    /// Refuses settings that this model cannot be run with, opens every part that a task needs, and checks that the
    /// parts fit each other, so that nothing is refused later, in the middle of the work.
    pub fn prepare(&self, uses: &[Use], settings: &Settings) -> Result<(), Error> {
        settings.check()?;
        let mut uses = uses.to_vec();
        if settings.candidates > 1 && !uses.contains(&Use::ImageEncoder) {
            uses.push(Use::ImageEncoder);
        }
        self.parts.prepare(&uses, settings)
    }

    /// The words of a caption that no training caption had, for models that tell them.
    pub fn unknown_words(&self, caption: &str) -> Result<Vec<String>, Error> {
        Ok(self.parts.tokenizer()?.unknown_words(caption))
    }

    /// One picture a seed. The same caption, seed and settings give the same picture, whatever is drawn beside it.
    pub fn generate(
        &self,
        caption: &str,
        seeds: &[u64],
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<Vec<RgbImage>, Error> {
        check_caption(caption)?;
        self.prepare(&[Use::Prior], settings)?;
        let text = self.encode_text(&[caption])?;
        seeds
            .iter()
            .map(|&seed| self.draw(&text, seed, settings, progress))
            .collect()
    }

    /// Variations of a picture, one a seed, as diffusers' image-variation pipeline draws them (section 3.1): its CLIP
    /// embedding goes to the decoder with an empty caption, and the prior takes no part.
    pub fn vary(
        &self,
        picture: &RgbImage,
        seeds: &[u64],
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<Vec<RgbImage>, Error> {
        let settings = settings.without_prior();
        self.prepare(&[Use::ImageEncoder], &settings)?;
        let embedding = self.encode_pictures(std::slice::from_ref(picture))?; // [1, E]
        let text = self.encode_text(&[""])?;
        seeds
            .iter()
            .map(|&seed| self.draw_from(&embedding, &text, seed, &settings, progress))
            .collect()
    }

    /// The picture of one caption (`B = 1`) and one seed: the prior, the decoder and the upsampler in turn.
    pub fn draw(
        &self,
        text: &Text,
        seed: u64,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        self.finish(None, text, seed, settings, progress)
    }

    /// The picture of an image embedding `[1, E]`, a caption (`B = 1`) and one seed: the decoder and the upsampler in turn.
    pub fn draw_from(
        &self,
        embedding: &Tensor,
        text: &Text,
        seed: u64,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        self.finish(Some(embedding), text, seed, settings, progress)
    }

    fn finish(
        &self,
        embedding: Option<&Tensor>,
        text: &Text,
        seed: u64,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        let streams = &mut [Generator::new(seed)];
        let small = self.draw_small(embedding, text, settings, streams, progress)?;
        let large = self.upsample(&small, settings, streams, progress)?;
        Ok(to_pictures(&large).remove(0))
    }

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
        let mut candidate = || {
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
        let mut nearest = Nearest::default();
        for _ in 0..settings.candidates {
            let small = candidate()?;
            let seen = self.encode_pictures(&to_pictures(&small))?; // [B, E]
            nearest.take(small, &seen, asked);
        }
        Ok(nearest.kept())
    }

    /// The captions as the networks read them; an empty one is what guidance starts from.
    pub fn encode_text(&self, captions: &[impl AsRef<str>]) -> Result<Text, Error> {
        let tokens = self.parts.tokenizer()?.encode(captions)?;
        let encoder = self.parts.text_encoder()?;
        let encoding = no_grad(|| encoder.forward(&tokens.ids.to_device(self.device)));
        Ok(Text {
            embedding: encoding.embedding,
            states: encoding.states,
            mask: tokens.mask.to_device(self.device),
            cut_off: tokens.cut_off,
        })
    }

    /// The CLIP embeddings of pictures, `[B, E]`: what the prior learnt to draw.
    pub fn encode_pictures(&self, pictures: &[RgbImage]) -> Result<Tensor, Error> {
        let pixels = self.parts.image_processor()?.process(pictures)?; // [B, 3, H, W]
        let encoder = self.parts.image_encoder()?;
        let (_, _, height, width) = pixels.size4().expect("pixels are [B, 3, H, W]");
        check_size((width, height), encoder.config())?;
        Ok(no_grad(|| {
            encoder.forward(&pixels.to_device(self.device).to_kind(self.kind))
        }))
    }

    /// Where the image encoder lies: in the model, or in what completes it.
    pub fn image_encoder_folder(&self) -> Result<weights::Folder, Error> {
        self.parts.folder("image_encoder")
    }

    /// The principal components of the image embeddings that the model was trained on, where it brings them.
    pub fn principal_components(&self) -> Result<Pca, Error> {
        self.parts.principal_components()
    }

    /// The side of the pictures that the model draws, in pixels.
    pub fn side(&self) -> Result<u32, Error> {
        Ok(self.parts.upsampler_last()?.config().sample_size as u32)
    }

    /// The side of the decoder's pictures, in pixels.
    pub fn base_side(&self) -> Result<u32, Error> {
        Ok(self.parts.decoder()?.config().sample_size as u32)
    }

    /// Embeddings `[count, E]` that say nothing of a picture: what guidance compares with. Decoded, the caption alone says
    /// what is drawn.
    pub fn no_embedding(&self, count: usize) -> Result<Tensor, Error> {
        let conditioning = self.parts.conditioning()?;
        let nothing = conditioning.unconditional().unsqueeze(0); // [1, E]
        Ok(nothing.expand([count as i64, -1], false))
    }

    /// E, the width of the image embeddings that the decoder takes.
    pub fn embedding_width(&self) -> Result<i64, Error> {
        Ok(self.parts.conditioning()?.config().embedding)
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
        let mut nearest = Nearest::default();
        for _ in 0..settings.prior_candidates {
            let embedding = match &settings.prior_codes {
                Some(sampling) => self.draw_codes(text, sampling, settings, streams, progress)?,
                None => self.diffuse_embedding(text, settings, streams, progress)?,
            };
            let seen = embedding.shallow_clone();
            nearest.take(embedding, &seen, &text.embedding);
        }
        Ok(nearest.kept())
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
        Ok(no_grad(|| prior.restore(&whitened.to_kind(self.kind))))
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
        let denoise = self.decoder_denoiser(embedding, text, guidance, &steps)?;
        let mut streams = Streams::new(streams, self.device, self.kind);
        let x = streams.normal(&self.base_shape()?);
        let (of, all) = ((Stage::Decoder, settings), 0..steps.len());
        let small = self.sample(of, all, x, &mut streams, denoise, progress)?;
        Ok(small.clamp(-1.0, 1.0))
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
        let learned =
            self.parts.sampler(Stage::Decoder)?.config().variance == Variance::LearnedRange;
        let read = self.with_unconditional(text, guidance)?.without_padding();
        let denoise = no_grad(|| {
            let embedding = match guidance {
                Some(_) => {
                    let nothing = conditioning
                        .unconditional()
                        .unsqueeze(0)
                        .expand_as(embedding);
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
            if learned {
                Output::with_variance(&output)
            } else {
                Output::plain(output)
            }
        })
    }

    /// The shape `[C, h, w]` of a small picture.
    pub(crate) fn base_shape(&self) -> Result<[i64; 3], Error> {
        let decoder = self.parts.decoder()?;
        let decoder = decoder.config();
        Ok([
            decoder.in_channels,
            decoder.sample_size,
            decoder.sample_size,
        ])
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

    /// Runs some of the steps of a stage's diffusion, from `x [B, ..]` on, with one stream of noise a picture.
    fn sample(
        &self,
        (stage, settings): (Stage, &Settings),
        own: Range<usize>,
        x: Tensor,
        streams: &mut Streams,
        denoise: impl FnMut(&Tensor, Step) -> Output,
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let sampler = self.parts.sampler(stage)?;
        let steps = self.parts.steps(stage, settings)?;
        let timesteps = settings.guided_timesteps(stage, sampler.config().train_timesteps);
        let denoise: Box<Denoise> = match settings.guidance(stage) {
            Some(scale) => Box::new(guided_within(scale, timesteps, denoise)),
            None => Box::new(denoise),
        };
        let shape = x.size();
        let noise = || streams.normal(&shape[1..]);
        let told = |done| progress(stage, own.start + done, steps.len());
        let own = &steps[own.clone()];
        Ok(no_grad(|| match settings.solver(stage) {
            Solver::Ddpm => ddpm(sampler, own, x, denoise, noise, told),
            Solver::DpmSolver => {
                let solver = DpmSolver::new(sampler.config());
                dpm_solver(&solver, own, x, denoise, told)
            }
        }))
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
        (
            x.to_kind(self.kind),
            timesteps(step.timestep, x.size()[0], self.device),
        )
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
