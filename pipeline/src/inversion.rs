//! Inversion: an image as what decodes to it, its CLIP embedding z and the noise x_T (2204.06125, section 3). A model that denoises
//! latents inverts those that its autoencoder encodes the image as.

use std::collections::HashMap;
use std::path::Path;

use diffusion::{
    Ddim, Hooks, Sampler, SchedulerConfig, Step as DiffusionStep, TimestepRespacing, ddim_inverse,
};
use images::{ImageProcessor, RgbImage};
use noise::Generator;
use tch::{Kind, Tensor, no_grad};

use crate::diffuse::{Diffusion, ObservedStage};
use crate::image_tensors::{PLANES, to_images};
use crate::manipulation::{slerp, text_diff};
use crate::memory::within_memory;
use crate::noise_streams::Streams;
use crate::stages::BASE;
use crate::{Error, Observer, Pipeline, Quantity, Settings, Solver};

/// Calls of the decoder in each step of an inversion: enough for the step's fixed point.
pub const CALLS_A_STEP: usize = 2;

/// The share of the schedule's timesteps that an inversion goes through. At its end alpha_bar is 9e-4, which is noise
/// to the eye; the last timesteps, down to 2e-9, would blow up every error.
const DEPTH: f64 = 0.98;

/// How an inversion is decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoding {
    /// DDIM's eta: the share of the noise that is drawn anew, 0 to 1, which varies what the embedding leaves open.
    pub eta: f64,
    /// The guidance scale, which makes an embedding that was changed prevail over the noise; 1 is no guidance.
    pub guidance_scale: f64,
}

impl Decoding {
    /// The decoding that gives the inverted image back.
    pub const EXACT: Self = Self { eta: 0.0, guidance_scale: 1.0 };
}

/// The bipartite latents of images.
#[derive(Debug)]
pub struct Inversion {
    /// z, the CLIP embeddings of the images, `[B, E]`.
    pub embedding: Tensor,
    /// x_T, the noise that DDIM decodes to them, `[B, C, h, w]`.
    pub noise: Tensor,
    /// The steps from one to the other.
    pub steps: usize,
}

impl Inversion {
    /// The latents at `t` (0 to 1) of the way to those of `other`, image by image: z and x_T each move on the
    /// sphere (section 3.2).
    pub fn between(&self, other: &Self, t: f64) -> Self {
        let way = |from: &Tensor, to: &Tensor| {
            by_row([from, to], |[from, to]| slerp(from, to, t)) // [B, ..]
        };
        Self {
            embedding: way(&self.embedding, &other.embedding),
            noise: way(&self.noise, &other.noise),
            steps: self.steps,
        }
    }

    /// The latents with z turned along the difference of two captions' embeddings `[B, E]`, and x_T as it was
    /// (section 3.3).
    pub fn edited(&self, from: &Tensor, to: &Tensor, strength: f64) -> Self {
        Self {
            embedding: by_row([&self.embedding, from, to], |[image, from, to]| {
                text_diff(image, from, to, strength)
            }),
            noise: self.noise.shallow_clone(),
            steps: self.steps,
        }
    }

    /// One image's latent for `count` images.
    pub fn expand(&self, count: i64) -> Self {
        let expand = |tensor: &Tensor| {
            let mut shape = tensor.size();
            shape[0] = count;
            tensor.expand(shape, false)
        };
        Self { embedding: expand(&self.embedding), noise: expand(&self.noise), steps: self.steps }
    }

