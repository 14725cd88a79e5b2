//! Images from a user's files, as squares: cropped, resized and mirrored.

use std::ops::Range;

use image::{RgbImage, imageops};
use images::resize::{Filter, resize};
use noise::Generator;

use crate::Error;
use crate::data::{CaptionedImages, SampleRequest};
use crate::dataset::Dataset;

/// A dataset of images with captions.
pub struct ImageDataset {
    dataset: Dataset,
    /// Whether half of them are mirrored: not where captions tell left from right.
    flip: bool,
}

impl ImageDataset {
    /// The images of `dataset`; an error where not one can be read.
    pub(crate) fn new(dataset: Dataset, flip: bool) -> Result<Self, Error> {
        dataset.check(decode)?;
        Ok(Self { dataset, flip })
    }

    /// The files behind the images.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Tells these images from others: "40 samples, 5e884898da28..., mirrored".
    pub(crate) fn describe(&self) -> String {
        let mirrored = if self.flip { ", mirrored" } else { "" };
        format!("{}{mirrored}", self.dataset.describe())
    }

    /// The images `first .. first + count` of a request's order, each a random crop of its file.
    pub(crate) fn draw(
        &self,
        request: SampleRequest,
        first: u64,
        count: usize,
    ) -> Result<CaptionedImages, Error> {
        let crop = |position| {
            self.dataset.at(request, position, |file, path, generator| {
                Ok(self.random_crop(&decode(file, path)?, request.size, generator).into_raw())
            })
        };
        let samples = (first..first + count as u64).map(crop).collect::<Result<Vec<_>, Error>>()?;
        let (images, captions): (Vec<_>, Vec<String>) = samples.into_iter().unzip();
        Ok(CaptionedImages { images, captions, negative_captions: Vec::new() })
    }

    /// The centre crops of the images in a range of the files' own order, with their numbers and captions, without those
    /// that are broken.
    pub(crate) fn center_crops(
        &self,
        range: Range<usize>,
        size: u32,
    ) -> Vec<(usize, RgbImage, String)> {
        self.dataset.in_order(range, |file, path| Ok(crop(&decode(file, path)?, size, 0.5)))
    }

    /// A random crop (2103.00020, section 2.4), mirrored in half of all cases where that is wanted.
    fn random_crop(&self, image: &RgbImage, size: u32, generator: &mut Generator) -> RgbImage {
        let square = crop(image, size, generator.uniform());
        match self.flip && generator.uniform() < 0.5 {
            true => imageops::flip_horizontal(&square),
            false => square,
        }
    }
}

fn decode(file: &[u8], path: &str) -> Result<RgbImage, String> {
    let read = images::decode_image(file, path).map_err(|error| error.to_string())?;
    Ok(read.image)
}

/// A square crop whose side is the shorter one, resized to `size`; it begins at a `part` of what the longer side has too
/// much: 0.5 is the centre.
fn crop(image: &RgbImage, size: u32, part: f64) -> RgbImage {
    let (width, height) = image.dimensions();
    let short = width.min(height);
    let at = |long: u32| (f64::from(long - short + 1) * part) as u32;
    // Cropped before it is enlarged: an image may be very long.
    let square = imageops::crop_imm(image, at(width), at(height), short, short).to_image();
    resize(&square, size, size, Filter::Bicubic)
}
