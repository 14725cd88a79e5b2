//! The prior: image embeddings of captions, `P(z_i | y)` (2204.06125, section 2.2).

use std::collections::HashMap;

use diffusion::{Hooks, Output, Step as DiffusionStep};
use layers::embedding::timesteps;
use noise::Generator;
use prior::{PrefixCache, Prior};
use tch::{Kind, Tensor, no_grad};

use crate::diffuse::{Diffusion, ObservedStage};
use crate::image_to_image::{Strength, first_x};
use crate::lease::Network;
use crate::memory::within_memory;
use crate::noise_streams::Streams;
use crate::observer::PRIOR;
use crate::request::Batch;
use crate::reranker::Reranker;
use crate::{Error, Observer, Pipeline, Quantity, Settings, Text};

/// Captions that the diffusion prior was prefilled with, and their keys and values.
pub(crate) struct Prefix {
    /// The token ids of the captions.
    ids: Vec<Vec<i64>>,
    cache: PrefixCache,
}

/// The captions that guidance starts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unconditional {
    /// The empty one.
    Empty,
    /// The last half of the batch, for both halves.
    LastRows,
}

impl Pipeline {
    /// Image embeddings of captions, `[B, E]`: of several candidates the one whose cosine with the caption's embedding is the
    /// largest.
    pub fn sample_embedding(
        &self,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        self.embeddings(text, None, &mut Batch { settings, streams, observer })
    }

    /// The same from the image embeddings `first [B, E]` on, whitened and noised as far as the diffusion prior's strength says.
    /// diffusers' `KandinskyV22PriorEmb2EmbPipeline` takes them as if they were whitened.
    pub fn sample_embedding_from(
        &self,
        first: &Tensor,
        text: &Text,
        settings: &Settings,
        streams: &mut [Generator],
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let settings = std::slice::from_ref(settings);
        self.embeddings(text, Some(first), &mut Batch { settings, streams, observer })
    }

    /// Image embeddings `[B, E]` of captions, or `[2B, E]` of captions and as many others; from the image embeddings
    /// `first [B, E]` on, where these are there.
    pub(crate) fn embeddings(
        &self,
        text: &Text,
        first: Option<&Tensor>,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        let settings = batch.settings();
        let candidates = settings.prior.as_ref().map_or(1, |prior| prior.candidates);
        within_memory(|| match settings.codes() {
            Some(sampling) => {
                // Leased here, so that every candidate finds it open.
                let prior = self.components.autoregressive_prior()?;
                rerank(candidates, text, || self.sample_codes(&prior, text, &sampling, batch))
            }
            None => {
                let prior = self.components.prior()?;
                rerank(candidates, text, || self.diffuse_embedding(&prior, text, first, batch))
            }
        })
    }

