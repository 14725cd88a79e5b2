//! Interpolations between images and captions (2204.06125, section 3.2).

use images::RgbImage;
use noise::Generator;
use tch::Tensor;

use crate::inversion::{Decoding, Inversion};
use crate::manipulation::slerp;
use crate::{Error, Observer, Pipeline, Request, Settings};

/// An end of an interpolation.
#[derive(Clone, Debug)]
pub enum InterpolationEnd {
    /// An image.
    Image(RgbImage),
    /// A caption, whose embedding the prior samples.
    Caption(String),
}

/// The way from one end to the other, of which every place is an image.
#[derive(Debug)]
pub struct Interpolation {
    from: Latent,
    to: Latent,
    seed: u64,
    settings: Settings,
}

/// An end of an interpolation, encoded.
#[derive(Debug)]
pub enum Latent {
    /// An image embedding `[1, E]`: its noise is the seed's.
    Embedding(Tensor),
    /// The bipartite latent of an image.
    Inversion(Inversion),
}

impl Interpolation {
    /// An interpolation of two latents of one kind with the noise of `seed`.
    pub fn new(from: Latent, to: Latent, seed: u64, settings: &Settings) -> Self {
        Self { from, to, seed, settings: settings.clone() }
    }

    /// The image at `t`, 0 at the first end and 1 at the other: embeddings, and the noise of inversions, move on the sphere.
    pub fn frame(
        &self,
        pipeline: &Pipeline,
        t: f64,
        observer: &mut dyn Observer,
    ) -> Result<RgbImage, Error> {
        match (&self.from, &self.to) {
            (Latent::Inversion(from), Latent::Inversion(to)) => {
                let streams = &mut [Generator::new(self.seed)];
                let latent = from.between(to, t);
                let images = pipeline.sample_inversion(
                    &latent,
                    Decoding::EXACT,
                    streams,
                    &self.settings,
                    observer,
                )?;
                Ok(images.into_iter().next().expect("one image for one latent"))
            }
            (from, to) => {
                let (from, to) = (from.embedding(), to.embedding());
                let embedding = slerp(from, to, t).to_kind(from.kind());
                let request = Request::of_embedding(&embedding, self.seed, self.settings.clone());
                Ok(pipeline.sample(&[request], observer)?.remove(0))
            }
        }
    }
}

impl Latent {
    fn embedding(&self) -> &Tensor {
        match self {
            Self::Embedding(embedding) => embedding,
            Self::Inversion(inversion) => &inversion.embedding,
        }
    }
}

impl Pipeline {
    /// The embedding of an end: CLIP's of an image, or the one that the prior samples of a caption with `seed`.
    pub fn encode_end(
        &self,
        end: &InterpolationEnd,
        seed: u64,
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Latent, Error> {
        Ok(Latent::Embedding(match end {
            InterpolationEnd::Image(image) => self.encode_images(std::slice::from_ref(image))?,
            InterpolationEnd::Caption(caption) => {
                let text = self.encode_text(&[caption])?;
                self.sample_embedding(&text, settings, &mut [Generator::new(seed)], observer)?
            }
        }))
    }

    /// The way from one end to the other, with the noise of `seed` in every image. Between two [inversions](Pipeline::invert),
    /// [`Interpolation::new`] takes each image's own noise.
    pub fn interpolate(
        &self,
        from: &InterpolationEnd,
        to: &InterpolationEnd,
        seed: u64,
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Interpolation, Error> {
        let from = self.encode_end(from, seed, settings, observer)?;
        let to = self.encode_end(to, seed, settings, observer)?;
        Ok(Interpolation::new(from, to, seed, &settings.clone().without_prior()))
    }
}
