//! Image-to-image (2108.01073): an image is noised as far as a strength says, and denoised from there.

use diffusion::{NoiseLevel, Step as DiffusionStep};
use images::resize::{Filter, resize_reducing};
use images::{ImageProcessor, RgbImage};
use tch::Tensor;

use crate::image_tensors::PLANES;
use crate::memory::within_memory;
use crate::{Error, Pipeline, Settings};

/// The strength where no setting says it, which diffusers' pipelines have.
pub const STRENGTH: f64 = 0.3;

/// The number of a stage's steps that are taken, so large a share of them as the settings' strength is.
pub(crate) fn strength_count(steps: usize, settings: &Settings) -> usize {
    (steps as f64 * settings.strength.unwrap_or(STRENGTH)) as usize
}

/// The last steps of a stage, so large a share of them as the settings' strength is. An error where that is none.
pub(crate) fn strength_steps(
    steps: Vec<DiffusionStep>,
    settings: &Settings,
) -> Result<Vec<DiffusionStep>, Error> {
    match strength_count(steps.len(), settings) {
        0 => {
            let must = format!("of {} steps it leaves none", steps.len());
            Err(Error::setting("strength", settings.strength.unwrap_or(STRENGTH), &must))
        }
        taken => Ok(steps[steps.len().saturating_sub(taken)..].to_vec()),
    }
}

/// The x `[B, C, h, w]` that a stage starts from: `noise`, or latents noised with it to the `level` of the first step.
pub(crate) fn first_x(latents: Option<&Tensor>, noise: &Tensor, level: &NoiseLevel) -> Tensor {
    match latents {
        Some(latents) => level.x_t(latents, noise),
        None => noise.shallow_clone(),
    }
}

impl Pipeline {
    /// The latents `[B, C, h, w]` of images, which are squashed to the size of the settings' images.
    pub(crate) fn encode_latents(
        &self,
        index: usize,
        images: &[&RgbImage],
        settings: &Settings,
    ) -> Result<Tensor, Error> {
        let [_, height, width] = self.sample_shape(index, settings)?;
        let none = || Error::NoImageToImage { family: self.components.family().name };
        let autoencoder = self.components.autoencoder(index)?.ok_or_else(none)?;
        let scale = autoencoder.config().scale_factor();
        let [width, height] = [width, height].map(|side| (side * scale) as u32);
        // An image without pixels is refused below.
        let squash = |image: &RgbImage| match image.is_empty() {
            true => image.clone(),
            false => resize_reducing(image, width, height, Filter::Bicubic),
        };
        let images: Vec<RgbImage> = images.iter().map(|image| squash(image)).collect();
        let signed = ImageProcessor { resize: None, crop: None, ..ImageProcessor::signed(width) };
        within_memory(|| {
            let pixels = Tensor::try_from(signed.preprocess(&images)?).expect(PLANES); // [B, 3, H, W]
            let one_by_one = (0..pixels.size()[0]).map(|n| {
                let pixels = pixels.narrow(0, n, 1).to_device(self.device).to_kind(self.kind);
                autoencoder.encode(&pixels).to_kind(tch::Kind::Float)
            });
            Ok(Tensor::cat(&one_by_one.collect::<Vec<_>>(), 0))
        })
    }

    /// Refuses to start from images, which a request `starts` from or settings speak of, in models that denoise no latents.
    pub(crate) fn check_image_to_image(&self, starts: bool) -> Result<(), Error> {
        let family = self.components.family();
        match starts && !family.denoises_latents() {
            true => Err(Error::NoImageToImage { family: family.name }),
            false => Ok(()),
        }
    }
}
