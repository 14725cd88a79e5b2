//! A picture as what decodes to it: its CLIP embedding z and the noise x_T (2204.06125, section 3).

use clip::ImageProcessor;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use diffusion::{
    Ddim, Hooks, Output, Sampler, SchedulerConfig, Step, ddim_inverse, guided, published_steps,
    sample,
};
use image::RgbImage;
use noise::Generator;
use tch::{Kind, Tensor, no_grad};

use crate::manipulation::{slerp, text_diff};
use crate::memory::within_memory;
use crate::noise_streams::Streams;
use crate::{Error, Pipeline, Progress, Quantity, Settings, Stage, to_pictures};

/// How often an inversion asks the decoder in each step: enough for the step's fixed point.
pub const CALLS_A_STEP: usize = 2;

/// The share of the schedule's timesteps that an inversion goes through. At its end alpha_bar is 9e-4, which is noise
/// to the eye; the last timesteps, down to 2e-9, would blow up every error.
const DEPTH: f64 = 0.98;

/// The bipartite latents of pictures.
#[derive(Debug)]
pub struct Inversion {
    /// z, the CLIP embeddings of the pictures, `[B, E]`.
    pub embedding: Tensor,
    /// x_T, the noise that DDIM decodes to them, `[B, C, h, w]`.
    pub noise: Tensor,
    /// The steps from one to the other.
    pub steps: usize,
}

impl Inversion {
    /// The latents at `share` (0 to 1) of the way to those of `other`, picture by picture: z and x_T each move on the
    /// sphere (section 3.2).
    pub fn between(&self, other: &Self, share: f64) -> Self {
        let way = |from: &Tensor, to: &Tensor| {
            by_row([from, to], |[from, to]| slerp(from, to, share)) // [B, ..]
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
            embedding: by_row([&self.embedding, from, to], |[picture, from, to]| {
                text_diff(picture, from, to, strength)
            }),
            noise: self.noise.shallow_clone(),
            steps: self.steps,
        }
    }

    /// Writes that of one picture to a safetensors file, which holds `image_embedding`, `noise` and `steps` and nothing
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

/// What `f` makes of the rows of tensors `[B, ..]`, as one tensor.
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
    /// Finds the noise that decodes to each of `pictures`, without guidance and with an empty caption.
    pub fn invert(
        &self,
        pictures: &[RgbImage],
        steps: usize,
        progress: &mut Progress,
    ) -> Result<Inversion, Error> {
        within_memory(|| self.find_noise(pictures, steps, progress))
    }

    fn find_noise(
        &self,
        pictures: &[RgbImage],
        steps: usize,
        progress: &mut Progress,
    ) -> Result<Inversion, Error> {
        let embedding = self.encode_pictures(pictures)?; // [B, E]
        // Held, so that all that asks for it finds it open.
        let _decoder = self.parts.decoder()?;
        let small = self.base_pictures(pictures)?; // [B, C, h, w]
        let visited = self.inversion_steps(steps)?;
        let denoise = self.captionless(&embedding, None, &visited)?;
        let observe = |done, _x: &Tensor| {
            progress(Stage::Decoder, done, steps);
            ControlFlow::Continue(())
        };
        let ddim = self.ddim(0.0)?;
        let noise =
            no_grad(|| ddim_inverse(&ddim, &visited, small, CALLS_A_STEP, denoise, observe))
                .expect("nothing stops it");
        let noise = self.finite(noise, Quantity::Noise, None)?;
        Ok(Inversion { embedding, noise, steps })
    }

    /// The small pictures `[B, C, h, w]` that an inversion stands for, by its eta and its guidance scale. With `eta` 0 and a `guidance_scale` of 1 they are
    /// the inverted ones. With `eta` up to 1, more and more of the noise is drawn anew from `streams`, and what the
    /// embedding leaves open varies; guidance makes an embedding that was changed prevail over the noise.
    pub fn decode_inversion(
        &self,
        inversion: &Inversion,
        how: (f64, f64),
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        within_memory(|| self.decode_latent(inversion, how, streams, progress))
    }

