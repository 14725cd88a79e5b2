//! A picture as what decodes to it: its CLIP embedding z and the noise x_T (2204.06125, section 3).

use clip::ImageProcessor;
use diffusion::ddim::{ddim, ddim_inverse};
use diffusion::{DdimSampler, Output, Schedule, Step, published_steps};
use image::RgbImage;
use noise::Generator;
use tch::{Tensor, no_grad};

use crate::noise_streams::Streams;
use crate::{Error, Pipeline, Progress, Stage};

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
