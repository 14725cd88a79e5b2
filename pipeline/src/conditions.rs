//! Conditions of the stages' U-Nets: an image embedding with a caption, or a caption alone.

use decoder::Conditions;
use families::Condition;
use tch::{Tensor, no_grad};

use crate::components::opened;
use crate::stages::StageInput;
use crate::{Error, Pipeline, Text};

impl Pipeline {
    /// The conditions of `batch` images of a stage; `None` for one that samples of the image before alone. Guided, of the batch
    /// twice.
    pub(crate) fn conditions(
        &self,
        index: usize,
        input: StageInput,
        batch: i64,
        guided: bool,
    ) -> Result<Option<Conditions>, Error> {
        let embedding = || input.embedding.expect("a decoder is called with embeddings");
        Ok(match self.components.stage(index).condition {
            Condition::None => None,
            Condition::Embedding { .. } => {
                let text = input.text.expect("a decoder that reads captions is called with them");
                Some(self.embedding_conditions(index, embedding(), text, guided)?)
            }
            Condition::ImageEmbedding => {
                let negative = input.negative_embedding;
                Some(self.image_conditions(index, embedding(), negative, guided)?)
            }
            Condition::Caption { .. } => {
                Some(self.caption_conditions(index, input.captions, batch, guided)?)
            }
        })
    }

    /// The conditions of a decoder that takes image embeddings `[B, E]` alone. Guided, of the batch twice: first those of the
    /// `negative` embeddings `[B, E]`, or else of an image of zeros.
    fn image_conditions(
        &self,
        index: usize,
        embedding: &Tensor,
        negative: Option<&Tensor>,
        guided: bool,
    ) -> Result<Conditions, Error> {
        let conditioning = self.components.image_conditioning(index)?;
        let embedding = embedding.to_device(self.device).to_kind(self.kind);
        let embeddings = match (guided, negative) {
            (false, _) => embedding,
            (true, Some(negative)) => Tensor::cat(&[negative, &embedding], 0), // [2B, E]
            (true, None) => {
                Tensor::cat(&[self.zero_image_embedding(embedding.size()[0])?, embedding], 0)
            }
        };
        Ok(no_grad(|| conditioning.forward(&embeddings)))
    }

    /// The conditions of an unCLIP decoder. Guided, of the batch twice: first the learned embedding with the empty caption.
    fn embedding_conditions(
        &self,
        index: usize,
        embedding: &Tensor,
        text: &Text,
        guided: bool,
    ) -> Result<Conditions, Error> {
        let conditioning = self.components.conditioning(index)?;
        let captions = match guided {
            true => self.empty_text()?.expand(text.batch()).followed_by(text),
            false => text.shallow_clone(),
        };
        let Text { embedding: text_embedding, states, mask, .. } = &captions.without_padding();
        Ok(no_grad(|| {
            let embedding = match guided {
                true => {
                    let unconditional = conditioning.unconditional().unsqueeze(0);
                    Tensor::cat(&[&unconditional.expand_as(embedding), embedding], 0) // [2B, E]
                }
                false => embedding.shallow_clone(),
            };
            let embedding = embedding.to_device(self.device).to_kind(self.kind);
            conditioning.forward(&embedding, text_embedding, states, mask)
        }))
    }

    /// The conditions of `batch` captions by a stage's own text transformer. Guided, of the batch twice: first the empty
    /// caption.
    fn caption_conditions(
        &self,
        index: usize,
        captions: &[&str],
        batch: i64,
        guided: bool,
    ) -> Result<Conditions, Error> {
        let encoder = self.components.stage_text_encoder(index)?;
        let tokenizer = self.components.stage_tokenizer(index)?;
        let conditions = |captions: &[&str]| {
            let tokens = tokenizer.encode(captions)?;
            let (ids, mask) =
                (tokens.ids.to_device(self.device), tokens.mask.to_device(self.device));
            Ok::<_, Error>(no_grad(|| encoder.forward(&ids, &mask)))
        };
        let empty = || Ok::<_, Error>(conditions(&[""])?.expand(batch));
        let conditional = match captions {
            [] => empty()?,
            captions => conditions(captions)?,
        };
        Ok(if guided { empty()?.followed_by(&conditional) } else { conditional })
    }

    /// The empty caption.
    pub(crate) fn empty_text(&self) -> Result<&Text, Error> {
        opened(&self.empty, || self.encode_text(&[""]))
    }
}
