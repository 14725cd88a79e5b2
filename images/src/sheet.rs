//! Contact sheets: many images on one.

use image::{Rgb, RgbImage, imageops};

/// Pixels between two images of a sheet.
const GAP: u32 = 4;

/// Images in rows of `columns`, on white; each lies in a cell as large as the largest.
pub fn contact_sheet(images: &[RgbImage], columns: u32) -> RgbImage {
    let width = images.iter().map(RgbImage::width).max().unwrap_or(0) + GAP;
    let height = images.iter().map(RgbImage::height).max().unwrap_or(0) + GAP;
    let columns = columns.clamp(1, images.len().max(1) as u32);
    let rows = (images.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * width + GAP, rows * height + GAP, Rgb([255; 3]));
    for (image, at) in images.iter().zip(0..) {
        let (x, y) = (GAP + at % columns * width, GAP + at / columns * height);
        imageops::replace(&mut sheet, image, x.into(), y.into());
    }
    sheet
}

/// The first `count` images of `side` pixels of a [`contact_sheet`] with as many columns; none where the sheet has another
/// size than that of so many.
pub fn cut_sheet(sheet: &RgbImage, side: u32, count: u32, columns: u32) -> Option<Vec<RgbImage>> {
    let cell = side + GAP;
    let columns = columns.clamp(1, count.max(1));
    let size = (columns * cell + GAP, count.div_ceil(columns) * cell + GAP);
    let image = |at: u32| {
        let (x, y) = (GAP + at % columns * cell, GAP + at / columns * cell);
        imageops::crop_imm(sheet, x, y, side, side).to_image()
    };
    (sheet.dimensions() == size).then(|| (0..count).map(image).collect())
}
