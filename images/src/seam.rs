//! Painted squares laid on an image where a mask says, their colours drawn to those around the mask towards its border.
//!
//! A sampled image never meets its surroundings exactly. What it lacks at the border is added, and less of it pixel by pixel
//! inwards, so that the border vanishes and what lies further in stays as it was painted: the membrane of 10.1145/882262.882269
//! (Poisson image editing, section 2), which ends after a few pixels. Nothing of what lay under the mask is seen.

use std::collections::HashMap;

use image::RgbImage;

use crate::mask::{PaintMask, Rect};
use crate::regions::Region;
use crate::resize::{Filter, resize};

/// The part of a square's side over which the seam fades in where nothing else is asked for.
const PART: u32 = 32;

/// The share of what a pixel at the border differs by from those beside it that stays as it was painted. With none of it the border
/// is smoother than scenes are, by a quarter on average.
const TEXTURE: f32 = 0.25;

/// The levels that are added to a pixel, by its place.
type Offsets = HashMap<usize, [f32; 3]>;

/// How painted squares meet the image around a mask.
pub struct Seam {
    /// Width and height of the image.
    dimensions: (u32, u32),
    /// The pixels over which it fades in.
    feather: Option<u16>,
    /// The distance of each pixel of the mask from the nearest pixel outside, 0 outside.
    distances: Vec<u16>,
}

impl Seam {
    /// The seam inside a mask, over so many pixels; over a 32nd of each region's square without. Over 0 of them every pixel of
    /// the mask is just the painted image's. The border of the image is none of the mask's.
    pub fn new(mask: &PaintMask, feather: Option<u16>) -> Self {
        Self { dimensions: mask.dimensions(), feather, distances: mask.distances(u16::MAX) }
    }

    /// The pixels over which it fades in, in a region: no more than leave its innermost ones as they were painted.
    pub fn feather(&self, region: &Region) -> u16 {
        let wanted = self.feather.unwrap_or((region.square.width / PART) as u16);
        let deepest = self.places(region).map(|place| self.distances[place]).max();
        deepest.map_or(0, |deepest| wanted.min(deepest.saturating_sub(1)))
    }

    /// Lays a region's painted square, of any size, on the image that it was cut from, in the pixels of the mask alone.
    pub fn lay(&self, square: &RgbImage, region: &Region, image: &mut RgbImage) {
        let side = region.square.width;
        let square = resize(square, side, side, Filter::Bicubic);
        let width = image.width();
        for place in self.places(region) {
            let (x, y) = (place as u32 % width, place as u32 / width);
            let at = |place: u32, start: i64| (i64::from(place) - start) as u32;
            image[(x, y)] = square[(at(x, region.square.x), at(y, region.square.y))];
        }
        self.blend(region, image);
    }

    /// Adds to a region that was laid what it lacks at the border.
    fn blend(&self, region: &Region, image: &mut RgbImage) {
        let feather = self.feather(region);
        let is_near = |&place: &usize| self.distances[place] <= feather;
        let mut places: Vec<usize> = self.places(region).filter(is_near).collect();
        places.sort_by_key(|&place| self.distances[place]);
        let mut outer = Offsets::new();
        for layer in places.chunk_by(|&one, &other| self.distances[one] == self.distances[other]) {
            let distance = self.distances[layer[0]];
            let offsets = match distance {
                1 => self.with_texture(layer, self.border_offsets(layer, image)),
                _ => self.means(layer, &outer),
            };
            let part = f32::from(feather + 1 - distance) / f32::from(feather);
            let weight = part * part * (3.0 - 2.0 * part);
            for (&place, offset) in &offsets {
                let pixel = &mut image.as_mut()[3 * place..][..3];
                for (level, offset) in pixel.iter_mut().zip(offset) {
                    *level = (f32::from(*level) + weight * offset).round() as u8;
                }
            }
            outer = offsets;
        }
    }

    /// The pixels of the mask in a region, by their places in the image, row by row.
    fn places(&self, region: &Region) -> impl Iterator<Item = usize> {
        let width = self.dimensions.0 as usize;
        let Rect { x, y, width: columns, height } = region.bounds;
        let rows = y as usize..y as usize + height as usize;
        let places = rows.flat_map(move |row| (row * width + x as usize..).take(columns as usize));
        places.filter(|&place| self.distances[place] > 0)
    }

    /// The places around one, itself too.
    fn around(&self, place: usize) -> impl Iterator<Item = usize> {
        let (width, height) = self.dimensions;
        let (x, y) = ((place % width as usize) as i64, (place / width as usize) as i64);
        let near = move |at: i64, size: u32| (at - 1).max(0)..(at + 2).min(size.into());
        near(y, height).flat_map(move |row| {
            near(x, width).map(move |column| row as usize * width as usize + column as usize)
        })
    }

    /// How much brighter the neighbours outside the mask are than each of these places, on average.
    fn border_offsets(&self, layer: &[usize], image: &RgbImage) -> Offsets {
        let pixel = |place: usize| -> [f32; 3] {
            std::array::from_fn(|channel| image.as_raw()[3 * place + channel].into())
        };
        let offset = |&place: &usize| {
            let outside = self.around(place).filter(|&other| self.distances[other] == 0);
            let around = mean(outside.map(pixel))?;
            let own = pixel(place);
            Some((place, std::array::from_fn(|channel| around[channel] - own[channel])))
        };
        layer.iter().filter_map(offset).collect()
    }

    /// The offsets of the border, but for a [share](TEXTURE) of that by which each differs from those beside it.
    fn with_texture(&self, layer: &[usize], offsets: Offsets) -> Offsets {
        let smooth = self.means(layer, &offsets);
        let part = |(place, offset): (usize, [f32; 3])| {
            let smooth = smooth[&place];
            (place, std::array::from_fn(|c| offset[c] + TEXTURE * (smooth[c] - offset[c])))
        };
        offsets.into_iter().map(part).collect()
    }

    /// The mean of the offsets around each of these places.
    fn means(&self, layer: &[usize], offsets: &Offsets) -> Offsets {
        let mean_around = |&place: &usize| {
            let near = self.around(place).filter_map(|other| offsets.get(&other).copied());
            Some((place, mean(near)?))
        };
        layer.iter().filter_map(mean_around).collect()
    }
}

/// The mean of values, `None` of none.
fn mean(values: impl Iterator<Item = [f32; 3]>) -> Option<[f32; 3]> {
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for value in values {
        sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    (count > 0.0).then(|| sum.map(|sum| sum / count))
}
