//! Between tensors and 8-bit pictures, and many of those on one sheet.

use image::{Rgb, RgbImage, imageops};
use tch::{Kind, Tensor};

/// Pictures of `[B, 3, H, W]` with values from -1 to 1; what lies beyond is clamped, and halves go to the even number.
pub fn to_pictures(pixels: &Tensor) -> Vec<RgbImage> {
    let (batch, _, height, width) = pixels.size4().expect("pictures are [B, 3, H, W]");
    let levels = (pixels.to_kind(Kind::Float) * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0;
    let bytes = levels.round().to_kind(Kind::Uint8).permute([0, 2, 3, 1]).contiguous(); // [B, H, W, 3]
    let bytes = bytes.to_device(tch::Device::Cpu);
    (0..batch)
        .map(|i| {
            let row =
                Vec::<u8>::try_from(bytes.get(i).flatten(0, -1)).expect("the bytes of one picture");
            RgbImage::from_raw(width as u32, height as u32, row).expect("H * W * 3 bytes")
        })
        .collect()
}

/// Pixels between two pictures of a sheet.
const GAP: u32 = 4;

/// Pictures in rows of `columns`, on white; each is placed in a cell as large as the largest.
pub fn contact_sheet(pictures: &[RgbImage], columns: u32) -> RgbImage {
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(0) + GAP;
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(0) + GAP;
    let columns = columns.clamp(1, pictures.len().max(1) as u32);
    let rows = (pictures.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * width + GAP, rows * height + GAP, Rgb([255; 3]));
    for (picture, at) in pictures.iter().zip(0..) {
        let (x, y) = (GAP + at % columns * width, GAP + at / columns * height);
        imageops::replace(&mut sheet, picture, x.into(), y.into());
    }
    sheet
}

/// The first `count` pictures of `side` pixels of a [`contact_sheet`] with as many columns; none where the sheet has another
/// size than that of so many.
pub fn cut_sheet(sheet: &RgbImage, side: u32, count: u32, columns: u32) -> Option<Vec<RgbImage>> {
    let cell = side + GAP;
    let columns = columns.clamp(1, count.max(1));
    let size = (columns * cell + GAP, count.div_ceil(columns) * cell + GAP);
    let picture = |at: u32| {
        let (x, y) = (GAP + at % columns * cell, GAP + at / columns * cell);
        imageops::crop_imm(sheet, x, y, side, side).to_image()
    };
    (sheet.dimensions() == size).then(|| (0..count).map(picture).collect())
}
