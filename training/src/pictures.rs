//! Pictures that a user brings, as squares: cut, resized and mirrored.

use std::ops::Range;

use image::{RgbImage, imageops};
use images::resize::{Filter, resize};
use noise::Generator;
use tch::Tensor;

use crate::Error;
use crate::data::{Batch, View, stack};
use crate::samples::Samples;

/// Samples that are pictures.
pub struct Pictures {
    samples: Samples,
    /// Whether half of them are mirrored: not where captions tell left from right.
    flip: bool,
}

impl Pictures {
    pub(crate) fn new(samples: Samples, flip: bool) -> Self {
        Self { samples, flip }
    }

    /// An error where not one picture can be read.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.samples.check(decode)
    }

    /// The samples behind them.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// What tells these pictures from others: "40 samples, 5e884898da28..., mirrored".
    pub(crate) fn describe(&self) -> String {
        let mirrored = if self.flip { ", mirrored" } else { "" };
        format!("{}{mirrored}", self.samples.describe())
    }

    /// The pictures `first .. first + count` of a leg's order, each a random part of its file.
    pub(crate) fn draw(&self, view: View, first: u64, count: usize) -> Result<Batch, Error> {
        let (mut pictures, mut captions) = (Vec::new(), Vec::new());
        for position in first..first + count as u64 {
            let (square, caption) = self.samples.at(view, position, |file, path, generator| {
                self.random_square(&decode(file, path)?, view.size, generator)
            })?;
            pictures.push(square.into_raw());
            captions.push(caption);
        }
        let same = |i: usize, j: usize| i != j && captions[i] == captions[j];
        let marks: Vec<bool> = (0..count)
            .flat_map(|i| (0..count).map(move |j| (i, j)))
            .map(|(i, j)| same(i, j))
            .collect();
        let side = count as i64;
        Ok(Batch {
            pictures: stack(&pictures, view.size),
            clashes: Tensor::from_slice(&marks).view([side, side]),
            captions,
        })
    }

    /// The middles of the pictures in a range of the data's own order, with their numbers and captions; what is broken
    /// is left out.
    pub(crate) fn middles(&self, range: Range<usize>, size: u32) -> Vec<(usize, RgbImage, String)> {
        self.samples.in_order(range, |file, path| Ok(square(&decode(file, path)?, size, 0.5)))
    }

    /// A random part (2103.00020, section 2.4), mirrored in half of all cases where that is wanted.
    fn random_square(
        &self,
        picture: &RgbImage,
        size: u32,
        generator: &mut Generator,
    ) -> Result<RgbImage, String> {
        let square = square(picture, size, generator.uniform());
        Ok(match self.flip && generator.uniform() < 0.5 {
            true => imageops::flip_horizontal(&square),
            false => square,
        })
    }
}

fn decode(file: &[u8], path: &str) -> Result<RgbImage, String> {
    let read = images::decode_image(file, path).map_err(|error| error.to_string())?;
    Ok(read.image)
}

/// The shorter side resized to `size`, and of the longer one as much, from a `part` of what is too much on: 0.5 is the
/// middle.
fn square(picture: &RgbImage, size: u32, part: f64) -> RgbImage {
    let (width, height) = picture.dimensions();
    let short = width.min(height);
    let at = |long: u32| (f64::from(long - short + 1) * part) as u32;
    // Cut before it is enlarged: a picture may be very long.
    let cut = imageops::crop_imm(picture, at(width), at(height), short, short).to_image();
    resize(&cut, size, size, Filter::Bicubic)
}
