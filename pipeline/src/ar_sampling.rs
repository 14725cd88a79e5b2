//! The autoregressive prior: image embeddings sampled code by code (2204.06125, section 2.2), and the bits of their codes.

use prior::autoregressive::bits;
use prior::quantizer::image_text_similarity;
use prior::{AutoregressivePrior, DecodingState};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::diffuse::ObservedStage;
use crate::lease::Network;
use crate::memory::within_memory;
use crate::observer::PRIOR;
use crate::request::Batch;
use crate::{Error, Pipeline, Quantity, Settings, Text};

/// The temperature, the nucleus and the image-text similarity that the autoregressive prior samples with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSampling {
    /// Logits are divided by this: below 1, likely codes become likelier.
    pub temperature: f64,
    /// Of the codes, the likeliest that together have this share of the probability are sampled from (nucleus sampling,
    /// 1904.09751).
    pub top_p: f64,
    /// The dot product of image and caption that the embedding is conditioned on: from one quantile of the training images'
    /// to another. The paper samples from the upper half.
    #[serde(rename = "closeness")]
    pub similarity: [f64; 2],
}

impl CodeSampling {
    /// Plain sampling, with a similarity of the upper half.
    pub fn plain() -> Self {
        Self { temperature: 1.0, top_p: 1.0, similarity: [0.5, 1.0] }
    }

    /// Refuses numbers that no probabilities come from.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let [from, to] = self.similarity;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let must = "it must be a finite number above 0";
            return Err(Error::setting("prior_codes.temperature", self.temperature, must));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            let must = "it must lie above 0 and be 1 at most";
            return Err(Error::setting("prior_codes.top_p", self.top_p, must));
        }
        if !(0.0 <= from && from < to && to <= 1.0) {
            let must = "both quantiles lie between 0 and 1, the first below the second";
            return Err(Error::setting("prior_codes.closeness", format!("{from},{to}"), must));
        }
        Ok(())
    }

    /// A code with the probabilities that `logits` give; `uniform` is a random number from 0 to 1.
    pub fn sample(&self, logits: &[f32], uniform: f64) -> i64 {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| (f64::from(logit - highest) / self.temperature).exp();
        let mut codes: Vec<(usize, f64)> = logits.iter().copied().map(weight).enumerate().collect();
        let all: f64 = codes.iter().map(|(_, weight)| weight).sum();
        if self.top_p < 1.0 {
            // Of equally likely codes the first goes first.
            codes.sort_by(|a, b| b.1.total_cmp(&a.1));
            let mut sum = 0.0;
            let enough = codes.iter().position(|(_, weight)| {
                sum += weight;
                sum >= self.top_p * all
            });
            codes.truncate(enough.map_or(codes.len(), |last| last + 1));
            // Neighbours stand for like values, so a rounding error that shifts the sums hardly moves the sample.
            codes.sort_by_key(|(code, _)| *code);
        }
        let nucleus: f64 = codes.iter().map(|(_, weight)| weight).sum();
        let mut left = uniform * nucleus;
        let found = codes.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a little over.
        let (code, _) = found.unwrap_or(&codes[codes.len() - 1]);
        *code as i64
    }

    /// The code of a similarity, of `buckets` that equally many training images fall into.
    fn sample_similarity(&self, buckets: i64, uniform: f64) -> i64 {
        let [from, to] = self.similarity;
        let quantile = from + (to - from) * uniform;
        ((quantile * buckets as f64) as i64).min(buckets - 1)
    }
}

/// The codes of image embeddings, and what they lose.
pub struct EmbeddingCodes {
    /// The bits that each code takes, given the caption, the similarity and the codes before it: `[B, N]`.
    pub bits: Tensor,
    /// K, how many values a code has.
    pub buckets: i64,
    /// The embeddings with nothing left but the components that become codes, `[B, E]` in f32.
    pub truncated: Tensor,
    /// The embeddings that the codes stand for, `[B, E]` in f32.
    pub decoded: Tensor,
}

