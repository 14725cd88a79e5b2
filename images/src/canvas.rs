//! Squares cut from an image, with reflections around it.

use image::RgbImage;

use crate::mask::{Margins, PaintMask, Rect};

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
