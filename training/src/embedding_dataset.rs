//! Image embeddings with captions, which a prior learns from: encoded from images, or read from a cache.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::data::{Batch, Data, SampleRequest, Stream};
use crate::embedding_cache::EmbeddingCache;
use crate::encoders::FrozenImageEncoder;
use crate::prefetch::Prefetch;

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

    /// Batches of a request's order from a batch on. Batch `n` is always the same: see [`Stream::new`].
    pub fn stream(self, request: SampleRequest, batch: usize, first_batch: u64) -> EmbeddingStream {
        EmbeddingStream(match self {
            Self::Images { data, encoder } => {
                Batches::Images(Stream::new(&data, request, batch, first_batch), encoder)
            }
            Self::Cache { cache, device } => {
                let draw = move |n| cache.draw(request, n * batch as u64, batch);
                Batches::Cache(Prefetch::new(first_batch..u64::MAX, draw), device)
            }
        })
    }
}

/// A stream of batches of embeddings, whose images or cached embeddings are prefetched.
pub struct EmbeddingStream(Batches);

enum Batches {
    Images(Stream, Box<FrozenImageEncoder>),
    Cache(Prefetch<Result<EmbeddingBatch, Error>>, Device),
}

impl EmbeddingStream {
    /// The next batch.
    pub fn next_batch(&self) -> Result<EmbeddingBatch, Error> {
        match &self.0 {
            Batches::Images(images, encoder) => Ok(encode(images.next_batch()?, encoder)),
            Batches::Cache(batches, device) => {
                Ok(batches.next().expect("there is no end to them")?.moved_to(*device))
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
