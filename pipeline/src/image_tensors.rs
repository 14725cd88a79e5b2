//! Images of tensors.

use images::RgbImage;
use tch::{Device, Kind, Tensor};

/// Why preprocessed pixels become a tensor.
pub(crate) const PLANES: &str = "preprocessed pixels lie in rows";

/// Images of `[B, 3, H, W]` with values from -1 to 1; values beyond are clamped, and halves round to the even number.
pub fn to_images(pixels: &Tensor) -> Vec<RgbImage> {
    let (batch, _, height, width) = pixels.size4().expect("images are [B, 3, H, W]");
    let levels = (pixels.to_kind(Kind::Float) * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0;
    let bytes = levels.round().to_kind(Kind::Uint8).permute([0, 2, 3, 1]).contiguous(); // [B, H, W, 3]
    let bytes = bytes.to_device(Device::Cpu);
    let image = |n| {
        let row = Vec::<u8>::try_from(bytes.get(n).flatten(0, -1)).expect("the bytes of an image");
        RgbImage::from_raw(width as u32, height as u32, row).expect("H * W * 3 bytes")
    };
    (0..batch).map(image).collect()
}
