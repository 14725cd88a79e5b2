//! The autoregressive prior: from a caption to the codes of the image embedding (2204.06125, section 2.2).

use noise::Generator;
use prior::autoregressive::bits;
use prior::quantizer::unigram_bits;
use prior::{AutoregressivePrior, EmbeddingQuantizer, Pca, image_text_similarity};
use tch::{Device, Kind, Tensor};

use crate::data::{View, drops};
use crate::embedded::{Embedded, EmbeddedStream, Embeddings};
use crate::encoders::CaptionEncoder;
use crate::recipe::AutoregressiveRecipe;
use crate::run::{Figures, in_parts};
use crate::{Error, Leg};

/// What is measured before the network learns anything.
pub struct Measured {
    /// Embeddings to codes and back.
    pub quantizer: EmbeddingQuantizer,
    /// Bits a code that a model of each code's own frequencies takes: what the network must stay below.
    pub unigram_bits: f64,
}

/// Measures the quantiser, unless one was `learned` already, on the first embeddings of a view.
pub fn measure(
    encoder: &CaptionEncoder,
    images: &Embeddings,
    view: View,
    recipe: &AutoregressiveRecipe,
    learned: Option<EmbeddingQuantizer>,
) -> Result<Measured, Error> {
    let (mut embeddings, mut similarities) = (Vec::new(), Vec::new());
    for batch in images.first(view, recipe.statistics_scenes) {
        let Embedded { embedding, captions } = batch?;
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
    Ok(Measured { quantizer, unigram_bits })
}

/// Predicts each code from the caption, the similarity and the codes before it, under the cross-entropy.
pub struct AutoregressiveLeg {
    model: AutoregressivePrior,
    encoder: CaptionEncoder,
    stream: EmbeddedStream,
    recipe: AutoregressiveRecipe,
    unigram_bits: f64,
}

impl AutoregressiveLeg {
    /// Trains `model` on the embeddings of `stream`; `unigram_bits` are logged beside its own.
    pub fn new(
        model: AutoregressivePrior,
        encoder: CaptionEncoder,
        stream: EmbeddedStream,
        recipe: &AutoregressiveRecipe,
        unigram_bits: f64,
    ) -> Self {
        Self { model, encoder, stream, recipe: recipe.clone(), unigram_bits }
    }

    /// The mean of the bits that the codes of the next embeddings take.
    fn bits(&self, generator: &mut Generator) -> Result<Tensor, Error> {
        let Embedded { embedding, captions } = self.stream.next_batch()?;
        let dropped = drops(generator, self.recipe.drop_caption, captions.len());
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

impl Leg for AutoregressiveLeg {
    fn backward(&mut self, generator: &mut Generator) -> Result<(f64, Figures), Error> {
        in_parts(self.recipe.run.accumulate, |share| {
            let bits = self.bits(generator)?;
            let loss = &bits * std::f64::consts::LN_2; // the cross-entropy, in nats
            (&loss * share).backward();
            let figures = vec![
                ("bits_per_code", bits.double_value(&[])),
                ("unigram_bits_per_code", self.unigram_bits),
            ];
            Ok((loss.double_value(&[]), figures))
        })
    }
}
