//! A picture as what decodes to it: its CLIP embedding z and the noise x_T (2204.06125, section 3).

use clip::ImageProcessor;
use std::collections::HashMap;
use std::path::Path;

use diffusion::ddim::{ddim, ddim_inverse};
use diffusion::{DdimSampler, Output, Schedule, Step, published_steps};
use image::RgbImage;
use noise::Generator;
use tch::{Kind, Tensor, no_grad};

use crate::noise_streams::Streams;
use crate::{Error, Pipeline, Progress, Settings, Stage, to_pictures};

/// How often an inversion asks the decoder in each step: enough for the step's fixed point.
pub const CALLS_A_STEP: usize = 2;

/// The share of the schedule's timesteps that an inversion goes through. At its end alpha_bar is 9e-4, which is noise
/// to the eye; the last timesteps, down to 2e-9, would blow up every error.
const DEPTH: f64 = 0.98;

/// The bipartite latent of a picture.
#[derive(Debug)]
pub struct Inversion {
    /// z, the CLIP embedding of the picture, `[1, E]`.
    pub embedding: Tensor,
    /// x_T, the noise that DDIM decodes to it, `[1, C, h, w]`.
    pub noise: Tensor,
    /// The steps from one to the other.
    pub steps: usize,
}

impl Inversion {
    /// Writes it to a safetensors file, which holds `image_embedding`, `noise` and `steps` and nothing else.
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
        let unfit = |reason: String| Error::Inversion {
            file: path.display().to_string(),
            reason,
        };
        let mut tensors: HashMap<String, Tensor> =
            weights::load_safetensors(path)?.into_iter().collect();
        let mut take = |name: &str, dimensions: usize, kind: Kind| {
            let tensor = tensors
                .remove(name)
                .ok_or_else(|| unfit(format!("it has no tensor `{name}`")))?;
            if tensor.dim() != dimensions || tensor.kind() != kind {
                let (shape, found) = (tensor.size(), tensor.kind());
                return Err(unfit(format!("its `{name}` is {shape:?} of {found:?}")));
            }
            if !bool::try_from(tensor.isfinite().all()).expect("one answer") {
                return Err(unfit(format!(
                    "its `{name}` has values that are not finite"
                )));
            }
            Ok(tensor)
        };
        let embedding = take("image_embedding", 2, Kind::Float)?;
        let noise = take("noise", 4, Kind::Float)?;
        let steps = take("steps", 0, Kind::Int64)?.int64_value(&[]);
        let steps = usize::try_from(steps)
            .ok()
            .filter(|steps| *steps > 0)
            .ok_or_else(|| unfit(format!("its number of steps is {steps}")))?;
        if let Some(name) = tensors.keys().next() {
            return Err(unfit(format!("it also has a tensor `{name}`")));
        }
        Ok(Self {
            embedding,
            noise,
            steps,
        })
    }
}

impl Pipeline {
    /// Finds the noise that decodes to `picture`, without guidance and with an empty caption.
    pub fn invert(
        &self,
        picture: &RgbImage,
        steps: usize,
        progress: &mut Progress,
    ) -> Result<Inversion, Error> {
        let embedding = self.encode_pictures(std::slice::from_ref(picture))?; // [1, E]
        let small = self.base_picture(picture)?; // [1, C, h, w]
        let visited = self.inversion_steps(steps)?;
        let denoise = self.unguided(&embedding)?;
        let told = |done| progress(Stage::Decoder, done, steps);
        let sampler = self.ddim(0.0)?;
        let noise =
            no_grad(|| ddim_inverse(&sampler, &visited, small, CALLS_A_STEP, denoise, told));
        Ok(Inversion {
            embedding,
            noise,
            steps,
        })
    }

    /// The small picture `[1, C, h, w]` that an inversion stands for. With `eta` 0 it is the inverted one; up to 1, more
    /// and more of the noise is drawn anew from `stream`, and what the embedding leaves open varies.
    pub fn decode_inversion(
        &self,
        inversion: &Inversion,
        eta: f64,
        stream: &mut Generator,
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let steps = self.inversion_steps(inversion.steps)?;
        self.check_inversion(inversion)?;
        let denoise = self.unguided(&inversion.embedding)?;
        let mut streams = Streams::new(std::slice::from_mut(stream), self.device, self.kind);
        let shape = &inversion.noise.size()[1..];
        let noise = || streams.normal(shape);
        let told = |done| progress(Stage::Decoder, done, steps.len());
        let start = inversion.noise.to_device(self.device);
        let sampler = self.ddim(eta)?;
        Ok(no_grad(|| {
            ddim(&sampler, &steps, start, denoise, noise, told)
        }))
    }

    /// The large picture of an inversion: [`Pipeline::decode_inversion`] and the upsampler in turn.
    pub fn draw_inversion(
        &self,
        inversion: &Inversion,
        eta: f64,
        stream: &mut Generator,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        let small = self.decode_inversion(inversion, eta, stream, progress)?;
        let streams = std::slice::from_mut(stream);
        let large = self.upsample(&small.clamp(-1.0, 1.0), settings, streams, progress)?;
        Ok(to_pictures(&large).remove(0))
    }

    fn check_inversion(&self, inversion: &Inversion) -> Result<(), Error> {
        let [channels, height, width] = self.base_shape()?;
        let embedding = self.parts.conditioning()?.config().embedding;
        let wanted = [vec![1, embedding], vec![1, channels, height, width]];
        let found = [inversion.embedding.size(), inversion.noise.size()];
        if found == wanted {
            return Ok(());
        }
        Err(Error::Inversion {
            file: "the inversion".to_owned(),
            reason: format!("its shapes are {found:?}, and the model's {wanted:?}"),
        })
    }

    /// A picture at the decoder's size, `[1, C, h, w]` from -1 to 1: its shorter side resized, its middle cut out.
    fn base_picture(&self, picture: &RgbImage) -> Result<Tensor, Error> {
        let [_, size, _] = self.base_shape()?;
        let pixels = ImageProcessor::signed(size as u32).process(std::slice::from_ref(picture))?;
        Ok(pixels.to_device(self.device))
    }

    /// The decoder without guidance and with an empty caption.
    fn unguided<'a>(
        &'a self,
        embedding: &Tensor,
    ) -> Result<impl FnMut(&Tensor, Step) -> Output + use<'a>, Error> {
        self.decoder_denoiser(embedding, &self.encode_text(&[""])?, None)
    }

    fn ddim(&self, eta: f64) -> Result<DdimSampler, Error> {
        let config = self.parts.sampler(Stage::Decoder)?.config();
        Ok(DdimSampler {
            schedule: Schedule::cosine(config.train_timesteps),
            prediction: config.prediction,
            clip_range: None,
            eta,
        })
    }

    fn inversion_steps(&self, steps: usize) -> Result<Vec<Step>, Error> {
        let timesteps = self.parts.sampler(Stage::Decoder)?.config().train_timesteps;
        let deep = (timesteps as f64 * DEPTH) as usize;
        published_steps(steps, deep.max(1)).map_err(|error| Error::Steps {
            stage: Stage::Decoder.name(),
            steps: error.steps,
            most: error.timesteps,
        })
    }
}
