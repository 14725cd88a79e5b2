//! Tensors to 8-bit images.

use images::RgbImage;
use tch::{Kind, Tensor};

/// Why preprocessed pixels become a tensor.
pub(crate) const PLANES: &str = "preprocessed pixels lie in rows";

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
