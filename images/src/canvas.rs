//! Squares cut from an image, with reflections around it, and painted squares laid back where a mask says.

use image::RgbImage;

use crate::mask::{Margins, PaintMask, Rect};
use crate::regions::Region;
use crate::resize::{Filter, resize};

/// The pixels of a rectangle, which may lie outside the image: there its reflection is, in which the pixels of the border are
/// not doubled. Panics where the image or the rectangle has no pixels.
pub fn crop(image: &RgbImage, rect: Rect) -> RgbImage {
    let (width, height) = image.dimensions();
    let columns: Vec<u32> = (rect.x..rect.right()).map(|x| reflect(x, width)).collect();
    let rows: Vec<u32> = (rect.y..rect.bottom()).map(|y| reflect(y, height)).collect();
    RgbImage::from_fn(rect.width, rect.height, |x, y| {
        image[(columns[x as usize], rows[y as usize])]
    })
}

/// An image with margins, in which its reflection is.
pub fn extend(image: &RgbImage, margins: Margins) -> RgbImage {
    crop(image, margins.rect(image.dimensions()))
}

/// The place that a place outside of `length` pixels reflects.
fn reflect(place: i64, length: u32) -> u32 {
    let last = i64::from(length) - 1;
    let turned = place.rem_euclid((2 * last).max(1));
    turned.min(2 * last - turned).max(0) as u32
}

impl PaintMask {
    /// A square cut into `cells` by `cells`, row by row: true where a cell has a pixel that is painted, or that reflects such a
    /// one. Of a thin stroke nothing is lost, and no cell that counts as known shows what is to be painted over.
    pub fn cover(&self, square: Rect, cells: u32) -> Vec<bool> {
        let cells = cells as usize;
        let (width, height) = self.dimensions();
        let reach = |pixel: u32| {
            let (pixel, side) = (pixel as usize, square.width as usize);
            pixel * cells / side..=((pixel + 1) * cells - 1) / side
        };
        let mut cover = vec![false; cells * cells];
        for (y, row) in (0..square.height).zip(square.y..) {
            let row = reflect(row, height);
            let mut line = vec![false; cells];
            for (x, column) in (0..square.width).zip(square.x..) {
                if self.contains(reflect(column, width), row) {
                    line[reach(x)].fill(true);
                }
            }
            for cell_row in reach(y) {
                let cover = &mut cover[cell_row * cells..][..cells];
                cover.iter_mut().zip(&line).for_each(|(cell, painted)| *cell |= painted);
            }
        }
        cover
    }

    /// How far each painted pixel is from the nearest other pixel of the image, as a king moves, and at most `most`; 0 at pixels
    /// that are not painted.
    pub(crate) fn distances(&self, most: u16) -> Vec<u16> {
        let (width, height) = (self.dimensions().0 as usize, self.dimensions().1 as usize);
        let mut distances: Vec<u16> =
            self.rows().flatten().map(|&painted| if painted { most } else { 0 }).collect();
        // A pixel's neighbours before it in the order of reading, then those behind it.
        let mut relax = |x: usize, y: usize, next: bool| {
            let place = y * width + x;
            let side = if next { x + 1 < width } else { x > 0 };
            let beside = side.then(|| if next { place + 1 } else { place - 1 });
            let has_row = if next { y + 1 < height } else { y > 0 };
            let row = has_row.then(|| if next { place + width } else { place - width });
            let row = row.into_iter().flat_map(|middle| {
                (middle - usize::from(x > 0))..=(middle + usize::from(x + 1 < width))
            });
            let nearest = beside.into_iter().chain(row).map(|other| distances[other]).min();
            let nearest = nearest.unwrap_or(most).saturating_add(1);
            distances[place] = distances[place].min(nearest);
        };
        (0..height).for_each(|y| (0..width).for_each(|x| relax(x, y, false)));
        (0..height).rev().for_each(|y| (0..width).rev().for_each(|x| relax(x, y, true)));
        distances
    }
}

/// How much of a painted image each pixel of a mask takes.
pub struct Seam {
    mask: PaintMask,
    /// The distance of each pixel from the border, and at most one more than the pixels over which it grows; none where it does
    /// not grow.
    distances: Vec<u16>,
}

impl Seam {
    /// The seam inside a mask, over so many pixels, and over no more than leave the innermost ones of each region to the painted
    /// image; over 0 of them every pixel of the mask is the painted image's. The border of the image is none of the mask's.
    pub fn new(mask: &PaintMask, feather: u16) -> Self {
        let distances = match feather {
            0 => Vec::new(),
            feather => mask.distances(feather.saturating_add(1)),
        };
        Self { mask: mask.clone(), distances }
    }

    /// The pixels over which it grows in a region: no more than leave its innermost ones to the painted image.
    pub fn feather(&self, region: &Region) -> u16 {
        if self.distances.is_empty() {
            return 0;
        }
        let width = self.mask.dimensions().0 as usize;
        let Rect { x, y, width: columns, height } = region.bounds;
        let rows = self.distances.chunks_exact(width).skip(y as usize).take(height as usize);
        let deepest = rows.flat_map(|row| &row[x as usize..][..columns as usize]).max();
        deepest.map_or(0, |deepest| deepest.saturating_sub(1))
    }

    /// Lays a region's painted square, of any size, on the image that it was cut from, in the pixels of the mask alone.
    pub fn lay(&self, square: &RgbImage, region: &Region, image: &mut RgbImage) {
        let side = region.square.width;
        let square = resize(square, side, side, Filter::Bicubic);
        let width = image.width() as usize;
        let whole = u32::from(self.feather(region)) + 1;
        for y in region.bounds.y..region.bounds.bottom() {
            for x in region.bounds.x..region.bounds.right() {
                let (column, row) = (x as u32, y as u32);
                if !self.mask.contains(column, row) {
                    continue;
                }
                let place = row as usize * width + column as usize;
                let weight = self.distances.get(place).map_or(whole, |&d| whole.min(d.into()));
                let painted = square[((x - region.square.x) as u32, (y - region.square.y) as u32)];
                for (level, painted) in image[(column, row)].0.iter_mut().zip(painted.0) {
                    let sum = u32::from(*level) * (whole - weight) + u32::from(painted) * weight;
                    *level = ((sum + whole / 2) / whole) as u8;
                }
            }
        }
    }
}
