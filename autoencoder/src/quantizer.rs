//! The codebook that the latents were trained with.

use layers::{Init, Params};
use tch::Tensor;

/// The latents that are compared with all codes at once.
const AT_ONCE: i64 = 4096;

/// A codebook of latents (1711.00937, section 3.1).
pub struct VectorQuantizer {
    codes: Tensor, // [N, L]
}

impl VectorQuantizer {
    /// Takes `embedding.weight [codes, latent_channels]`.
    pub fn new(p: &Params, codes: i64, latent_channels: i64) -> Self {
        let init = Init::Uniform(1.0 / codes as f64);
        Self { codes: p.take("embedding.weight", &[codes, latent_channels], init) }
    }

    /// The index of the code that is the nearest to each latent, by Euclidean distance: `[B, L, h, w] -> [B, h, w]` (i64).
    pub fn indices(&self, latents: &Tensor) -> Tensor {
        let (batch, channels, height, width) = latents.size4().expect("latents are [B, L, h, w]");
        let places = latents.permute([0, 2, 3, 1]).reshape([-1, channels]);
        let nearest = |places: &Tensor| {
            let distances = Tensor::cdist(places, &self.codes, 2.0, None::<i64>);
            distances.argmin(1, false)
        };
        let indices: Vec<Tensor> = places.split(AT_ONCE, 0).iter().map(nearest).collect();
        Tensor::cat(&indices, 0).view([batch, height, width])
    }

    /// The codes at `indices [B, h, w]` (i64), `-> [B, L, h, w]`.
    pub fn lookup(&self, indices: &Tensor) -> Tensor {
        Tensor::embedding(&self.codes, indices, -1, false, false).permute([0, 3, 1, 2]).contiguous()
    }
}
