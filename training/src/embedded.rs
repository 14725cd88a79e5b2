//! Image embeddings with their captions, which a prior learns from: encoded from pictures, or computed before.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::ahead::Ahead;
use crate::data::{Batch, Data, Stream, View};
use crate::embedding_cache::EmbeddingCache;
use crate::encoders::PictureEncoder;

/// Embeddings of pictures, and what was said of these.
pub struct Embedded {
    /// `[B, E]`, f32.
    pub embedding: Tensor,
    /// One for each embedding.
    pub captions: Vec<String>,
}

/// Where embeddings come from.
pub enum Embeddings {
    /// From pictures, as they are drawn.
    Encoded {
        /// The pictures.
        data: Data,
        /// What encodes them.
        encoder: Box<PictureEncoder>,
    },
    /// From shards.
    Cached {
        /// The shards.
        cache: Arc<EmbeddingCache>,
        /// Where the embeddings are wanted.
        device: Device,
    },
}

impl Embeddings {
    /// The embeddings of the pictures `first .. first + count` of a view.
    pub fn draw(&self, view: View, first: u64, count: usize) -> Result<Embedded, Error> {
        match self {
            Self::Encoded { data, encoder } => {
                let batch = data.draw(view, first, count)?;
                Ok(Embedded {
                    embedding: encoder.encode(&batch.pictures).to_kind(Kind::Float),
                    captions: batch.captions,
                })
            }
            Self::Cached { cache, device } => {
                let mut embedded = cache.draw(view, first, count)?;
                embedded.embedding = embedded.embedding.to_device(*device);
                Ok(embedded)
            }
        }
    }

    /// A view's first `count` embeddings, in batches.
    pub fn first(&self, view: View, count: usize) -> impl Iterator<Item = Result<Embedded, Error>> {
        const AT_ONCE: usize = 256;
        let batch = move |first: usize| self.draw(view, first as u64, AT_ONCE.min(count - first));
        (0..count).step_by(AT_ONCE).map(batch)
    }

    /// Batches of a view's embeddings from a batch on.
    pub fn stream(self, view: View, batch: usize, first_batch: u64) -> EmbeddedStream {
        match self {
            Self::Encoded { data, encoder } => EmbeddedStream::Encoded {
                pictures: Stream::new(&data, view, batch, first_batch),
                encoder,
            },
            Self::Cached { cache, device } => {
                let draw = move |n| cache.draw(view, n * batch as u64, batch);
                let batches = Ahead::new(first_batch..u64::MAX, draw);
                EmbeddedStream::Cached(CachedStream { batches, device })
            }
        }
    }
}

/// Batches of embeddings, of which batch `n` is always the same: see [`Stream::new`].
pub enum EmbeddedStream {
    /// Encoded when they are asked for.
    Encoded {
        /// Pictures, drawn ahead.
        pictures: Stream,
        /// What encodes them.
        encoder: Box<PictureEncoder>,
    },
    /// Read ahead.
    Cached(CachedStream),
}

/// Embeddings that threads read ahead.
pub struct CachedStream {
    batches: Ahead<Result<Embedded, Error>>,
    device: Device,
}

impl EmbeddedStream {
    /// The next batch.
    pub fn next_batch(&self) -> Result<Embedded, Error> {
        match self {
            Self::Encoded { pictures, encoder } => {
                let Batch { pictures, captions, .. } = pictures.next_batch()?;
                Ok(Embedded { embedding: encoder.encode(&pictures).to_kind(Kind::Float), captions })
            }
            Self::Cached(CachedStream { batches, device }) => {
                let mut batch = batches.next().expect("there is no end to them")?;
                batch.embedding = batch.embedding.to_device(*device);
                Ok(batch)
            }
        }
    }
}
