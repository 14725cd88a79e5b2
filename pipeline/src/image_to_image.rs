//! Image-to-image (2108.01073): an image is noised as far as a strength says, and denoised from there.

use diffusion::{NoiseLevel, Step as DiffusionStep};
use images::resize::{Filter, resize_reducing};
use images::{ImageProcessor, RgbImage};
use tch::Tensor;

use crate::image_tensors::PLANES;
use crate::memory::within_memory;
use crate::{Error, Pipeline, Settings};

/// The strength where no setting says it, which diffusers' pipelines have, of the decoder and of the prior.
pub const STRENGTH: f64 = 0.3;

/// The share of the steps that are taken from something on: of a stage from an image, or of the prior from an embedding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strength {
    /// The name of the setting that says it.
    setting: &'static str,
    /// The share.
    share: f64,
}

impl Strength {
    /// That of the stage that samples the base image.
    pub(crate) fn of_stage(settings: &Settings) -> Self {
        Self { setting: "strength", share: settings.strength.unwrap_or(STRENGTH) }
    }

    /// That of the prior.
    pub(crate) fn of_prior(settings: &Settings) -> Self {
        let share = settings.prior.as_ref().and_then(|prior| prior.strength);
        Self { setting: "prior_strength", share: share.unwrap_or(STRENGTH) }
    }

    /// The number of the steps that are taken.
    pub(crate) fn count(self, steps: usize) -> usize {
        (steps as f64 * self.share) as usize
    }

    /// The last of the steps, which are taken. An error where that is none.
    pub(crate) fn last(self, steps: Vec<DiffusionStep>) -> Result<Vec<DiffusionStep>, Error> {
        match self.count(steps.len()) {
            0 => {
                let (steps, least) = (steps.len(), (1.0 / self.share).ceil());
                let must = format!(
                    "of {steps} steps it leaves none: it must be 1/{steps} at least, or the steps {least}"
                );
                Err(Error::setting(self.setting, self.share, &must))
            }
            taken => Ok(steps[steps.len().saturating_sub(taken)..].to_vec()),
        }
    }

    /// Refuses a share of nothing, and more than all.
    pub(crate) fn check(self) -> Result<(), Error> {
        match self.share > 0.0 && self.share <= 1.0 {
            true => Ok(()),
            false => {
                let must =
                    "it must lie above 0 and be 1 at most, which keeps nothing of the picture";
                Err(Error::setting(self.setting, format!("{:?}", self.share), must))
            }
        }
    }
}

/// The x `[B, ..]` that a diffusion starts from: `noise`, or an `x_0` noised with it to the `level` of the first step.
pub(crate) fn first_x(x_0: Option<&Tensor>, noise: &Tensor, level: &NoiseLevel) -> Tensor {
    match x_0 {
        Some(x_0) => level.x_t(x_0, noise),
        None => noise.shallow_clone(),
    }
}

/// Images that are squashed to a size `[width, height]`, as pixels `[B, 3, H, W]` from -1 to 1.
pub(crate) fn squashed(images: &[&RgbImage], [width, height]: [u32; 2]) -> Result<Tensor, Error> {
    // An image without pixels is refused below.
    let squash = |image: &RgbImage| match image.is_empty() {
        true => image.clone(),
        false => resize_reducing(image, width, height, Filter::Bicubic),
    };
    let images: Vec<RgbImage> = images.iter().map(|image| squash(image)).collect();
    let signed = ImageProcessor { resize: None, crop: None, ..ImageProcessor::signed(width) };
    Ok(Tensor::try_from(signed.preprocess(&images)?).expect(PLANES))
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
        let size = [width, height].map(|side| (side * scale) as u32);
        within_memory(|| self.latents_of(index, &squashed(images, size)?))
    }

    /// The latents `[B, C, h, w]` of images `[B, 3, H, W]` from -1 to 1 that a stage denoises, in f32: the images themselves where it
    /// has no autoencoder.
    pub(crate) fn latents_of(&self, index: usize, images: &Tensor) -> Result<Tensor, Error> {
        let Some(autoencoder) = self.components.autoencoder(index)? else {
            return Ok(images.shallow_clone());
        };
        // One image after the other, so that a batch takes no more memory than one.
        let latents = (0..images.size()[0]).map(|n| {
            let image = images.narrow(0, n, 1).to_device(self.device).to_kind(self.kind);
            autoencoder.encode(&image).to_kind(tch::Kind::Float)
        });
        Ok(Tensor::cat(&latents.collect::<Vec<_>>(), 0))
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
