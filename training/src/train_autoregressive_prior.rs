//! Trains the autoregressive prior: from a caption to the codes of the image embedding (2204.06125, section 2.2).

use std::path::Path;

use families::karlo;
use layers::Params;
use prior::autoregressive::bits;
use prior::quantizer::unigram_bits;
use prior::{AutoregressivePrior, EmbeddingQuantizer, Pca, image_text_similarity};
use tch::{Device, Kind, Tensor};

use crate::data::SampleRequest;
use crate::embedding_dataset::{EmbeddingBatch, EmbeddingDataset, EmbeddingStream};
use crate::encoders::FrozenTextEncoder;
use crate::init_from::Component;
use crate::recipe::AutoregressiveRecipe;
use crate::run::{Loss, Objective, Observer, Weights, accumulate};
use crate::trainer::{AUTOREGRESSIVE_SUBSET, CODES_SUBSET, ENCODERS, request};
use crate::{Error, Trainer};

const COMPONENTS: &[Component] = &[Component { prefix: "", folder: karlo::AUTOREGRESSIVE_PRIOR }];

/// The quantiser of embeddings, and what it takes without a network.
struct Quantization {
    /// Embeddings to codes and back.
    quantizer: EmbeddingQuantizer,
    /// Bits a code under a model of each code's own frequencies: the network must stay below them.
    unigram_bits: f64,
}

/// Fits the quantiser, unless one was `learned` already, to the first embeddings of a request.
fn quantize(
    encoder: &FrozenTextEncoder,
    images: &EmbeddingDataset,
    request: SampleRequest,
    recipe: &AutoregressiveRecipe,
    learned: Option<EmbeddingQuantizer>,
) -> Result<Quantization, Error> {
    let (mut embeddings, mut similarities) = (Vec::new(), Vec::new());
    for batch in images.first(request, recipe.statistics_scenes) {
        let EmbeddingBatch { embedding, captions } = batch?;
        let all = Tensor::from_slice(&vec![false; captions.len()]);
        let captions = encoder.encode(&captions, &all)?;
        let similarity = image_text_similarity(&embedding, &captions.embedding);
        similarities.push(similarity.to_device(Device::Cpu));
        embeddings.push(embedding.to_device(Device::Cpu));
    }
    let embeddings = Tensor::cat(&embeddings, 0); // [S, E]
    let similarities = Tensor::cat(&similarities, 0); // [S]
    let (dimensions, buckets) = (recipe.model.dimensions, recipe.model.buckets);
    let fit = || {
        let pca = Pca::fit(&embeddings);
        let explained = pca.explained(dimensions);
        tracing::info!(explained, dimensions, buckets, "quantising embeddings");
        EmbeddingQuantizer::fit(&pca, &embeddings, &similarities, dimensions, buckets)
    };
    let quantizer = learned.unwrap_or_else(fit).to_device(Device::Cpu);
    let unigram_bits = unigram_bits(&quantizer.encode(&embeddings), quantizer.buckets());
    Ok(Quantization { quantizer, unigram_bits })
}

/// Predicts each code from the caption, the similarity and the codes before it, under the cross-entropy.
struct AutoregressiveObjective<'a> {
    model: AutoregressivePrior,
    encoder: FrozenTextEncoder,
    stream: EmbeddingStream,
    recipe: &'a AutoregressiveRecipe,
    unigram_bits: f64,
}

impl AutoregressiveObjective<'_> {
    /// The mean of the bits that the codes of the next embeddings take.
    fn bits(&self) -> Result<Tensor, Error> {
        let (batch, mut generators) = self.stream.next_batch()?;
        let EmbeddingBatch { embedding, captions } = batch;
        let dropped = generators.dropout_mask(self.recipe.drop_caption);
        let captions = self.encoder.encode(&captions, &dropped)?;
        let codes = self.model.quantizer.encode(&embedding); // [B, N]
        let similarity = image_text_similarity(&embedding, &captions.embedding); // [B]
        let similarity = self.model.quantizer.encode_similarity(&similarity);
        let unknown = similarity.full_like(self.model.unknown_similarity());
        let dropped = dropped.to_device(self.encoder.device);
        let logits = self.model.forward(
            &captions.embedding,
            &captions.states,
            &captions.mask,
            &unknown.where_self(&dropped, &similarity),
            &codes,
        );
        Ok(bits(&logits, &codes).mean(Kind::Float))
    }
}

impl Objective for AutoregressiveObjective<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.recipe.run.accumulate, |weight| {
            let bits = self.bits()?;
            let loss = &bits * std::f64::consts::LN_2; // the cross-entropy, in nats
            (&loss * weight).backward();
            let metrics = vec![
                ("bits_per_code", bits.double_value(&[])),
                ("unigram_bits_per_code", self.unigram_bits),
            ];
            Ok(Loss { value: loss.double_value(&[]), metrics })
        })
    }
}

impl Trainer {
    /// Trains the other prior, which predicts the embedding code by code.
    pub fn train_autoregressive_prior(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        let recipe = &self.recipe.autoregressive;
        let size = self.recipe.clip.vision.image_size;
        let (encoder, images) = (self.text_encoder()?, self.embeddings()?);
        let run = self.run(karlo::AUTOREGRESSIVE_PRIOR, &recipe.run, ENCODERS)?;
        // A network's codes mean what they meant when it learned them.
        let learned = match self.init_with(COMPONENTS)? {
            Some(init) => {
                let folder = init.component(karlo::AUTOREGRESSIVE_PRIOR);
                let opened =
                    families::open_autoregressive_prior(&folder, self.device, Kind::Float)?;
                Some(opened.quantizer)
            }
            None => None,
        };
        let first = request(CODES_SUBSET, size, &recipe.run);
        let Quantization { quantizer, unigram_bits } =
            quantize(&encoder, &images, first, recipe, learned)?;
        self.take_of_first(&quantizer.tensors().each_ref().map(|(_, tensor)| tensor))?;
        let build = |p: &Params| {
            AutoregressivePrior::new(p, &recipe.model, quantizer.to_device(self.device))
        };
        let (model, optimizer) = self.build(&run, COMPONENTS, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let folder_of_prior = folder.join(karlo::AUTOREGRESSIVE_PRIOR);
            families::save_autoregressive_prior(
                &folder_of_prior,
                averaged,
                &quantizer,
                &recipe.model,
            )?;
            self.save_index(folder, None)
        };
        self.train(run, optimizer, observer, save, |step| {
            let request = request(AUTOREGRESSIVE_SUBSET, size, &recipe.run);
            let stream = images.stream(request, self.plan(&recipe.run), step);
            Ok(AutoregressiveObjective { model, encoder, stream, recipe, unigram_bits })
        })
    }
}
