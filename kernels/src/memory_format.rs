//! Where the numbers of a `[B, C, H, W]` lie in memory: channels first, or channels last.

use tch::Tensor;

/// `[B, C, H, W]` with a pixel's channels side by side in memory.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Whether a pixel's channels lie side by side in memory, and not each channel's pixels.
pub fn is_channels_last(x: &Tensor) -> bool {
    !x.is_contiguous() && x.permute([0, 2, 3, 1]).is_contiguous()
}
