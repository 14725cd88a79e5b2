//! Calibration: measures the errors of a model's diffusion prior over a dataset, by which Analytic-DPM (2201.06503) samples.

use std::ops::ControlFlow;

use diffusion::DenoisingErrors;
use pipeline::Pipeline;
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::data::{Data, SampleRequest, seeded};
use crate::embedding_dataset::EmbeddingDataset;
use crate::encoders::FrozenImageEncoder;
use crate::trainer::CALIBRATION_SUBSET;

/// Samples that the prior takes at once, each with the keys and values of a caption of its own.
const BATCH: u64 = 32;

/// The measurement of a diffusion prior's errors.
pub struct Calibration<'a> {
    /// The model, with all that images, captions and the prior need prepared.
    pub pipeline: &'a Pipeline,
    /// Images with captions, or embeddings of the model's image encoder. Of a synthetic dataset, images that no model learned
    /// from.
    pub data: &'a Data,
    /// How many samples; where there are fewer they are noised anew.
    pub samples: u64,
    /// Fixes the order of files, and the noise.
    pub seed: u64,
    /// The dtype that the image encoder computes in.
    pub kind: Kind,
    /// Its device.
    pub device: Device,
}

impl Calibration<'_> {
    /// The errors. `observe` is called with the number of samples that are done before every few of them, and at the end;
    /// `None` where it stopped the work.
    pub fn run(
        &self,
        observe: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<DenoisingErrors>, Error> {
        let (embeddings, size) = self.embeddings()?;
        let request = SampleRequest {
            subset: CALIBRATION_SUBSET,
            seed: self.seed,
            size,
            hard_negatives: false,
            noise: 0,
        };
        let timesteps = DenoisingErrors::grid(self.pipeline.prior_scheduler()?.train_timesteps);
        let mut generator = seeded("calibration", [self.seed, 0, 0]);
        let mut sums = vec![0.0; timesteps.len()];
        for first in (0..self.samples).step_by(BATCH as usize) {
            if observe(first).is_break() {
                return Ok(None);
            }
            let count = BATCH.min(self.samples - first);
            let batch = embeddings.draw(request, first, count as usize)?;
            let text = self.pipeline.encode_text(&batch.captions)?;
            let eps = generator.normal(batch.embedding.numel());
            let eps = Tensor::from_slice(&eps).view_as(&batch.embedding); // [B, E]
            let errors =
                self.pipeline.denoising_errors(&text, &batch.embedding, &eps, &timesteps)?;
            for (sum, error) in sums.iter_mut().zip(errors) {
                *sum += error * count as f64;
            }
        }
        let _ = observe(self.samples); // there is nothing left to stop
        let mean_squared_errors = sums.iter().map(|sum| sum / self.samples as f64).collect();
        Ok(Some(DenoisingErrors { samples: self.samples, timesteps, mean_squared_errors }))
    }

    /// The embeddings, and the side of the images that they are of.
    fn embeddings(&self) -> Result<(EmbeddingDataset, u32), Error> {
        let folder = self.pipeline.image_encoder_folder()?;
        let encoder = |kind| families::open_image_encoder(&folder, self.device, kind);
        match self.data {
            Data::Embeddings(cache) => {
                cache.check(&folder.fingerprint()?, self.pipeline.embedding_width()?)?;
                Ok((EmbeddingDataset::Cache { cache: cache.clone(), device: self.device }, 0))
            }
            data => {
                let image = encoder(self.kind)?;
                let encoder = FrozenImageEncoder { image, kind: self.kind, device: self.device };
                let size = encoder.size() as u32;
                let (data, encoder) = (data.clone(), Box::new(encoder));
                Ok((EmbeddingDataset::Images { data, encoder }, size))
            }
        }
    }
}