    /// Writes that of one image to a safetensors file, which holds `image_embedding`, `noise` and `steps` and nothing
    /// else.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let tensors = [
            ("image_embedding", self.embedding.shallow_clone()),
            ("noise", self.noise.shallow_clone()),
            ("steps", Tensor::from(self.steps as i64)),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor));
        Ok(weights::save_safetensors(path, &tensors, Kind::Float)?)
    }

    /// Reads what [`Inversion::save`] wrote. Whether a model can decode it is seen when it does.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unfit = |reason: String| Error::Inversion { file: path.display().to_string(), reason };
        let mut tensors: HashMap<String, Tensor> =
            weights::load_safetensors(path)?.into_iter().collect();
        let mut take = |name: &str, dimensions: usize, kind: Kind| {
            let tensor =
                tensors.remove(name).ok_or_else(|| unfit(format!("it has no tensor `{name}`")))?;
            if tensor.dim() != dimensions || tensor.kind() != kind {
                let (shape, found) = (tensor.size(), tensor.kind());
                return Err(unfit(format!("its `{name}` is {shape:?} of {found:?}")));
            }
            if tensor.is_floating_point() && !layers::is_finite(&tensor) {
                return Err(unfit(format!(
                    "its `{name}` has numbers that are NaN, infinite or too large"
                )));
            }
            Ok(tensor)
        };
        let embedding = take("image_embedding", 2, Kind::Float)?;
        let noise = take("noise", 4, Kind::Float)?;
        if let Some(count) = [&embedding, &noise].map(|t| t.size()[0]).iter().find(|&&n| n != 1) {
            return Err(unfit(format!("it holds {count} pictures, and one is wanted")));
        }
        let steps = take("steps", 0, Kind::Int64)?.int64_value(&[]);
        let steps = usize::try_from(steps)
            .ok()
            .filter(|steps| *steps > 0)
            .ok_or_else(|| unfit(format!("its number of steps is {steps}")))?;
        if let Some(name) = tensors.keys().next() {
            return Err(unfit(format!("it also has a tensor `{name}`")));
        }
        Ok(Self { embedding, noise, steps })
    }
}

/// Applies `f` to the rows of tensors `[B, ..]`, one row at a time.
fn by_row<const N: usize>(tensors: [&Tensor; N], f: impl Fn([&Tensor; N]) -> Tensor) -> Tensor {
    let rows: Vec<Tensor> = (0..tensors[0].size()[0])
        .map(|row| {
            let one = tensors.map(|tensor| tensor.narrow(0, row, 1));
            f(one.each_ref())
        })
        .collect();
    Tensor::cat(&rows, 0)
}

impl Pipeline {
    /// Finds the noise that decodes to each of `images`, without guidance and with an empty caption.
    pub fn invert(
        &self,
        images: &[RgbImage],
        steps: usize,
        observer: &mut dyn Observer,
    ) -> Result<Inversion, Error> {
        within_memory(|| {
            let embedding = self.encode_images(images)?; // [B, E]
            let base = self.latents_of(BASE, &self.to_base_images(images)?)?; // [B, C, h, w]
            let visited = self.inversion_steps(steps)?;
            let denoise = self.decoder_denoiser(&embedding, false, &visited)?;
            let decode = |latents: &Tensor| self.decode_latents(BASE, latents).ok();
            let stage = ObservedStage { decode: Some(&decode), ..self.observed(BASE, steps) };
            let observe = |done, x_t: &Tensor| stage.observe(observer, done, x_t);
            let ddim = Ddim::new(&self.unclipped_scheduler()?, 0.0);
            let noise =
                no_grad(|| ddim_inverse(&ddim, &visited, base, CALLS_A_STEP, denoise, observe));
            let noise = self.finite(noise.ok_or(Error::Stopped)?, Quantity::Noise, None)?;
            Ok(Inversion { embedding, noise, steps })
        })
    }

    /// The base images `[B, 3, h, w]` of an inversion, with a stream of noise for each, which an `eta` above 0 draws from.
    pub fn decode_inversion(
        &self,
        inversion: &Inversion,
        decoding: Decoding,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        within_memory(|| {
            let steps = self.inversion_steps(inversion.steps)?;
            self.check_inversion(inversion)?;
            let Decoding { eta, guidance_scale } = decoding;
            let scales = (guidance_scale != 1.0).then(|| vec![guidance_scale; streams.len()]);
            let denoise = self.decoder_denoiser(&inversion.embedding, scales.is_some(), &steps)?;
            let decode = |latents: &Tensor| self.decode_latents(BASE, latents).ok();
            let sampler = Sampler::Ddim(Ddim::new(&self.unclipped_scheduler()?, eta));
            let diffusion = Diffusion {
                stage: ObservedStage { decode: Some(&decode), ..self.observed(BASE, steps.len()) },
                sampler: &sampler,
                steps: &steps,
                first: 0,
                scales,
                guided_timesteps: 0..=i64::MAX,
                draws_always: false,
                hooks: Hooks::default(),
                arrival: None,
                quantity: Quantity::Base,
            };
            let x = inversion.noise.to_device(self.device);
            let mut streams = Streams::new(streams, self.device, self.kind);
            let x = self.diffuse(diffusion, x, &mut streams, denoise, observer)?;
            self.decode_latents(BASE, &x)
        })
    }

