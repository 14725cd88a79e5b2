//! Image preprocessing for CLIP's image encoder: resize, centre crop, rescale, normalise.

use std::borrow::Cow;

use image::{Rgb, RgbImage};
use ndarray::Array4;
use thiserror::Error;

use crate::resize::{Filter, resize};

/// The mean of CLIP's training pictures: red, green, blue.
pub const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
/// The standard deviation of CLIP's training pictures: red, green, blue.
pub const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// The most pixels that an image may have after resizing, before cropping.
const MOST_PIXELS: u64 = 1 << 26;

/// Why images were not preprocessed.
#[derive(Debug, Error)]
pub enum PreprocessError {
    /// An image without pixels, or one so long that resizing it would fill the memory.
    #[error("a picture of {0}x{1} pixels cannot be resized for the image encoder")]
    Unresizable(u32, u32),
    /// Images of two sizes, which do not fit into one batch.
    #[error(
        "pictures of {0}x{1} and {2}x{3} pixels do not fit into one batch, and preprocessor_config.json crops none"
    )]
    MixedSizes(u32, u32, u32, u32),
}

/// A size to resize to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// The shorter side; the other follows.
    ShortestEdge(u32),
    /// Both sides.
    Exact {
        /// The width.
        width: u32,
        /// The height.
        height: u32,
    },
}

/// How many pixels before a crop are left off where an odd number is: half of them, rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropRounding {
    /// Down, as transformers rounds.
    Down,
    /// To the even number, as torchvision rounds.
    HalfToEven,
}

/// Resize, centre crop, rescale and normalise, in this order; a step that is absent is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    /// The size, and the filter that resizes to it.
    pub resize: Option<(Size, Filter)>,
    /// Width and height of the centre crop.
    pub crop: Option<(u32, u32)>,
    /// The place of a crop that cannot be in the middle.
    pub crop_rounding: CropRounding,
    /// The factor of the levels, which are 0 to 255.
    pub rescale: Option<f64>,
    /// The mean and the standard deviation of red, green and blue.
    pub normalize: Option<([f64; 3], [f64; 3])>,
}

impl ImageProcessor {
    /// CLIP's own preprocessing for an encoder of square images.
    pub fn clip(size: u32) -> Self {
        Self {
            resize: Some((Size::ShortestEdge(size), Filter::Bicubic)),
            crop: Some((size, size)),
            crop_rounding: CropRounding::Down,
            rescale: Some(1.0 / 255.0),
            normalize: Some((CLIP_MEAN, CLIP_STD)),
        }
    }

    /// The centre of an image as a square of values from -1 to 1, as decoders take it.
    pub fn signed(size: u32) -> Self {
        Self { normalize: Some(([0.5; 3], [0.5; 3])), ..Self::clip(size) }
    }

    /// Width and height of every preprocessed image, where they do not depend on the image.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        self.crop.or(match self.resize {
            Some((Size::Exact { width, height }, _)) => Some((width, height)),
            _ => None,
        })
    }

    /// Images `[B] ->` pixels `[B, 3, H, W]`. Refuses images that cannot be resized, and sizes that do not fit into one
    /// batch.
    pub fn preprocess(&self, images: &[RgbImage]) -> Result<Array4<f32>, PreprocessError> {
        let tables = self.lookup_tables();
        let mut pixels: Vec<f32> = Vec::new();
        let mut first = None;
        for image in images {
            let image = self.resize_and_crop(image)?;
            let (width, height) = image.dimensions();
            let (first_width, first_height) = *first.get_or_insert((width, height));
            if (width, height) != (first_width, first_height) {
                return Err(PreprocessError::MixedSizes(first_width, first_height, width, height));
            }
            for (channel, table) in tables.iter().enumerate() {
                pixels.extend(image.pixels().map(|pixel| table[usize::from(pixel[channel])]));
            }
        }
        let (width, height) = first.or(self.output_size()).unwrap_or_default();
        let shape = (images.len(), 3, height as usize, width as usize);
        Ok(Array4::from_shape_vec(shape, pixels).expect("three planes an image"))
    }

    fn resize_and_crop<'a>(
        &self,
        image: &'a RgbImage,
    ) -> Result<Cow<'a, RgbImage>, PreprocessError> {
        let (width, height) = image.dimensions();
        let unresizable = || PreprocessError::Unresizable(width, height);
        if width == 0 || height == 0 {
            return Err(unresizable());
        }
        let resized = match self.resize {
            None => Cow::Borrowed(image),
            Some((size, filter)) => {
                let (new_width, new_height) = match size {
                    Size::Exact { width, height } => (u64::from(width), u64::from(height)),
                    Size::ShortestEdge(edge) if width <= height => {
                        (u64::from(edge), longer(edge, width, height))
                    }
                    Size::ShortestEdge(edge) => (longer(edge, height, width), u64::from(edge)),
                };
                if new_width * new_height.max(u64::from(height)) > MOST_PIXELS {
                    return Err(unresizable());
                }
                Cow::Owned(resize(image, new_width as u32, new_height as u32, filter))
            }
        };
        Ok(match self.crop {
            None => resized,
            Some((width, height)) => {
                Cow::Owned(center_crop(&resized, width, height, self.crop_rounding))
            }
        })
    }

    /// The value of each level of each channel, rescaled in f64 and normalised in f32 as the reference does.
    fn lookup_tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| {
            std::array::from_fn(|level| {
                let value =
                    self.rescale.map_or(level as f32, |factor| (level as f64 * factor) as f32);
                self.normalize.map_or(value, |(mean, std)| {
                    (value - mean[channel] as f32) / std[channel] as f32
                })
            })
        })
    }
}

/// The longer side when the shorter one becomes `edge`, rounded down.
fn longer(edge: u32, short: u32, long: u32) -> u64 {
    u64::from(edge) * u64::from(long) / u64::from(short)
}

/// The centre of an image, black where it is too small.
fn center_crop(image: &RgbImage, width: u32, height: u32, rounding: CropRounding) -> RgbImage {
    let (old_width, old_height) = image.dimensions();
    // Cutting rounds down what is left off before the middle; filling rounds up what is put there.
    let offset = |old: u32, new: u32| {
        let (more, half) = (i64::from(old) - i64::from(new), i64::from(old.abs_diff(new) / 2));
        match rounding {
            CropRounding::HalfToEven if more > 0 => half + more % 2 * (half % 2),
            _ => more.div_euclid(2),
        }
    };
    let (left, top) = (offset(old_width, width), offset(old_height, height));
    RgbImage::from_fn(width, height, |x, y| {
        let inside =
            |place: i64, size: u32| u32::try_from(place).ok().filter(|place| *place < size);
        match (inside(left + i64::from(x), old_width), inside(top + i64::from(y), old_height)) {
            (Some(x), Some(y)) => *image.get_pixel(x, y),
            _ => Rgb([0; 3]),
        }
    })
}
