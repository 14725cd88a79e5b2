//! Image embeddings with captions, which a prior learns from: encoded from images, or read from a cache.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::data::{Batch, BatchPlan, Data, SampleRequest, Stream, StreamBatch};
use crate::embedding_cache::EmbeddingCache;
use crate::encoders::FrozenImageEncoder;
use crate::prefetch::Prefetch;
use crate::sample_generators::SampleGenerators;

/// A batch of image embeddings with captions.
pub struct EmbeddingBatch {
    /// `[B, E]`, f32.
    pub embedding: Tensor,
    /// One for each embedding.
    pub captions: Vec<String>,
}

/// A dataset of image embeddings.
pub enum EmbeddingDataset {
    /// Embeddings of images, encoded when they are drawn.
    Images {
        /// The images.
        data: Data,
        /// The network that encodes them.
        encoder: Box<FrozenImageEncoder>,
    },
    /// Embeddings from shards.
    Cache {
        /// The shards.
        cache: Arc<EmbeddingCache>,
        /// The device of the embeddings.
        device: Device,
    },
}

impl EmbeddingDataset {
    /// The embeddings `first .. first + count` of a request's endless order.
    pub fn draw(
        &self,
        request: SampleRequest,
        first: u64,
        count: usize,
    ) -> Result<EmbeddingBatch, Error> {
        match self {
            Self::Images { data, encoder } => {
                Ok(encode(data.draw(request, first, count)?, encoder))
            }
            Self::Cache { cache, device } => {
                Ok(cache.draw(request, first, count)?.moved_to(*device))
            }
        }
    }

    /// The first `count` embeddings of a request's order, in batches.
    pub fn first(
        &self,
        request: SampleRequest,
        count: usize,
    ) -> impl Iterator<Item = Result<EmbeddingBatch, Error>> {
        const BATCH: usize = 256;
        let draw = move |first: usize| self.draw(request, first as u64, BATCH.min(count - first));
        (0..count).step_by(BATCH).map(draw)
    }

    /// A process's parts of batches of a request's order from a step on: see [`Stream::new`].
    pub fn stream(self, request: SampleRequest, plan: BatchPlan, step: u64) -> EmbeddingStream {
        EmbeddingStream(match self {
            Self::Images { data, encoder } => {
                Parts::Images(Stream::new(&data, request, plan, step), encoder)
            }
            Self::Cache { cache, device } => {
                let draw = move |n| {
                    let (first, count) = (plan.first(n), plan.part());
                    let generators = SampleGenerators::new(request, first, count);
                    Ok((cache.draw(request, first, count)?, generators))
                };
                Parts::Cache(Prefetch::new(plan.numbers(step), draw), device)
            }
        })
    }
}

/// A stream of parts of batches of embeddings, whose images or cached embeddings are prefetched.
pub struct EmbeddingStream(Parts);

enum Parts {
    Images(Stream, Box<FrozenImageEncoder>),
    Cache(Prefetch<Result<(EmbeddingBatch, SampleGenerators), Error>>, Device),
}

impl EmbeddingStream {
    /// The next part, with generators for whatever is random.
    pub fn next_batch(&self) -> Result<(EmbeddingBatch, SampleGenerators), Error> {
        match &self.0 {
            Parts::Images(images, encoder) => {
                let StreamBatch { batch, generators, .. } = images.next_batch()?;
                Ok((encode(batch, encoder), generators))
            }
            Parts::Cache(parts, device) => {
                let (batch, generators) = parts.next().expect("there is no end to them")?;
                Ok((batch.moved_to(*device), generators))
            }
        }
    }
}

fn encode(batch: Batch, encoder: &FrozenImageEncoder) -> EmbeddingBatch {
    let embedding = encoder.encode(&batch.images).to_kind(Kind::Float);
    EmbeddingBatch { embedding, captions: batch.captions }
}

impl EmbeddingBatch {
    fn moved_to(self, device: Device) -> Self {
        let embedding = self.embedding.to_device(device);
        Self { embedding, captions: self.captions }
    }
}
