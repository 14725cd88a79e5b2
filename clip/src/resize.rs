//! Resizing exactly as Pillow does it: the encoders were trained on its pictures.

use image::RgbImage;

/// The filters that published image processors name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Straight lines between pixels.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// How far the filter reaches, in pixels of the smaller picture.
    fn reach(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Bicubic => 0.0,
        }
    }
}

/// A picture of `width` by `height` pixels by Pillow's bicubic filter. No side may be 0.
pub fn resize_bicubic(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    resize(picture, width, height, Filter::Bicubic)
}

/// A picture of `width` by `height` pixels. No side may be 0.
///
/// Rows first, then columns, with the levels rounded to bytes in between; a direction that keeps its size is skipped.
pub fn resize(picture: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (old_width, old_height) = picture.dimensions();
    let mut resized = picture.clone();
    if width != old_width {
        let taps = taps(old_width, width, filter);
        let row = 3 * old_width as usize;
        let mut wide = Vec::with_capacity(3 * (width * old_height) as usize);
        for pixels in resized.chunks_exact(row) {
            for tap in &taps {
                let window = &pixels[3 * tap.first..];
                wide.extend(
                    (0..3).map(|channel| tap.apply(window.iter().skip(channel).step_by(3))),
                );
            }
        }
        resized = RgbImage::from_raw(width, old_height, wide).expect("every row was resized");
    }
    if height != old_height {
        let taps = taps(old_height, height, filter);
        let row = 3 * width as usize;
        let mut high = Vec::with_capacity(row * height as usize);
        for tap in &taps {
            let window = &resized.as_raw()[row * tap.first..];
            high.extend((0..row).map(|place| tap.apply(window.iter().skip(place).step_by(row))));
        }
        resized = RgbImage::from_raw(width, height, high).expect("every column was resized");
    }
    resized
}

/// What one new pixel is made of.
struct Tap {
    /// The first old pixel that it reads.
    first: usize,
    /// The weights of that and the following ones, as fixed-point numbers.
    weights: Vec<i32>,
}

/// Bits after the point: 8 go to the levels and 2 to sums beyond them.
const PRECISION: u32 = 32 - 8 - 2;

impl Tap {
    fn apply<'a>(&self, levels: impl Iterator<Item = &'a u8>) -> u8 {
        let half = 1 << (PRECISION - 1);
        let sum: i32 = half
            + self
                .weights
                .iter()
                .zip(levels)
                .map(|(weight, &level)| weight * i32::from(level))
                .sum::<i32>();
        (sum >> PRECISION).clamp(0, 255) as u8
    }
}

/// The taps of all new pixels in one direction. A filter widens when the picture shrinks.
fn taps(old: u32, new: u32, filter: Filter) -> Vec<Tap> {
    let scale = f64::from(old) / f64::from(new);
    let widening = scale.max(1.0);
    let reach = filter.reach() * widening;
    (0..new)
        .map(|pixel| {
            let centre = (f64::from(pixel) + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let last = ((centre + reach + 0.5) as usize).min(old as usize);
            // Pillow multiplies by the reciprocal; dividing would round differently.
            let narrowing = 1.0 / widening;
            let weights: Vec<f64> = (first..last)
                .map(|place| filter.weight((place as f64 - centre + 0.5) * narrowing))
                .collect();
            let total: f64 = weights.iter().sum();
            let fixed = |weight: f64| (weight / total * f64::from(1 << PRECISION)).round() as i32;
            Tap {
                first,
                weights: weights.into_iter().map(fixed).collect(),
            }
        })
        .collect()
}
