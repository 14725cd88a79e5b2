//! The blocks of a level, and those in the middle.

use layers::Params;
use tch::Tensor;

use crate::attention::Attention;
use crate::norm::NormKind;
use crate::resnet::ResnetBlock;

/// Residual blocks, each with the attention behind it where there is one.
pub(crate) struct Blocks(Vec<(ResnetBlock, Option<Attention>)>);

impl Blocks {
    /// Takes `resnets` and, where the blocks attend, `attentions`; `inputs` has one number a block.
    pub(crate) fn new(
        p: &Params,
        inputs: &[i64],
        channels: i64,
        attends: bool,
        norm: NormKind,
    ) -> Self {
        let block = |(n, &inputs): (usize, &i64)| {
            let resnet = p / format!("resnets.{n}");
            let resnet = ResnetBlock::new(&resnet, inputs, channels, norm);
            let attention = p / format!("attentions.{n}");
            (resnet, attends.then(|| Attention::new(&attention, channels, norm)))
        };
        Self(inputs.iter().enumerate().map(block).collect())
    }

    pub(crate) fn forward(&self, x: Tensor, latents: Option<&Tensor>) -> Tensor {
        self.0.iter().fold(x, |x, (resnet, attention)| {
            let x = resnet.forward(&x, latents);
            match attention {
                Some(attention) => attention.forward(&x, latents),
                None => x,
            }
        })
    }
}

/// The coarsest blocks between the encoder's levels and its output, or the decoder's input and its levels.
pub(crate) struct Middle {
    first: ResnetBlock,
    attention: Attention,
    last: ResnetBlock,
}

impl Middle {
    /// Takes `resnets.0`, `attentions.0` and `resnets.1`.
    pub(crate) fn new(p: &Params, channels: i64, norm: NormKind) -> Self {
        Self {
            first: ResnetBlock::new(&(p / "resnets.0"), channels, channels, norm),
            attention: Attention::new(&(p / "attentions.0"), channels, norm),
            last: ResnetBlock::new(&(p / "resnets.1"), channels, channels, norm),
        }
    }

    /// `[B, C, H, W] -> [B, C, H, W]`
    pub(crate) fn forward(&self, x: Tensor, latents: Option<&Tensor>) -> Tensor {
        let x = self.first.forward(&x, latents);
        let x = self.attention.forward(&x, latents);
        self.last.forward(&x, latents)
    }
}
