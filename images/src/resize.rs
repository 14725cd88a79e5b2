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
    resize_span(image, [old_width as f32, old_height as f32], width, height, filter)
}

/// As [`resize`], but of a picture that is reduced first where a side is twice as long or more: each block of whole pixels to its
/// mean, as Pillow does with a reducing gap of 1.
pub fn resize_reducing(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (old_width, old_height) = image.dimensions();
    let factors = [(old_width, width), (old_height, height)].map(|(old, new)| (old / new).max(1));
    if factors == [1, 1] {
        return resize(image, width, height, filter);
    }
    // The last block may be cut: its part counts.
    let span = |old: u32, factor: u32| (f64::from(old) / f64::from(factor)) as f32;
    let spans = [span(old_width, factors[0]), span(old_height, factors[1])];
    resize_span(&reduce(image, factors), spans, width, height, filter)
}

/// The mean of each block of so many columns and rows; those at the right and lower edge may be cut.
fn reduce(image: &RgbImage, [columns, rows]: [u32; 2]) -> RgbImage {
    let (old_width, old_height) = image.dimensions();
    RgbImage::from_fn(old_width.div_ceil(columns), old_height.div_ceil(rows), |x, y| {
        let (left, top) = (x * columns, y * rows);
        let (right, bottom) = ((left + columns).min(old_width), (top + rows).min(old_height));
        let pixels = u64::from((right - left) * (bottom - top));
        let mut sums = [pixels / 2; 3];
        for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
            sums.iter_mut().zip(image[(x, y)].0).for_each(|(sum, level)| *sum += u64::from(level));
        }
        // Pillow multiplies by the reciprocal, which is cut to 24 bits.
        image::Rgb(sums.map(|sum| ((sum * ((1 << 24) / pixels)) >> 24) as u8))
    })
}

/// The first columns and rows of a picture, so many as `span` says, resized.
fn resize_span(
    image: &RgbImage,
    span: [f32; 2],
    width: u32,
    height: u32,
    filter: Filter,
) -> RgbImage {
    let (old_width, old_height) = image.dimensions();
    let [across, down] = span;
    let loss = |old: u32, new: u32| i64::from(old) - i64::from(new);
    if height < old_height && loss(old_height, height) > 2 * loss(old_width, width) {
        resize_rows(&resize_columns(image, down, height, filter), across, width, filter)
    } else {
        resize_columns(&resize_rows(image, across, width, filter), down, height, filter)
    }
}

fn resize_rows(image: &RgbImage, span: f32, width: u32, filter: Filter) -> RgbImage {
    let (old_width, height) = image.dimensions();
    if width == old_width && span == old_width as f32 {
        return image.clone();
    }
    let taps = taps(old_width, span, width, filter);
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

fn resize_columns(image: &RgbImage, span: f32, height: u32, filter: Filter) -> RgbImage {
    let (width, old_height) = image.dimensions();
    if height == old_height && span == old_height as f32 {
        return image.clone();
    }
    let row = 3 * width as usize;
    let mut levels = Vec::with_capacity(row * height as usize);
    let mut sums = vec![0; row];
    for Tap { first, weights } in taps(old_height, span, height, filter) {
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

/// The taps of all new pixels in one direction, over a span of the old ones. A filter widens when the picture shrinks.
fn taps(old: u32, span: f32, new: u32, filter: Filter) -> Vec<Tap> {
    let scale = f64::from(span) / f64::from(new);
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
