//! Stages that denoise an autoencoder's latents (2112.10752): the sizes of their images, which are free, and their decoding.

use tch::{Kind, Tensor};

use crate::components::opened;
use crate::memory::within_memory;
use crate::{Error, Pipeline, Quantity, Settings};

/// The longest side of an image, in pixels.
const LONGEST_SIDE: i64 = 4096;

impl Pipeline {
    /// The shape `[C, h, w]` of what a stage denoises for these settings: an image of its own size, or latents of an image of the
    /// settings' size. An error for a size that it cannot have.
    pub(crate) fn sample_shape(
        &self,
        index: usize,
        settings: &Settings,
    ) -> Result<[i64; 3], Error> {
        let [channels, height, width] = self.image_shape(index)?;
        let is_own = settings.width.is_none() && settings.height.is_none();
        if is_own || self.components.stage(index).autoencoder.is_none() {
            return Ok([channels, height, width]);
        }
        let scale = self.components.scale_factor(index)?;
        let levels = self.components.network_config(index)?.block_out_channels.len();
        let side = |setting, pixels: Option<u32>, own| match pixels.map(i64::from) {
            None => Ok(own),
            Some(pixels) => {
                let multiple = scale << (levels - 1);
                let fits = (multiple..=LONGEST_SIDE).contains(&pixels) && pixels % multiple == 0;
                let must = format!(
                    "with this model it must be a multiple of {multiple}, and {LONGEST_SIDE} at most"
                );
                fits.then_some(pixels / scale).ok_or_else(|| Error::setting(setting, pixels, &must))
            }
        };
        let height = side("height", settings.height, height)?;
        Ok([channels, height, side("width", settings.width, width)?])
    }

    /// Refuses a size of images in families whose networks have one of their own.
    pub(crate) fn check_size_settings(&self, settings: &Settings) -> Result<(), Error> {
        let sizes = [("width", settings.width), ("height", settings.height)];
        match sizes.into_iter().find_map(|(setting, pixels)| Some((setting, pixels?))) {
            Some((setting, pixels)) if !self.components.family().denoises_latents() => {
                let (name, side) = (self.components.family().name, self.side()?);
                let must = format!("{name} draws squares of {side} pixels a side alone");
                Err(Error::setting(setting, pixels, &must))
            }
            _ => Ok(()),
        }
    }

    /// Images `[B, 3, H, W]` from -1 to 1 of the latents `[B, C, h, w]` that a stage denoised, in f32.
    pub(crate) fn decode_latents(&self, index: usize, latents: &Tensor) -> Result<Tensor, Error> {
        let Some(autoencoder) = self.components.autoencoder(index)? else {
            return Ok(latents.shallow_clone());
        };
        within_memory(|| {
            let images = autoencoder.decode(&latents.to_kind(self.kind)).to_kind(Kind::Float);
            Ok(self.finite(images, Quantity::Base, None)?.clamp(-1.0, 1.0))
        })
    }

    /// Whether the model denoises the latents of an autoencoder, which its images are decoded from.
    pub fn denoises_latents(&self) -> bool {
        self.components.family().denoises_latents()
    }

    /// Refuses to inpaint latents by a network that takes no mask: [RePaint](crate::repaint) is for pixels.
    pub(crate) fn check_inpainting(&self) -> Result<(), Error> {
        let family = self.components.family();
        match family.denoises_latents() && self.repaints()? {
            true => Err(Error::NoInpainting {
                family: family.name,
                repository: family.inpainting_example,
            }),
            false => Ok(()),
        }
    }

    /// CLIP's embeddings `[count, E]` of an image whose prepared pixels are all 0: what guidance starts from where no caption says
    /// what an image should not show.
    pub(crate) fn zero_image_embedding(&self, count: i64) -> Result<Tensor, Error> {
        let embedding = opened(&self.zero_image, || {
            let encoder = self.components.image_encoder()?;
            let side = encoder.config().image_size();
            within_memory(|| {
                let pixels = Tensor::zeros([1, 3, side, side], (self.kind, self.device));
                self.finite(encoder.forward(&pixels), Quantity::ImageEmbedding, None)
            })
        })?; // [1, E]
        Ok(embedding.expand([count, -1], false))
    }
}
