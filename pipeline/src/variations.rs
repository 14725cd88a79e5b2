//! Variations and reconstructions: an image's embedding, or a few principal components of it, decoded (2204.06125, sections
//! 3.1 and 4, figure 7).

use images::RgbImage;
use prior::Pca;
use tch::Tensor;

use crate::{Error, Observer, Pipeline, Request, Settings};

impl Pipeline {
    /// Variations of an image, one for each seed, as diffusers' image-variation pipeline samples them: its CLIP embedding is
    /// decoded with an empty caption, and the prior takes no part.
    pub fn vary(
        &self,
        image: &RgbImage,
        seeds: &[u64],
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        let settings = settings.clone().without_prior();
        let embedding = self.encode_images(std::slice::from_ref(image))?; // [1, E]
        let request = |&seed| Request::of_embedding(&embedding, seed, settings.clone());
        self.sample_each(seeds.iter().map(request), observer)
    }

    /// The image of the first `dimensions` principal components of an image embedding `[1, E]`.
    pub fn reconstruct(
        &self,
        embedding: &Tensor,
        components: &Pca,
        dimensions: i64,
        seed: u64,
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<RgbImage, Error> {
        let truncated = components.truncate(embedding, dimensions).to_kind(embedding.kind());
        let settings = settings.clone().without_prior();
        let request = Request::of_embedding(&truncated, seed, settings);
        Ok(self.sample(&[request], observer)?.remove(0))
    }
}
