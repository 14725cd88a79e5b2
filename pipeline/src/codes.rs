//! The other prior at work: an image embedding drawn code by code (2204.06125, section 2.2).

use noise::Generator;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::{Error, Pipeline, Progress, Quantity, Settings, Stage, Text};

/// How the autoregressive prior draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSampling {
    /// Logits are divided by this: below 1, likely codes become likelier.
    pub temperature: f64,
    /// Of the codes, the likeliest that together have this share of the probability are drawn from.
    pub top_p: f64,
    /// Which part of the training pictures the embedding shall be as close to its caption as: from one quantile of their
    /// closeness to another. The paper draws from the upper half.
    pub closeness: [f64; 2],
}

impl CodeSampling {
    /// Plain sampling, as close as the upper half.
    pub fn plain() -> Self {
        Self { temperature: 1.0, top_p: 1.0, closeness: [0.5, 1.0] }
    }

    /// Refuses what no probabilities can be drawn with.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let [from, to] = self.closeness;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let must = "it must be a finite number above 0";
            return Err(Error::number("prior_codes.temperature", self.temperature, must));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            let must = "it must lie above 0 and be 1 at most";
            return Err(Error::number("prior_codes.top_p", self.top_p, must));
        }
        if !(0.0 <= from && from < to && to <= 1.0) {
            let must = "both quantiles lie between 0 and 1, the first below the second";
            let closeness = format!("{from},{to}");
            return Err(Error::number("prior_codes.closeness", closeness, must));
        }
        Ok(())
    }

    /// A code with the probabilities that `logits` give; `uniform` is a random number from 0 to 1.
    pub fn draw(&self, logits: &[f32], uniform: f64) -> i64 {
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
            // Neighbours stand for like values, so a rounding error that shifts the sums hardly moves what is drawn.
            codes.sort_by_key(|(code, _)| *code);
        }
        let kept: f64 = codes.iter().map(|(_, weight)| weight).sum();
        let mut left = uniform * kept;
        let found = codes.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a little over.
        let (code, _) = found.unwrap_or(&codes[codes.len() - 1]);
        *code as i64
    }

    /// The code of a closeness, of `buckets` that equally many training pictures fall into.
    fn draw_closeness(&self, buckets: i64, uniform: f64) -> i64 {
        let [from, to] = self.closeness;
        let quantile = from + (to - from) * uniform;
        ((quantile * buckets as f64) as i64).min(buckets - 1)
    }
}

impl Pipeline {
    /// Image embeddings `[B, E]` for captions, drawn code by code with one stream of randomness a picture.
    pub(crate) fn draw_codes(
        &self,
        text: &Text,
        sampling: &CodeSampling,
        settings: &Settings,
        streams: &mut [Generator],
        progress: &mut Progress,
    ) -> Result<Tensor, Error> {
        let prior = self.parts.autoregressive_prior()?;
        // At 1 the caption's own logits come out, for half the work.
        let guidance = settings.guidance(Stage::Prior).filter(|scale| *scale != 1.0);
        let read = self.with_unconditional(text, guidance)?;
        let (dimensions, buckets) = (prior.quantizer.dimensions(), prior.quantizer.buckets());
        let similarity =
            streams.iter_mut().map(|stream| sampling.draw_closeness(buckets, stream.uniform()));
        let similarity = self.codes(similarity.collect()); // [B]
        // Without a caption there is nothing to be close to.
        let similarity = match guidance {
            Some(_) => {
                let unknown = similarity.full_like(prior.unknown_similarity());
                Tensor::cat(&[unknown, similarity], 0)
            }
            None => similarity,
        };
        let steps = settings.steps(Stage::Prior);
        let mut drawn: Vec<Tensor> = Vec::new();
        no_grad(|| {
            let (mut state, mut logits) =
                prior.start_decoding(&read.embedding, &read.states, &read.mask, &similarity);
            loop {
                let rows = guided_rows(&logits, guidance);
                if !rows.iter().flatten().all(|logit| logit.is_finite()) {
                    return Err(self.not_finite(Quantity::Codes, guidance));
                }
                let codes = rows.iter().zip(streams.iter_mut());
                let codes = codes.map(|(row, stream)| sampling.draw(row, stream.uniform()));
                let codes = self.codes(codes.collect());
                drawn.push(codes.shallow_clone());
                progress(Stage::Prior, drawn.len() * steps / dimensions as usize, steps);
                if drawn.len() as i64 == dimensions {
                    break;
                }
                logits = match guidance {
                    Some(_) => prior.decode_next(&mut state, &Tensor::cat(&[&codes, &codes], 0)),
                    None => prior.decode_next(&mut state, &codes),
                };
            }
            let embedding = prior.quantizer.decode(&Tensor::stack(&drawn, 1)); // [B, E]
            self.finite(embedding.to_kind(self.kind), Quantity::Codes, None)
        })
    }

    fn codes(&self, codes: Vec<i64>) -> Tensor {
        Tensor::from_slice(&codes).to_device(self.device)
    }
}

/// The logits `[B, K]` of each picture; with guidance, `[2B, K]` holds those without a caption first, and the caption's
/// are carried beyond them.
fn guided_rows(logits: &Tensor, guidance: Option<f64>) -> Vec<Vec<f32>> {
    let logits = logits.to_kind(Kind::Float);
    let logits = match guidance {
        Some(scale) => {
            let halves = logits.chunk(2, 0);
            &halves[0] + (&halves[1] - &halves[0]) * scale
        }
        None => logits,
    };
    Vec::<Vec<f32>>::try_from(&logits).expect("logits are a matrix")
}
