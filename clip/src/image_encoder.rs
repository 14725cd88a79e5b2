//! CLIP's image encoder, of either kind.

use tch::Tensor;

use crate::{ModifiedResNet, ModifiedResNetConfig, VisionConfig, VisionEncoder};

/// The shape of an image encoder of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageEncoderConfig {
    /// A vision transformer's.
    VisionTransformer(VisionConfig),
    /// A ResNet's.
    ResNet(ModifiedResNetConfig),
}

impl ImageEncoderConfig {
    /// Height and width of an image in pixels.
    pub fn image_size(&self) -> i64 {
        match self {
            Self::VisionTransformer(config) => config.image_size,
            Self::ResNet(config) => config.image_size,
        }
    }

    /// E, the width of the embedding.
    pub fn embedding(&self) -> i64 {
        match self {
            Self::VisionTransformer(config) => config.embedding,
            Self::ResNet(config) => config.embedding,
        }
    }
}

/// An image encoder: a vision transformer or a ResNet (CLIP, section 2.4).
pub enum ImageEncoder {
    /// A vision transformer.
    VisionTransformer(VisionEncoder),
    /// A ResNet.
    ResNet(ModifiedResNet),
}

impl ImageEncoder {
    /// Normalised images `[B, 3, H, W]` of the encoder's size `->` embedding `[B, E]`, not normalised.
    ///
    /// Panics on images of another size.
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        match self {
            Self::VisionTransformer(encoder) => encoder.forward(pixels),
            Self::ResNet(encoder) => encoder.forward(pixels),
        }
    }

    /// The shape that this encoder was made with.
    pub fn config(&self) -> ImageEncoderConfig {
        match self {
            Self::VisionTransformer(encoder) => {
                ImageEncoderConfig::VisionTransformer(encoder.config().clone())
            }
            Self::ResNet(encoder) => ImageEncoderConfig::ResNet(encoder.config().clone()),
        }
    }
}