    fn decode_latent(
        &self,
        inversion: &Inversion,
        (eta, guidance_scale): (f64, f64),
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let steps = self.inversion_steps(inversion.steps)?;
        // Held, so that all that asks for it finds it open.
        let _decoder = self.parts.decoder()?;
        self.check_inversion(inversion)?;
        let mut streams = Streams::new(streams, self.device, self.kind);
        let shape = &inversion.noise.size()[1..];
        let noise = || streams.normal(shape);
        let observe = |done, _x_0: &Tensor| {
            progress(Stage::Decoder, done, steps.len());
            ControlFlow::Continue(())
        };
        let start = inversion.noise.to_device(self.device);
        let sampler = Sampler::Ddim(self.ddim(eta)?);
        let guidance = Some(guidance_scale).filter(|&scale| scale != 1.0);
        let denoise = self.captionless(&inversion.embedding, guidance, &steps)?;
        let hooks = Hooks::default();
        let small = no_grad(|| match guidance {
            Some(scale) => {
                let denoise = guided(vec![scale], 0..=i64::MAX, denoise);
                sample(&sampler, &steps, start, denoise, noise, hooks, observe)
            }
            None => sample(&sampler, &steps, start, denoise, noise, hooks, observe),
        })
        .expect("nothing stops it");
        self.finite(small, Quantity::Base, guidance)
    }

    /// The large pictures of an inversion: [`Pipeline::decode_inversion`] and the upsampler in turn.
    pub fn draw_inversion(
        &self,
        inversion: &Inversion,
        how: (f64, f64),
        streams: &mut [Generator],
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<Vec<RgbImage>, Error> {
        within_memory(|| {
            let small = self.decode_inversion(inversion, how, streams, progress)?;
            let large = self.upsample(&small.clamp(-1.0, 1.0), settings, streams, progress)?;
            Ok(to_pictures(&large))
        })
    }

    /// Refuses an inversion of more steps than this model has.
    pub fn check_inversion_steps(&self, inversion: &Inversion) -> Result<(), Error> {
        self.inversion_steps(inversion.steps).map(drop)
    }

    fn check_inversion(&self, inversion: &Inversion) -> Result<(), Error> {
        let [channels, height, width] = self.base_shape()?;
        let embedding = self.parts.conditioning()?.config().embedding;
        let count = inversion.embedding.size()[0];
        let wanted = [vec![count, embedding], vec![count, channels, height, width]];
        let found = [inversion.embedding.size(), inversion.noise.size()];
        if found == wanted {
            return Ok(());
        }
        Err(Error::Inversion {
            file: "the inversion".to_owned(),
            reason: format!("its shapes are {found:?}, and the model's {wanted:?}"),
        })
    }

    /// Pictures at the decoder's size, `[B, C, h, w]` from -1 to 1: their shorter side resized, their middle cut out.
    pub fn base_pictures(&self, pictures: &[RgbImage]) -> Result<Tensor, Error> {
        let [_, size, _] = self.base_shape()?;
        within_memory(|| {
            let pixels = ImageProcessor::signed(size as u32).process(pictures)?;
            Ok(pixels.to_device(self.device))
        })
    }

    /// The decoder with an empty caption.
    fn captionless<'a>(
        &'a self,
        embedding: &Tensor,
        guidance: Option<f64>,
        steps: &[Step],
    ) -> Result<impl FnMut(&Tensor, Step) -> Output + use<'a>, Error> {
        let empty = self.encode_text(&[""])?.expand(embedding.size()[0]);
        self.decoder_denoiser(embedding, &empty, guidance, steps)
    }

    fn ddim(&self, eta: f64) -> Result<Ddim, Error> {
        let config = self.parts.scheduler(Stage::Decoder)?.clone();
        Ok(Ddim::new(&SchedulerConfig { clip_range: None, ..config }, eta))
    }

    /// The steps of an inversion that asks the decoder `calls` times; refuses what this model cannot do.
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
                Err(Error::number("calls", calls, &must))
            }
        }
    }

    /// The timesteps that an inversion goes through at most.
    fn deepest(&self) -> Result<usize, Error> {
        let timesteps = self.parts.scheduler(Stage::Decoder)?.train_timesteps;
        Ok(((timesteps as f64 * DEPTH) as usize).max(1))
    }

    fn inversion_steps(&self, steps: usize) -> Result<Vec<Step>, Error> {
        published_steps(steps, self.deepest()?).map_err(|error| Error::steps("steps", &error))
    }
}
