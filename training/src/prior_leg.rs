//! The diffusion prior: from a caption to the whitened image embedding (2204.06125, section 2.2).

use clip::{TextEncoder, Tokenizer, VisionEncoder};
use noise::Generator;
use prior::Prior;
use tch::{Device, Kind, Tensor, no_grad};

use crate::data::{Batch, Data, Stream, View, drops, to_pixels};
use crate::noising::Noising;
use crate::recipe::PriorRecipe;
use crate::run::{Figures, in_parts};
use crate::{Error, Leg};

/// The encoders that an earlier leg trained; nothing here learns.
pub struct Encoders {
    /// Captions to embeddings and states.
    pub text: TextEncoder,
    /// Pictures to embeddings.
    pub image: VisionEncoder,
    /// Captions to tokens.
    pub tokenizer: Tokenizer,
    /// What the encoders compute in.
    pub kind: Kind,
    /// Where they lie.
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

impl Encoders {
    /// Encodes captions, with the empty one in the place of those that `dropped [B]` marks: what sampling uses where it
    /// wants no caption.
    pub fn captions(&self, captions: &[&str], dropped: &Tensor) -> Result<EncodedCaptions, Error> {
        let dropped = Vec::<bool>::try_from(dropped).expect("a mask of captions");
        let kept: Vec<&str> = captions
            .iter()
            .zip(dropped)
            .map(|(c, d)| if d { "" } else { *c })
            .collect();
        let tokens = self
            .tokenizer
            .encode(&kept)
            .map_err(|e| Error::Tokenizer(e.to_string()))?;
        let encoding = no_grad(|| self.text.forward(&tokens.ids.to_device(self.device)));
        let mask = tokens.mask.to_device(self.device);
        Ok(EncodedCaptions {
            embedding: encoding.embedding,
            states: encoding.states,
            mask,
        })
    }

    /// Pictures of the encoder's size, `[B, 3, S, S]` u8, as embeddings `[B, E]`.
    pub fn pictures(&self, pictures: &Tensor) -> Tensor {
        let pixels = to_pixels(&pictures.to_device(self.device));
        no_grad(|| self.image.forward(&pixels.to_kind(self.kind)))
    }
}

/// The embeddings `[pictures, E]` of a view's first pictures, in f32.
pub fn embed(
    encoders: &Encoders,
    data: &Data,
    view: View,
    pictures: usize,
) -> Result<Tensor, Error> {
    const AT_ONCE: usize = 256;
    let embeddings = (0..pictures).step_by(AT_ONCE).map(|first| {
        let batch = data.draw(view, first as u64, AT_ONCE.min(pictures - first))?;
        Ok(encoders.pictures(&batch.pictures).to_kind(Kind::Float))
    });
    let embeddings = embeddings.collect::<Result<Vec<Tensor>, Error>>()?;
    Ok(Tensor::cat(&embeddings, 0))
}

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
    encoders: Encoders,
    noising: Noising,
    stream: Stream,
    recipe: PriorRecipe,
}

impl PriorLeg {
    /// Trains `model` on the pictures of `stream`, which are as large as the image encoder's.
    pub fn new(model: Prior, encoders: Encoders, stream: Stream, recipe: &PriorRecipe) -> Self {
        Self {
            model,
            noising: Noising::new(encoders.device),
            encoders,
            stream,
            recipe: recipe.clone(),
        }
    }

    fn loss(&self, generator: &mut Generator) -> Result<Tensor, Error> {
        let Batch {
            pictures, captions, ..
        } = self.stream.next_batch()?;
        let count = captions.len();
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        let dropped = drops(generator, self.recipe.drop_caption, count);
        let captions = self.encoders.captions(&texts, &dropped)?;

        let embedding = self.encoders.pictures(&pictures).to_kind(Kind::Float);
        let clean = self.model.whiten(&embedding).to_kind(Kind::Float); // [B, E]
        let noised = self.noising.noise(&clean, generator);
        let predicted = self.model.forward(
            &noised.values.to_kind(self.encoders.kind),
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
