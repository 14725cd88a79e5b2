//! Inpainting: the known part of an image and its mask. Networks that were trained for it take both as channels, and the known
//! pixels take the place of predicted ones in every step (2112.10741, section 4.3); others inpaint as [`crate::repaint`] says.
//! In latents, an image's known latents take their places where each step arrives, as in diffusers'
//! `KandinskyV22InpaintPipeline`.

use diffusion::NoiseLevel;
use images::preprocess::Size;
use images::resize::Filter;
use images::{ImageProcessor, RgbImage};
use tch::{Device, Tensor};

use crate::image_tensors::PLANES;
use crate::{Error, Pipeline, Settings};

/// An image of which a part is known, and the rest is sampled.
#[derive(Clone, Debug)]
pub struct Inpainting {
    /// The image, of any size: each stage squashes it to its own square.
    pub image: RgbImage,
    /// Its known pixels.
    pub mask: Mask,
}

/// The known pixels of an image, row by row.
#[derive(Clone, Debug)]
pub struct Mask {
    width: i64,
    known: Vec<bool>,
}

impl Mask {
    /// The mask of an image with so many columns, from the top left corner on: true at known pixels. `None` where the pixels
    /// are no whole rows.
    pub fn new(width: u32, known: Vec<bool>) -> Option<Self> {
        let is_whole = width > 0 && !known.is_empty() && known.len().is_multiple_of(width as usize);
        is_whole.then_some(Self { width: width.into(), known })
    }

    /// 1 at known pixels and 0 elsewhere, `[1, 1, size, size]`: of a larger mask those whose pixels are all known, so that
    /// nothing counts as known that is to be painted over, and of a smaller one the nearest pixel's value.
    fn tensor(&self, size: i64) -> Tensor {
        let known = Tensor::from_slice(&self.known).view([1, 1, -1, self.width]); // [1, 1, H, W]
        let unknown = known.logical_not().to_kind(tch::Kind::Float);
        let [_, _, height, width] = unknown.size()[..] else {
            unreachable!("it is a view of four")
        };
        let unknown = match height > size || width > size {
            true => unknown.adaptive_max_pool2d([height.min(size), width.min(size)]).0,
            false => unknown,
        };
        1f64 - unknown.upsample_nearest2d([size, size], None, None)
    }

    /// 1 at known latents and 0 elsewhere, `[1, 1, h, w]`: the nearest pixel's value, [eroded](erode).
    fn latents(&self, [height, width]: [i64; 2]) -> Tensor {
        let known = Tensor::from_slice(&self.known).view([1, 1, -1, self.width]); // [1, 1, H, W]
        let known = known.to_kind(tch::Kind::Float);
        erode(&known.upsample_nearest2d([height, width], None, None))
    }
}

/// The offsets at which an unknown latent makes its neighbours unknown, as diffusers' `prepare_mask` has them: six of eight.
const NEIGHBOURS: [[f32; 3]; 3] = [[1., 1., 0.], [1., 1., 1.], [0., 1., 1.]];

/// A `mask [B, 1, h, w]` of known latents, 1 or 0, without those beside an unknown one, of which an autoencoder sees a part.
pub fn erode(mask: &Tensor) -> Tensor {
    let kernel = Tensor::from_slice2(&NEIGHBOURS).view([1, 1, 3, 3]).to_device(mask.device());
    let unknown = (1f64 - mask).conv2d(&kernel, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1);
    unknown.lt(0.5).to_kind(mask.kind())
}

/// The known parts of a batch of images.
pub(crate) struct InpaintingBatch {
    images: Vec<RgbImage>,
    masks: Vec<Mask>,
}

impl InpaintingBatch {
    pub(crate) fn new(batch: &[&Inpainting]) -> Self {
        let masks = batch.iter().map(|known| known.mask.clone()).collect();
        let images = batch.iter().map(|known| known.image.clone()).collect();
        Self { images, masks }
    }

    /// The known pixels at a stage's size.
    pub(crate) fn pixels(&self, size: i64, device: Device) -> Result<KnownPixels, Error> {
        let side = size as u32;
        let squash = ImageProcessor {
            resize: Some((Size::Exact { width: side, height: side }, Filter::Bicubic)),
            crop: None,
            ..ImageProcessor::signed(side)
        };
        let pixels = Tensor::try_from(squash.preprocess(&self.images)?).expect(PLANES); // [B, 3, S, S]
        let masks: Vec<Tensor> = self.masks.iter().map(|mask| mask.tensor(size)).collect();
        let mask = Tensor::cat(&masks, 0); // [B, 1, S, S]
        Ok(KnownPixels::new(&pixels.to_device(device), &mask.to_device(device)))
    }

    /// The known ones of the images' `latents [B, C, h, w]`.
    fn latents(&self, latents: &Tensor) -> KnownPixels {
        let [_, _, height, width] = latents.size()[..] else {
            unreachable!("latents are [B, C, h, w]")
        };
        let masks: Vec<Tensor> =
            self.masks.iter().map(|mask| mask.latents([height, width])).collect();
        let mask = Tensor::cat(&masks, 0).to_device(latents.device()); // [B, 1, h, w]
        KnownPixels::new(latents, &mask)
    }
}

impl Pipeline {
    /// The known pixels of a stage's images of `height` pixels, or their known latents where it denoises such.
    pub(crate) fn known_pixels(
        &self,
        index: usize,
        known: &InpaintingBatch,
        height: i64,
        settings: &Settings,
    ) -> Result<KnownPixels, Error> {
        if self.components.stage(index).autoencoder.is_none() {
            return known.pixels(height, self.device);
        }
        let images: Vec<&RgbImage> = known.images.iter().collect();
        Ok(known.latents(&self.encode_latents(index, &images, settings)?))
    }
}

/// The known pixels, or latents, of a batch at one stage's size.
#[derive(Debug)]
pub struct KnownPixels {
    /// The images from -1 to 1 or their latents, and 0 where they are unknown, `[B, C, H, W]`.
    known: Tensor,
    /// 1 at known pixels, `[B, 1, H, W]`.
    mask: Tensor,
}

impl KnownPixels {
    /// Those of `images [B, C, H, W]` from -1 to 1, or of latents, where `mask [B, 1, H, W]` is 1.
    pub fn new(images: &Tensor, mask: &Tensor) -> Self {
        Self { known: images * mask, mask: mask.shallow_clone() }
    }

    /// The channels that a network takes: the known pixels, and the mask.
    pub(crate) fn channels(&self) -> Vec<Tensor> {
        vec![self.known.shallow_clone(), self.mask.shallow_clone()]
    }

    /// A predicted `x_0 [B, C, H, W]` with the known pixels in their places.
    pub fn impose(&self, x_0: &Tensor) -> Tensor {
        x_0 * (1.0 - &self.mask) + &self.known
    }

    /// An `x [B, C, H, W]` at a `level` of noise with the known pixels, noised to that level by `noise [B, C, H, W]`, in their
    /// places.
    pub fn impose_noised(&self, x: &Tensor, level: &NoiseLevel, noise: &Tensor) -> Tensor {
        x * (1.0 - &self.mask) + level.x_t(&self.known, noise) * &self.mask
    }
}
