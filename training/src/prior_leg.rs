//! The diffusion prior: from a caption to the whitened image embedding (2204.06125, section 2.2).

use noise::Generator;
use prior::Prior;
use tch::{Kind, Tensor, no_grad};

use crate::data::{drops, normal};
use crate::embedded::{Embedded, EmbeddedStream};
use crate::encoders::CaptionEncoder;
use crate::noising::Noising;
use crate::recipe::PriorRecipe;
use crate::run::{Figures, in_parts};
use crate::{Error, Leg};

/// Sets the mean and the deviation that whiten to those of `embeddings [N, E]`.
pub fn set_statistics(prior: &mut Prior, embeddings: &Tensor) {
    no_grad(|| {
        prior.mean = embeddings.mean_dim([0i64].as_slice(), true, Kind::Float);
        prior.std = embeddings.std_dim([0i64].as_slice(), true, true);
    });
}

/// Predicts the clean whitened embedding from a noised one, under the mean squared error.
pub struct PriorLeg {
    model: Prior,
    encoder: CaptionEncoder,
    noising: Noising,
    stream: EmbeddedStream,
    recipe: PriorRecipe,
}

impl PriorLeg {
    /// Trains `model` on the embeddings of `stream`.
    pub fn new(
        model: Prior,
        encoder: CaptionEncoder,
        stream: EmbeddedStream,
        recipe: &PriorRecipe,
    ) -> Self {
        Self {
            model,
            noising: Noising::new(encoder.device),
            encoder,
            stream,
            recipe: recipe.clone(),
        }
    }

    fn loss(&self, generator: &mut Generator) -> Result<Tensor, Error> {
        let Embedded { embedding, captions } = self.stream.next_batch()?;
        let dropped = drops(generator, self.recipe.drop_caption, captions.len());
        let captions = self.encoder.encode(&captions, &dropped)?;

        let clean = self.model.whiten(&embedding).to_kind(Kind::Float); // [B, E]
        let eps = normal(generator, &clean.size());
        let noised = self.noising.noise(&clean, &eps, generator);
        let predicted = self.model.forward(
            &noised.values.to_kind(self.encoder.kind),
            &noised.timesteps,
            &captions.embedding,
            &captions.states,
            &captions.mask,
        );
        let error = predicted.to_kind(Kind::Float) - clean;
        Ok(error.square().mean(Kind::Float))
    }
}

impl Leg for PriorLeg {
    fn backward(&mut self, generator: &mut Generator) -> Result<(f64, Figures), Error> {
        in_parts(self.recipe.run.accumulate, |share| {
            let loss = self.loss(generator)?;
            (&loss * share).backward();
            Ok((loss.double_value(&[]), Figures::new()))
        })
    }
}
