//! CLIP's two encoders as the prior and the decoder learn from them: an earlier leg trained them, and nothing here learns.

use clip::{TextEncoder, Tokenizer, VisionEncoder};
use tch::{Device, Kind, Tensor, no_grad};

use crate::Error;
use crate::data::{resized, to_pixels};

/// Captions to embeddings and states.
pub struct CaptionEncoder {
    /// The network.
    pub text: TextEncoder,
    /// Captions to tokens.
    pub tokenizer: Tokenizer,
    /// What it computes in.
    pub kind: Kind,
    /// Where it lies.
    pub device: Device,
}

/// Captions as the prior and the decoder take them.
pub struct EncodedCaptions {
    /// `[B, E]`
    pub embedding: Tensor,
    /// `[B, T, D]`
    pub states: Tensor,
    /// `[B, T]`, true for tokens.
    pub mask: Tensor,
}

impl CaptionEncoder {
    /// Encodes captions, with the empty one in the place of those that `dropped [B]` marks: what sampling uses where it
    /// wants no caption.
    pub fn encode(&self, captions: &[String], dropped: &Tensor) -> Result<EncodedCaptions, Error> {
        let dropped = Vec::<bool>::try_from(dropped).expect("a mask of captions");
        let kept: Vec<&str> = captions
            .iter()
            .zip(dropped)
            .map(|(caption, dropped)| if dropped { "" } else { caption.as_str() })
            .collect();
        let tokens = self.tokenizer.encode(&kept).map_err(|e| Error::Tokenizer(e.to_string()))?;
        let encoding = no_grad(|| self.text.forward(&tokens.ids.to_device(self.device)));
        let mask = tokens.mask.to_device(self.device);
        Ok(EncodedCaptions { embedding: encoding.embedding, states: encoding.states, mask })
    }
}

/// Pictures to embeddings.
pub struct PictureEncoder {
    /// The network.
    pub image: VisionEncoder,
    /// What it computes in.
    pub kind: Kind,
    /// Where it lies.
    pub device: Device,
}

impl PictureEncoder {
    /// The side of the pictures that it takes.
    pub fn size(&self) -> i64 {
        self.image.config().image_size
    }

    /// E, the numbers in an embedding.
    pub fn embedding(&self) -> i64 {
        self.image.config().embedding
    }

    /// Pictures of any size, `[B, 3, S, S]` u8, as embeddings `[B, E]`.
    pub fn encode(&self, pictures: &Tensor) -> Tensor {
        let pictures = pictures.to_device(self.device).to_kind(Kind::Float);
        let pixels = to_pixels(&resized(&pictures, self.size(), (0.0, 255.0)));
        no_grad(|| self.image.forward(&pixels.to_kind(self.kind)))
    }
}