    /// Image embeddings of captions `[B, E]`, by diffusion.
    fn diffuse_embedding(
        &self,
        prior: &Network<Prior>,
        text: &Text,
        first: Option<&Tensor>,
        batch: &mut Batch,
    ) -> Result<Tensor, Error> {
        // Images whose captions come with others, of what they should not show, have two rows each.
        let rows = text.ids.len() / batch.streams.len();
        let scales = batch.guidance(Settings::prior_guidance).map(|scales| scales.repeat(rows));
        let unconditional = match rows {
            1 => Unconditional::Empty,
            _ => Unconditional::LastRows,
        };
        let unconditional = scales.is_some().then_some(unconditional);
        let cache = self.prefill(prior, text, unconditional)?;
        let denoise = |x: &Tensor, step: DiffusionStep| {
            let t = timesteps(step.timestep, x.size()[0], self.device);
            let x = x.to_kind(self.kind);
            let predicted = match &self.graphs {
                None => prior.predict(&cache, &x, &t),
                Some(graphs) => {
                    let inputs: Vec<Tensor> = [x, t].into_iter().chain(cache.tensors()).collect();
                    prior.graph.run(&**graphs, &inputs, &|inputs| {
                        let cache = PrefixCache::from_tensors(&inputs[2..]);
                        prior.predict(&cache, &inputs[0], &inputs[1])
                    })
                }
            };
            Output::plain(predicted.to_kind(Kind::Float))
        };
        let settings = batch.settings();
        let sampler = self.prior_sampler(settings)?;
        let steps = self.prior_steps(&sampler, settings)?;
        let steps = match first {
            Some(_) => Strength::of_prior(settings).last(steps)?,
            None => steps,
        };
        let guided_timesteps = 0..=i64::MAX;
        let diffusion = Diffusion {
            stage: ObservedStage {
                name: PRIOR,
                index: 0,
                steps: steps.len(),
                is_image: false,
                decode: None,
            },
            sampler: &sampler,
            steps: &steps,
            first: 0,
            scales: scales.clone(),
            guided_timesteps,
            draws_always: false,
            hooks: Hooks::default(),
            arrival: None,
            quantity: Quantity::PriorEmbedding,
        };
        let mut streams =
            Streams::new(&mut *batch.streams, self.device, self.kind).rows(rows as i64);
        let noise = streams.normal(&[prior.config().embedding]);
        let first = first.map(|embedding| {
            let embedding = embedding.to_device(self.device).to_kind(self.kind);
            let whitened = no_grad(|| prior.whiten(&embedding)).to_kind(Kind::Float);
            whitened.repeat([rows as i64, 1])
        });
        let level = sampler.level(steps.first().map(|step| step.timestep));
        let x = first_x(first.as_ref(), &noise, &level);
        let whitened = self.diffuse(diffusion, x, &mut streams, denoise, &mut *batch.observer)?;
        let embedding = no_grad(|| prior.restore(&whitened.to_kind(self.kind)));
        self.finite(embedding, Quantity::PriorEmbedding, scales.as_deref())
    }

    /// The keys and values of the captions of a batch, `[B, ..]`, or with guidance `[2B, ..]`, the unconditional ones first. Each
    /// caption is prefilled once for all its images, and not again while the same captions are sampled.
    pub(crate) fn prefill(
        &self,
        prior: &Network<Prior>,
        text: &Text,
        unconditional: Option<Unconditional>,
    ) -> Result<PrefixCache, Error> {
        let empty = unconditional == Some(Unconditional::Empty);
        let mut places: HashMap<&[i64], i64> = HashMap::new();
        let mut distinct: Vec<usize> = Vec::new();
        let mut rows: Vec<i64> = Vec::new();
        for (row, ids) in text.ids.iter().enumerate() {
            let place = *places.entry(ids).or_insert_with(|| {
                distinct.push(row);
                distinct.len() as i64 - 1
            });
            rows.push(place + i64::from(empty));
        }
        let unconditional_rows = match unconditional {
            None => Vec::new(),
            Some(Unconditional::Empty) => vec![0; rows.len()],
            Some(Unconditional::LastRows) => rows[rows.len() / 2..].repeat(2),
        };
        rows.splice(0..0, unconditional_rows);
        let captions = match text.ids.len() == distinct.len() {
            true => text.shallow_clone(),
            false => text.rows(&distinct),
        };
        let captions = match empty {
            true => self.empty_text()?.followed_by(&captions),
            false => captions,
        };
        let mut prefix = self.prefix.borrow_mut();
        let prefix = match prefix.take().filter(|prefix| prefix.ids == captions.ids) {
            Some(same) => prefix.insert(same),
            None => {
                let captions = captions.without_padding();
                self.prefills.set(self.prefills.get() + 1);
                let Text { embedding, states, mask, .. } = &captions;
                let cache = no_grad(|| prior.prefill(embedding, states, mask));
                prefix.insert(Prefix { ids: captions.ids, cache })
            }
        };
        let rows = Tensor::from_slice(&rows).to_device(self.device);
        Ok(no_grad(|| prefix.cache.index_select(&rows)))
    }
}

/// Of several candidate embeddings of captions, row by row the one that CLIP finds most similar to the caption.
fn rerank(
    candidates: usize,
    text: &Text,
    mut sample: impl FnMut() -> Result<Tensor, Error>,
) -> Result<Tensor, Error> {
    let mut reranker = Reranker::default();
    for _ in 0..candidates {
        let embedding = sample()?;
        reranker.offer(embedding.shallow_clone(), &embedding, &text.embedding);
    }
    Ok(reranker.into_best())
}
