//! Text diffs: an image moved along the difference of two captions (2204.06125, section 3.3).

use images::RgbImage;
use noise::Generator;
use tch::Tensor;

use crate::inversion::{Decoding, Inversion};
use crate::{Error, Observer, Pipeline, Settings};

/// The strength of a text diff that names none.
pub const STRENGTH: f64 = 1.0;

/// How strongly an embedding that a text diff turned pulls, against the noise of the image as it was.
pub const EDIT_GUIDANCE_SCALE: f64 = 2.0;

/// An image and the difference of two captions.
#[derive(Debug)]
pub struct TextDiff {
    inversion: Inversion,
    from: Tensor,
    to: Tensor,
    strength: f64,
    guidance_scale: f64,
}

impl TextDiff {
    /// The same with so much of the difference of the captions' embeddings added to the image's; [`STRENGTH`] without.
    pub fn with_strength(self, strength: f64) -> Self {
        Self { strength, ..self }
    }

    /// The same with this guidance scale at the whole difference; [`EDIT_GUIDANCE_SCALE`] without.
    pub fn with_guidance_scale(self, guidance_scale: f64) -> Self {
        Self { guidance_scale, ..self }
    }

    /// The images at `t` of the way, 0 at the image as it was and 1 at the whole difference, one for each seed. Guidance
    /// grows with the difference, so that the way begins at the image itself.
    pub fn frames(
        &self,
        pipeline: &Pipeline,
        t: f64,
        seeds: &[u64],
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        let latent = self.inversion.edited(&self.from, &self.to, self.strength * t);
        let latent = latent.expand(seeds.len() as i64);
        let decoding = Decoding { eta: 0.0, guidance_scale: 1.0 + (self.guidance_scale - 1.0) * t };
        let mut streams: Vec<Generator> = seeds.iter().map(|&seed| Generator::new(seed)).collect();
        pipeline.sample_inversion(&latent, decoding, &mut streams, settings, observer)
    }
}

impl Pipeline {
    /// The text diff of an image from the caption `from` to the caption `to`. The image is inverted in `steps`.
    pub fn text_diff(
        &self,
        image: &RgbImage,
        from: &str,
        to: &str,
        steps: usize,
        observer: &mut dyn Observer,
    ) -> Result<TextDiff, Error> {
        let captions = self.encode_text(&[from, to])?;
        let inversion = self.invert(std::slice::from_ref(image), steps, observer)?;
        let [from, to] = [0, 1].map(|row| captions.embedding.narrow(0, row, 1));
        let (strength, guidance_scale) = (STRENGTH, EDIT_GUIDANCE_SCALE);
        Ok(TextDiff { inversion, from, to, strength, guidance_scale })
    }
}
