//! CLIP's two encoders, trained before and frozen, as the priors and the decoder learn from them.

use clip::{ImageEncoder, TextEncoder, Tokenizer};
use tch::{Device, Kind, Tensor, no_grad};

use crate::Error;
use crate::data::{resized, to_pixels};

/// The text encoder with its tokenizer.
pub struct FrozenTextEncoder {
    /// The network.
    pub text: TextEncoder,
    /// Captions to tokens.
    pub tokenizer: Tokenizer,
    /// The dtype that it computes in.
    pub kind: Kind,
    /// Its device.
    pub device: Device,
}

/// Captions as the priors and the decoder take them.
pub struct EncodedCaptions {
    /// `[B, E]`
    pub embedding: Tensor,
    /// `[B, T, D]`
    pub states: Tensor,
    /// `[B, T]`, true for tokens.
    pub mask: Tensor,
}

/// Captions, with the empty one in the place of those that `dropped [B]` marks.
pub(crate) fn without_dropped<'a>(captions: &'a [String], dropped: &Tensor) -> Vec<&'a str> {
    let dropped = Vec::<bool>::try_from(dropped).expect("a mask of captions");
    let captions = captions.iter().zip(dropped);
    captions.map(|(caption, dropped)| if dropped { "" } else { caption }).collect()
}

impl FrozenTextEncoder {
    /// Encodes captions, with the empty one in the place of those that `dropped [B]` marks: the unconditional input of
    /// guidance.
    pub fn encode(&self, captions: &[String], dropped: &Tensor) -> Result<EncodedCaptions, Error> {
        let captions = without_dropped(captions, dropped);
        let tokens =
            self.tokenizer.encode(&captions).map_err(|e| Error::Tokenizer(e.to_string()))?;
        let encoding = no_grad(|| self.text.forward(&tokens.ids.to_device(self.device)));
        let mask = tokens.mask.to_device(self.device);
        Ok(EncodedCaptions { embedding: encoding.embedding, states: encoding.states, mask })
    }
}

/// The image encoder.
pub struct FrozenImageEncoder {
    /// The network.
    pub image: ImageEncoder,
    /// The dtype that it computes in.
    pub kind: Kind,
    /// Its device.
    pub device: Device,
}

impl FrozenImageEncoder {
    /// The side of the images that it takes.
    pub fn size(&self) -> i64 {
        self.image.config().image_size()
    }

    /// E, the numbers in an embedding.
    pub fn embedding(&self) -> i64 {
        self.image.config().embedding()
    }

    /// Embeds images of any size, `[B, 3, S, S]` u8 to `[B, E]`.
    pub fn encode(&self, images: &Tensor) -> Tensor {
        let images = images.to_device(self.device).to_kind(Kind::Float);
        let pixels = to_pixels(&resized(&images, self.size(), (0.0, 255.0)));
        no_grad(|| self.image.forward(&pixels.to_kind(self.kind)))
    }
}