    /// The images of an inversion: [`Pipeline::decode_inversion`] and the stages that upsample in turn.
    pub fn sample_inversion(
        &self,
        inversion: &Inversion,
        decoding: Decoding,
        streams: &mut [Generator],
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        within_memory(|| {
            let base = self.decode_inversion(inversion, decoding, streams, observer)?;
            let images = self.upsample(&base.clamp(-1.0, 1.0), settings, streams, observer)?;
            Ok(to_images(&images))
        })
    }

    /// Refuses an inversion of more steps than this model has.
    pub fn check_inversion_steps(&self, inversion: &Inversion) -> Result<(), Error> {
        self.inversion_steps(inversion.steps).map(drop)
    }

    fn check_inversion(&self, inversion: &Inversion) -> Result<(), Error> {
        let [channels, height, width] = self.image_shape(BASE)?;
        let count = inversion.embedding.size()[0];
        let expected = [vec![count, self.embedding_width()?], vec![count, channels, height, width]];
        let found = [inversion.embedding.size(), inversion.noise.size()];
        if found == expected {
            return Ok(());
        }
        Err(Error::Inversion {
            file: "the inversion".to_owned(),
            reason: format!("its shapes are {found:?}, and the model's {expected:?}"),
        })
    }

    /// Images at the decoder's size, `[B, 3, h, w]` from -1 to 1: their shorter side resized, their middle cut out.
    pub fn to_base_images(&self, images: &[RgbImage]) -> Result<Tensor, Error> {
        let size = self.base_side()?;
        within_memory(|| {
            let pixels = ImageProcessor::signed(size).preprocess(images)?;
            let pixels = Tensor::try_from(pixels).expect(PLANES); // [B, 3, h, w]
            Ok(pixels.to_device(self.device))
        })
    }

    /// The decoder's scheduler, which clips no x_0.
    fn unclipped_scheduler(&self) -> Result<SchedulerConfig, Error> {
        let scheduler = self.components.scheduler(self.components.stage(BASE).scheduler)?;
        Ok(SchedulerConfig { clip_range: None, ..scheduler })
    }

    /// The steps of an inversion that calls the decoder `calls` times; refuses a number that this model does not have.
    pub fn steps_of_calls(&self, calls: usize) -> Result<usize, Error> {
        let deepest = self.deepest()?;
        let steps = calls / CALLS_A_STEP;
        match (1..=deepest).contains(&steps) {
            true => Ok(steps),
            false => {
                let most = deepest * CALLS_A_STEP;
                let must = format!(
                    "with this model an inversion asks the decoder {CALLS_A_STEP} to {most} times"
                );
                Err(Error::setting("calls", calls, &must))
            }
        }
    }

    /// `settings` for images that are drawn from inversions of `steps`: the base image takes these, guided by `guidance_scale`, with
    /// no other solver. A stage whose distilled network was to draw takes the model's own steps.
    pub fn inversion_settings(
        &self,
        mut settings: Settings,
        steps: usize,
        guidance_scale: f64,
    ) -> Result<Settings, Error> {
        if std::mem::take(&mut settings.solver) == Solver::Distilled {
            let (students, defaults) = (self.students()?, self.defaults()?);
            for stage in &mut settings.stages {
                if let Some(default) = defaults.stage(&stage.name)
                    && students.steps(&stage.name).is_some()
                {
                    stage.steps = default.steps.clone();
                }
            }
        }
        let base = &mut settings.stages[BASE];
        (base.steps, base.guidance_scale) = (steps.into(), Some(guidance_scale));
        Ok(settings)
    }

    /// The timesteps that an inversion goes through at most.
    fn deepest(&self) -> Result<usize, Error> {
        let timesteps = self.unclipped_scheduler()?.train_timesteps;
        Ok(((timesteps as f64 * DEPTH) as usize).max(1))
    }

    fn inversion_steps(&self, steps: usize) -> Result<Vec<DiffusionStep>, Error> {
        let steps = TimestepRespacing::Count(steps);
        steps.steps(self.deepest()?).map_err(|error| Error::steps("steps", &steps, &error))
    }
}
