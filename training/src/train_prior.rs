//! Trains the diffusion prior: from a caption to the image embedding (2204.06125, section 2.2).

use std::path::Path;

use families::karlo;
use layers::Params;
use prior::{Pca, Prior};
use tch::{Kind, Tensor, no_grad};

use crate::embedding_dataset::{EmbeddingBatch, EmbeddingStream};
use crate::encoders::FrozenTextEncoder;
use crate::init_from::Component;
use crate::noising::Noising;
use crate::recipe::PriorRecipe;
use crate::run::{Loss, Metrics, Objective, Observer, Weights, accumulate};
use crate::trainer::{ENCODERS, PRIOR_SUBSET, STATISTICS_SUBSET, request};
use crate::{Error, Trainer};

const COMPONENTS: &[Component] = &[Component { prefix: "", folder: "prior" }];

/// Predicts the clean whitened embedding from a noised one, under the mean squared error.
struct PriorObjective<'a> {
    model: Prior,
    encoder: FrozenTextEncoder,
    noising: Noising,
    stream: EmbeddingStream,
    recipe: &'a PriorRecipe,
}

impl PriorObjective<'_> {
    fn loss(&self) -> Result<Tensor, Error> {
        let (batch, mut generators) = self.stream.next_batch()?;
        let EmbeddingBatch { embedding, captions } = batch;
        let dropped = generators.dropout_mask(self.recipe.drop_caption);
        let captions = self.encoder.encode(&captions, &dropped)?;

        let clean = self.model.whiten(&embedding).to_kind(Kind::Float); // [B, E]
        let eps = generators.normal(&clean.size()[1..]);
        let noised = self.noising.noise(&clean, &eps, &mut generators);
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

impl Objective for PriorObjective<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.recipe.run.accumulate, |weight| {
            let loss = self.loss()?;
            (&loss * weight).backward();
            Ok(Loss { value: loss.double_value(&[]), metrics: Metrics::new() })
        })
    }
}

impl Trainer {
    /// Trains the prior, and writes it with its scheduler and the principal components of the embeddings that it learns from.
    pub fn train_prior(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        let recipe = &self.recipe.prior;
        let size = self.recipe.clip.vision.image_size;
        let (encoder, images) = (self.text_encoder()?, self.embeddings()?);
        let run = self.run("prior", &recipe.run, ENCODERS)?;
        // The statistics are measured, not trained.
        let trained = |name: &str| !name.starts_with("clip_");
        let (mut model, optimizer) =
            self.build(&run, COMPONENTS, |p: &Params| Prior::new(p, &recipe.model), trained)?;
        let first =
            images.first(request(STATISTICS_SUBSET, size, &recipe.run), recipe.statistics_scenes);
        let first = first.map(|batch| Ok(batch?.embedding));
        let embeddings = Tensor::cat(&first.collect::<Result<Vec<_>, Error>>()?, 0); // [N, E]
        set_statistics(&mut model, &embeddings);
        self.take_of_first(&[&model.mean, &model.std])?;
        let components = self.model.join(karlo::PRINCIPAL_COMPONENTS);
        self.first(|| Ok(families::save_pca(&components, &Pca::fit(&embeddings))?))?;
        let statistics = [
            ("clip_mean".to_owned(), model.mean.copy()),
            ("clip_std".to_owned(), model.std.copy()),
        ];
        let save = |folder: &Path, averaged: &Weights| {
            let all = averaged.iter().chain(&statistics);
            let all: Vec<_> = all.map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
            families::save_prior(&folder.join("prior"), &all, &recipe.model)?;
            self.save_index(folder, None)
        };
        self.train(run, optimizer, observer, save, |step| {
            let request = request(PRIOR_SUBSET, size, &recipe.run);
            let noising = Noising::new(encoder.device);
            let stream = images.stream(request, self.plan(&recipe.run), step);
            Ok(PriorObjective { model, encoder, noising, stream, recipe })
        })
    }
}

/// Sets the mean and the deviation that whiten to those of `embeddings [N, E]`.
fn set_statistics(prior: &mut Prior, embeddings: &Tensor) {
    no_grad(|| {
        prior.mean = embeddings.mean_dim([0i64].as_slice(), true, Kind::Float);
        prior.std = embeddings.std_dim([0i64].as_slice(), true, true);
    });
}
