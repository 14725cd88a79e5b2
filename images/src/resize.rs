//! Pillow's bilinear and bicubic resampling, to the bit: the encoders were trained on images that it resized.

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

/// A picture of `width` by `height` pixels. No side may be 0.
///
/// One direction after the other, with the levels rounded to bytes in between; a direction that keeps its size is
/// skipped. The order is Pillow 13's: columns come first where the height loses more than twice the pixels that the
/// width loses. Older releases always begin with the rows, which moves single levels.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (old_width, old_height) = image.dimensions();
    let loss = |old: u32, new: u32| i64::from(old) - i64::from(new);
    if height < old_height && loss(old_height, height) > 2 * loss(old_width, width) {
        resize_rows(&resize_columns(image, height, filter), width, filter)
    } else {
        resize_columns(&resize_rows(image, width, filter), height, filter)
    }
}

fn resize_rows(image: &RgbImage, width: u32, filter: Filter) -> RgbImage {
    let (old_width, height) = image.dimensions();
    if width == old_width {
        return image.clone();
    }
    let taps = taps(old_width, width, filter);
    let mut levels = Vec::with_capacity(3 * width as usize * height as usize);
    for row in image.as_raw().chunks_exact(3 * old_width as usize) {
        for Tap { first, weights } in &taps {
            let mut sums = [HALF; 3];
            for (weight, pixel) in weights.iter().zip(row[3 * first..].chunks_exact(3)) {
                for (sum, &level) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(level);
                }
            }
            levels.extend(sums.map(level));
        }
    }
    RgbImage::from_raw(width, height, levels).expect("every row was resized")
}

fn resize_columns(image: &RgbImage, height: u32, filter: Filter) -> RgbImage {
    let (width, old_height) = image.dimensions();
    if height == old_height {
        return image.clone();
    }
    let row = 3 * width as usize;
    let mut levels = Vec::with_capacity(row * height as usize);
    let mut sums = vec![0; row];
    for Tap { first, weights } in taps(old_height, height, filter) {
        sums.fill(HALF);
        for (weight, line) in weights.iter().zip(image.as_raw()[row * first..].chunks_exact(row)) {
            for (sum, &level) in sums.iter_mut().zip(line) {
                *sum += weight * i32::from(level);
            }
        }
        levels.extend(sums.iter().copied().map(level));
    }
    RgbImage::from_raw(width, height, levels).expect("every column was resized")
}

/// The filter's coefficients for one output pixel.
struct Tap {
    /// The first old pixel that it reads.
    first: usize,
    /// The weights of that and the following ones, as fixed-point numbers.
    weights: Vec<i32>,
}

/// Bits after the point: 8 go to the levels and 2 to sums beyond them.
const PRECISION: u32 = 32 - 8 - 2;

/// Half of a level, which makes what follows round to the nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// A sum as a level.
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
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
            Tap { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}
