//! The autoregressive prior: from a caption to the codes of the image embedding (2204.06125, section 2.2).

use noise::Generator;
use prior::autoregressive::bits;
use prior::codes::{closeness, unigram_bits};
use prior::{AutoregressivePrior, Codes, Pca};
use tch::{Device, Kind, Tensor};

use crate::data::{Batch, Data, Stream, View, drops};
use crate::prior_leg::Encoders;
use crate::recipe::AutoregressiveRecipe;
use crate::run::{Figures, in_parts};
use crate::{Error, Leg};

/// What is measured before the network learns anything.
pub struct Measured {
    /// Embeddings to codes and back.
    pub codes: Codes,
    /// Bits a code that a model of each code's own frequencies takes: what the network must stay below.
    pub unigram_bits: f64,
}

/// Measures the quantiser, unless one was `learned` already, on the first pictures of a view.
pub fn measure(
    encoders: &Encoders,
    data: &Data,
    view: View,
    recipe: &AutoregressiveRecipe,
    learned: Option<Codes>,
) -> Result<Measured, Error> {
    let (images, closeness) = embed_pairs(encoders, data, view, recipe.statistics_scenes)?;
    let (dimensions, buckets) = (recipe.model.dimensions, recipe.model.buckets);
    let fit = || {
        let pca = Pca::fit(&images);
        let explained = pca.explained(dimensions);
        tracing::info!(explained, dimensions, buckets, "quantising embeddings");
        Codes::fit(&pca, &images, &closeness, dimensions, buckets)
    };
    let codes = learned.unwrap_or_else(fit).to_device(Device::Cpu);
    let unigram_bits = unigram_bits(&codes.encode(&images), codes.buckets());
    Ok(Measured {
        codes,
        unigram_bits,
    })
}

/// The embeddings `[pictures, E]` of a view's first pictures, and how close they are to their captions, `[pictures]`: in f32
/// on the CPU.
fn embed_pairs(
    encoders: &Encoders,
    data: &Data,
    view: View,
    pictures: usize,
) -> Result<(Tensor, Tensor), Error> {
    const AT_ONCE: usize = 256;
    let (mut images, mut closenesses) = (Vec::new(), Vec::new());
    for first in (0..pictures).step_by(AT_ONCE) {
        let count = AT_ONCE.min(pictures - first);
        let batch = data.draw(view, first as u64, count)?;
        let texts: Vec<&str> = batch.captions.iter().map(String::as_str).collect();
        let captions = encoders.captions(&texts, &Tensor::from_slice(&vec![false; count]))?;
        let embeddings = encoders.pictures(&batch.pictures);
        closenesses.push(closeness(&embeddings, &captions.embedding).to_device(Device::Cpu));
        images.push(embeddings.to_kind(Kind::Float).to_device(Device::Cpu));
    }
    Ok((Tensor::cat(&images, 0), Tensor::cat(&closenesses, 0)))
}

/// Predicts each code from the caption, the closeness and the codes before it, under the cross-entropy.
pub struct AutoregressiveLeg {
    model: AutoregressivePrior,
    encoders: Encoders,
    stream: Stream,
    recipe: AutoregressiveRecipe,
    unigram_bits: f64,
}

impl AutoregressiveLeg {
    /// Trains `model` on the pictures of `stream`, which are as large as the image encoder's; `unigram_bits` are logged
    /// beside its own.
    pub fn new(
        model: AutoregressivePrior,
        encoders: Encoders,
        stream: Stream,
        recipe: &AutoregressiveRecipe,
        unigram_bits: f64,
    ) -> Self {
        Self {
            model,
            encoders,
            stream,
            recipe: recipe.clone(),
            unigram_bits,
        }
    }

    /// The mean of the bits that the codes of the next pictures take.
    fn bits(&self, generator: &mut Generator) -> Result<Tensor, Error> {
        let Batch {
            pictures, captions, ..
        } = self.stream.next_batch()?;
        let count = captions.len();
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        let dropped = drops(generator, self.recipe.drop_caption, count);
        let captions = self.encoders.captions(&texts, &dropped)?;
        let images = self.encoders.pictures(&pictures);
        let codes = self.model.codes.encode(&images); // [B, N]
        let told = closeness(&images, &captions.embedding); // [B]
        let told = self.model.codes.encode_closeness(&told);
        let unknown = Tensor::full_like(&told, self.model.unknown_closeness());
        let dropped = dropped.to_device(self.encoders.device);
        let logits = self.model.forward(
            &captions.embedding,
            &captions.states,
            &captions.mask,
            &unknown.where_self(&dropped, &told),
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
