//! The residual block, which also changes the resolution.

use layers::{Conv2d, GroupNorm, Init, Linear, Params};
use tch::Tensor;

use crate::config::UNetConfig;

/// The change of resolution of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// The same.
    Keep,
    /// Half: the mean of each 2 x 2 pixels.
    Halve,
    /// Double: each pixel four times.
    Double,
}

impl Resample {
    /// `[B, C, H, W] -> [B, C, H', W']`
    fn forward(self, x: Tensor) -> Tensor {
        match self {
            Self::Keep => x,
            Self::Halve => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>),
            Self::Double => {
                let (_, _, height, width) = x.size4().expect("images are [B, C, H, W]");
                x.upsample_nearest2d([2 * height, 2 * width], None, None)
            }
        }
    }
}

/// A residual block with the time embedding (guided-diffusion's `ResBlock`).
pub struct ResnetBlock {
    norm_in: GroupNorm,
    conv_in: Conv2d,
    time: Linear,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    skip: Option<Conv2d>,
    scale_shift: bool,
    resample: Resample,
}

impl ResnetBlock {
    /// Takes `norm1`, `conv1`, `time_emb_proj`, `norm2`, `conv2` and, where the channels change, `conv_shortcut`.
    pub fn new(
        p: &Params,
        inputs: i64,
        outputs: i64,
        config: &UNetConfig,
        resample: Resample,
    ) -> Self {
        let &UNetConfig { norm_groups, norm_eps, scale_shift, .. } = config;
        let projection = if scale_shift { 2 * outputs } else { outputs };
        Self {
            norm_in: GroupNorm::new(&(p / "norm1"), norm_groups, inputs, norm_eps),
            conv_in: Conv2d::new(&(p / "conv1"), inputs, outputs, 3),
            time: Linear::new(&(p / "time_emb_proj"), config.time_width(), projection),
            norm_out: GroupNorm::new(&(p / "norm2"), norm_groups, outputs, norm_eps),
            // A new block starts as its skip.
            conv_out: Conv2d::with_init(&(p / "conv2"), outputs, outputs, 3, Init::Zeros),
            skip: (inputs != outputs)
                .then(|| Conv2d::new(&(p / "conv_shortcut"), inputs, outputs, 1)),
            scale_shift,
            resample,
        }
    }

    /// The projection of the activated time embedding, `[B, time width] -> [B, outputs or twice as many]`.
    pub fn project_time(&self, time: &Tensor) -> Tensor {
        self.time.forward(time)
    }

    /// `x [B, inputs, H, W]` and the projected `time -> [B, outputs, H', W']`
    pub fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        let h = self.norm_in.forward_silu(x, None);
        let mut h = match self.resample {
            Resample::Double => self.conv_in.forward_doubled(&h),
            resample => self.conv_in.forward(&resample.forward(h)),
        }; // [B, outputs, H', W']
        let h = if self.scale_shift {
            let [scale, shift] = <[Tensor; 2]>::try_from(time.chunk(2, 1)).expect("two halves"); // [B, outputs]
            self.norm_out.forward_silu(&h, Some([&scale, &shift]))
        } else {
            h += time.unsqueeze(-1).unsqueeze(-1);
            self.norm_out.forward_silu(&h, None)
        };
        let mut h = self.conv_out.forward(&h);
        let x = self.resample.forward(x.shallow_clone());
        h += match &self.skip {
            Some(skip) => skip.forward(&x),
            None => x,
        };
        h
    }
}
