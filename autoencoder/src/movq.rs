//! The autoencoder.

use layers::{Conv2d, Params};
use tch::Tensor;

use crate::config::MovqConfig;
use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::quantizer::VectorQuantizer;

/// MoVQ (2209.09002; tensors named as in the published Kandinsky 2.2). It computes without gradients.
pub struct Movq {
    encoder: Encoder,
    quant_conv: Conv2d,
    quantizer: VectorQuantizer,
    post_quant_conv: Conv2d,
    decoder: Decoder,
    config: MovqConfig,
}

impl Movq {
    /// Takes the whole of an autoencoder's file.
    pub fn new(p: &Params, config: &MovqConfig) -> Self {
        let latents = config.latent_channels;
        Self {
            encoder: Encoder::new(&(p / "encoder"), config),
            quant_conv: Conv2d::new(&(p / "quant_conv"), latents, latents, 1),
            quantizer: VectorQuantizer::new(&(p / "quantize"), config.codes, latents),
            post_quant_conv: Conv2d::new(&(p / "post_quant_conv"), latents, latents, 1),
            decoder: Decoder::new(&(p / "decoder"), config),
            config: config.clone(),
        }
    }

    /// The shape.
    pub fn config(&self) -> &MovqConfig {
        &self.config
    }

    /// The latents of images from -1 to 1, whose sides are multiples of the scale factor: `[B, image channels, H, W] ->
    /// [B, L, H / scale, W / scale]`.
    pub fn encode(&self, images: &Tensor) -> Tensor {
        tch::no_grad(|| self.quant_conv.forward(&self.encoder.forward(images)))
    }

    /// The nearest code of each latent: `[B, L, h, w] -> [B, L, h, w]`. Latent diffusion decodes without.
    pub fn quantize(&self, latents: &Tensor) -> Tensor {
        tch::no_grad(|| self.quantizer.lookup(&self.quantizer.indices(latents)))
    }

    /// Images around -1 to 1 of latents: `[B, L, h, w] -> [B, image channels, h * scale, w * scale]`. One image after the other,
    /// so that a batch takes no more memory than its largest image.
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        let decode = |latents: Tensor| {
            self.decoder.forward(&self.post_quant_conv.forward(&latents), &latents)
        };
        let (batch, ..) = latents.size4().expect("latents are [B, L, h, w]");
        let images = (0..batch).map(|n| decode(latents.narrow(0, n, 1)));
        tch::no_grad(|| Tensor::cat(&images.collect::<Vec<_>>(), 0))
    }
}