impl Pipeline {
    /// Image embeddings `[B, E]` of captions, sampled code by code with one stream of randomness an image.
    pub(crate) fn sample_codes(
        &self,
        prior: &Network<AutoregressivePrior>,
        text: &Text,
        sampling: &CodeSampling,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        let scales = batch.guidance(Settings::prior_guidance);
        let dimensions = prior.quantizer.dimensions();
        let steps = batch.settings().prior.as_ref().map_or(1, |prior| prior.steps);
        let stage = ObservedStage { name: PRIOR, index: 0, steps, is_image: false, decode: None };
        no_grad(|| {
            let (mut state, mut logits) =
                self.start_codes(prior, text, sampling, scales.is_some(), batch)?;
            let mut sampled: Vec<Tensor> = Vec::new();
            loop {
                let rows = guided_rows(&logits, scales.as_deref());
                if !rows.iter().flatten().all(|logit| logit.is_finite()) {
                    return Err(self.not_finite(Quantity::Codes, scales.as_deref()));
                }
                let codes = rows.iter().zip(batch.streams.iter_mut());
                let codes = codes.map(|(row, stream)| sampling.sample(row, stream.uniform()));
                let codes = self.codes(codes.collect());
                sampled.push(codes.shallow_clone());
                let done = sampled.len() * steps / dimensions as usize;
                if stage.observe(batch.observer, done, &codes).is_break() {
                    return Err(Error::Stopped);
                }
                if sampled.len() as i64 == dimensions {
                    break;
                }
                logits = match scales {
                    Some(_) => prior.decode_next(&mut state, &Tensor::cat(&[&codes, &codes], 0)),
                    None => prior.decode_next(&mut state, &codes),
                };
            }
            let embedding = prior.quantizer.decode(&Tensor::stack(&sampled, 1)); // [B, E]
            self.finite(embedding.to_kind(self.kind), Quantity::Codes, None)
        })
    }

    /// The state of the decoding of a batch, `[B, ..]` or guided `[2B, ..]`, and the logits of the first code.
    fn start_codes(
        &self,
        prior: &Network<AutoregressivePrior>,
        text: &Text,
        sampling: &CodeSampling,
        guided: bool,
        batch: &mut Batch,
    ) -> Result<(DecodingState, Tensor), Error> {
        let buckets = prior.quantizer.buckets();
        let streams = batch.streams.iter_mut();
        let similarity =
            streams.map(|stream| sampling.sample_similarity(buckets, stream.uniform()));
        let similarity = self.codes(similarity.collect()); // [B]
        let (captions, similarity) = match guided {
            true => {
                // Without a caption there is nothing to be similar to.
                let unknown = similarity.full_like(prior.unknown_similarity());
                let captions = self.empty_text()?.expand(text.batch()).followed_by(text);
                (captions, Tensor::cat(&[unknown, similarity], 0))
            }
            false => (text.shallow_clone(), similarity),
        };
        let Text { embedding, states, mask, .. } = &captions;
        Ok(prior.start_decoding(embedding, states, mask, &similarity))
    }

    fn codes(&self, codes: Vec<i64>) -> Tensor {
        Tensor::from_slice(&codes).to_device(self.device)
    }

    /// Quantizes image embeddings `[B, E]` of images with these captions. An error where the model has no autoregressive
    /// prior.
    pub fn quantize(&self, embeddings: &Tensor, text: &Text) -> Result<EmbeddingCodes, Error> {
        let prior = self.components.autoregressive_prior()?;
        within_memory(|| {
            let codes = prior.quantizer.encode(embeddings); // [B, N]
            let similarity = image_text_similarity(embeddings, &text.embedding);
            let similarity = prior.quantizer.encode_similarity(&similarity); // [B]
            let logits =
                prior.forward(&text.embedding, &text.states, &text.mask, &similarity, &codes);
            Ok(EmbeddingCodes {
                bits: bits(&logits.to_kind(Kind::Float), &codes),
                buckets: prior.quantizer.buckets(),
                truncated: prior.quantizer.truncate(embeddings),
                decoded: prior.quantizer.decode(&codes),
            })
        })
    }
}

/// The logits `[B, K]` of each image; with guidance, `[2B, K]` holds the unconditional ones first, and each image's scale
/// carries the caption's beyond them.
fn guided_rows(logits: &Tensor, scales: Option<&[f64]>) -> Vec<Vec<f32>> {
    let logits = logits.to_kind(Kind::Float);
    let logits = match scales {
        Some(scales) => {
            let halves = logits.chunk(2, 0);
            &halves[0] + diffusion::guidance::scaled(&halves[1] - &halves[0], scales)
        }
        None => logits,
    };
    Vec::<Vec<f32>>::try_from(&logits).expect("logits are a matrix")
}
