//! Training data: a stream of images, generated or read in the background, in an order that the step fixes.

use std::ops::Range;
use std::sync::Arc;

use families::karlo;
use noise::Generator;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use crate::Error;
use crate::dataset::Dataset;
use crate::embedding_cache::EmbeddingCache;
use crate::image_dataset::ImageDataset;
use crate::prefetch::Prefetch;
use crate::sample_generators::SampleGenerators;

/// Images with captions.
#[derive(Default)]
pub struct CaptionedImages {
    /// Each image's pixels, row by row, three bytes each.
    pub images: Vec<Vec<u8>>,
    /// One for each image.
    pub captions: Vec<String>,
    /// Of images with hard negatives, [`NEGATIVE_CAPTIONS`] for each image, all of which are wrong about it, image by image; else
    /// none.
    pub negative_captions: Vec<String>,
}

/// Captions that are wrong about an image, beside its own (2210.01936, section 4.1).
pub const NEGATIVE_CAPTIONS: usize = 4;

/// An endless source of images with captions, each a function of its number.
pub trait SyntheticDataset: Send + Sync {
    /// Its name, which tells it from other data in checkpoints.
    fn name(&self) -> &'static str;

    /// The captions of the first `count` images, for the tokenizer.
    fn captions(&self, count: usize) -> Vec<String>;

    /// Words that no caption has, after the nearest in meaning that some have: the lines of a tokenizer's
    /// `nearest_words.txt`, see [`clip::KnownWords::read`]. None by default.
    fn nearest_words(&self) -> &'static str {
        ""
    }

    /// `count` images of `size` by `size` pixels, from number `first` on. With `hard_negatives`, each other image is nearly
    /// the one before it, their captions tell them apart, and there are negative captions.
    fn draw(&self, first: u64, count: usize, size: u32, hard_negatives: bool) -> CaptionedImages;

    /// Which of the images `first .. first + count`, by their places among them, are false negatives: caption `i` also describes
    /// image `j` of another caption.
    fn false_negatives(
        &self,
        first: u64,
        count: usize,
        hard_negatives: bool,
    ) -> Box<dyn Fn(usize, usize) -> bool>;
}

/// A batch of images with captions, as tensors.
pub struct Batch {
    /// `[B, 3, S, S]`, u8.
    pub images: Tensor,
    /// One for each image.
    pub captions: Vec<String>,
    /// As [`CaptionedImages::negative_captions`].
    pub negative_captions: Vec<String>,
}

impl CaptionedImages {
    /// The images, of `size` by `size` pixels, as tensors.
    pub(crate) fn into_batch(self, size: u32) -> Batch {
        let images = stack(&self.images, size);
        Batch { images, captions: self.captions, negative_captions: self.negative_captions }
    }
}

/// The data that the models are trained on.
#[derive(Clone)]
pub enum Data {
    /// Images that a program generates.
    Synthetic(Arc<dyn SyntheticDataset>),
    /// Images from a user's files.
    Images(Arc<ImageDataset>),
    /// Embeddings of images.
    Embeddings(Arc<EmbeddingCache>),
}

/// The samples that an objective draws, and how.
#[derive(Clone, Copy, Debug)]
pub struct SampleRequest {
    /// The objective's own range of synthetic images, and its own orders of files.
    pub subset: u64,
    /// Fixes the order of files, and how their images are cropped.
    pub seed: u64,
    /// The images' side in pixels.
    pub size: u32,
    /// Whether synthetic images come with hard negatives: see [`SyntheticDataset::draw`].
    pub hard_negatives: bool,
    /// Normal numbers that a [`Stream`] adds to each image.
    pub noise: usize,
}

/// The size of a subset of a synthetic dataset. The tokenizer reads the first captions of subset 0.
pub const SUBSET_SIZE: u64 = 1 << 26;

impl Data {
    /// The images `first .. first + count` of a request's endless order.
    pub fn draw(&self, request: SampleRequest, first: u64, count: usize) -> Result<Batch, Error> {
        let SampleRequest { subset, size, hard_negatives, .. } = request;
        match self {
            Self::Synthetic(dataset) => {
                let first = subset * SUBSET_SIZE + first;
                Ok(dataset.draw(first, count, size, hard_negatives).into_batch(size))
            }
            Self::Images(images) => Ok(images.draw(request, first, count)?.into_batch(size)),
            Self::Embeddings(cache) => Err(no_images(cache, "this model")),
        }
    }

    /// Which of the images `first .. first + count` of a request's order, by their places among them, are no negatives of
    /// whose captions: those that a caption also describes. `captions` are all of theirs.
    pub(crate) fn false_negatives(
        &self,
        request: SampleRequest,
        first: u64,
        captions: Vec<String>,
    ) -> Box<dyn Fn(usize, usize) -> bool> {
        match self {
            Self::Synthetic(dataset) => {
                let first = request.subset * SUBSET_SIZE + first;
                dataset.false_negatives(first, captions.len(), request.hard_negatives)
            }
            // Of files nothing is known but their captions.
            _ => Box::new(move |i, j| i != j && captions[i] == captions[j]),
        }
    }

    /// Refuses embeddings for a `model` that learns from images: all but the tokenizer and the priors.
    pub fn check_images(&self, model: &str) -> Result<(), Error> {
        match self {
            _ if matches!(model, "tokenizer" | "prior" | karlo::AUTOREGRESSIVE_PRIOR) => Ok(()),
            Self::Embeddings(cache) => Err(no_images(cache, &format!("`{model}`"))),
            _ => Ok(()),
        }
    }

    /// The first captions, for the tokenizer.
    pub fn captions(&self, count: usize) -> Vec<String> {
        match self {
            Self::Synthetic(dataset) => dataset.captions(count),
            Self::Images(images) => images.dataset().captions(count),
            Self::Embeddings(cache) => cache.dataset().captions(count),
        }
    }

    /// The words near those of captions, where the data knows them; see [`SyntheticDataset::nearest_words`].
    pub fn nearest_words(&self) -> &'static str {
        match self {
            Self::Synthetic(dataset) => dataset.nearest_words(),
            _ => "",
        }
    }

    /// The files behind the data, if there are any.
    pub fn dataset(&self) -> Option<&Dataset> {
        match self {
            Self::Synthetic(_) => None,
            Self::Images(images) => Some(images.dataset()),
            Self::Embeddings(cache) => Some(cache.dataset()),
        }
    }

    /// Tells this data from other data, for checkpoints: names, lengths and numbers, but not contents.
    pub fn describe(&self) -> String {
        match self {
            Self::Synthetic(dataset) => dataset.name().to_owned(),
            Self::Images(images) => images.describe(),
            Self::Embeddings(cache) => cache.describe(),
        }
    }
}

fn no_images(cache: &EmbeddingCache, model: &str) -> Error {
    let arguments = cache.dataset().arguments();
    Error::Data(format!(
        "--data {arguments}: it holds embeddings, from which the prior learns, and {model} learns from pictures"
    ))
}

/// The part of a run's batches that a process computes, some images at a time: of each step its own images, which follow each
/// other, in `parts` of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// Images of all processes a step.
    pub batch: usize,
    /// Parts that a process's images of a step come in.
    pub parts: usize,
    /// The process's number.
    pub rank: usize,
    /// How many processes there are.
    pub world: usize,
}

impl BatchPlan {
    /// Of one process that is alone.
    pub fn alone(batch: usize, parts: usize) -> Self {
        Self { batch, parts, rank: 0, world: 1 }
    }

    /// The same with a step's images at once.
    pub fn whole(self) -> Self {
        Self { parts: 1, ..self }
    }

    /// Images in a part.
    pub fn part(self) -> usize {
        self.batch / self.world / self.parts
    }

    /// The number of the first image of part `n`, counted from the first step on.
    pub fn first(self, n: u64) -> u64 {
        let (step, part) = (n / self.parts as u64, n % self.parts as u64);
        let before = (self.rank * self.batch / self.world) as u64 + part * self.part() as u64;
        step * self.batch as u64 + before
    }

    /// The numbers of all parts from a step on.
    pub(crate) fn numbers(self, step: u64) -> Range<u64> {
        step * self.parts as u64..u64::MAX
    }
}

/// Prefetched parts of batches with their noise.
pub struct Stream {
    parts: Prefetch<Result<StreamBatch, Error>>,
}

/// A part of a batch.
pub struct StreamBatch {
    /// The images and captions.
    pub batch: Batch,
    /// Normal numbers, `[B, request.noise]` in f32.
    pub noise: Tensor,
    /// For whatever else is random.
    pub generators: SampleGenerators,
}

impl Stream {
    /// A process's parts of batches from a step on. Part `n` always holds the same images, so a resumed run sees what an
    /// unbroken one would have seen, and all processes together see what one alone would have.
    pub fn new(data: &Data, request: SampleRequest, plan: BatchPlan, step: u64) -> Self {
        let data = data.clone();
        let draw = move |n| {
            let (first, count) = (plan.first(n), plan.part());
            Ok(StreamBatch {
                batch: data.draw(request, first, count)?,
                noise: noise(request, first, count),
                generators: SampleGenerators::new(request, first, count),
            })
        };
        Self { parts: Prefetch::new(plan.numbers(step), draw) }
    }

    /// The next part.
    pub fn next_batch(&self) -> Result<StreamBatch, Error> {
        self.parts.next().expect("there is no end to them")
    }
}

/// Images of `size` by `size` pixels, three bytes each, as `[B, 3, size, size]`.
///
/// The bytes are put in their order here: libtorch would do it with as many threads as it computes with.
pub(crate) fn stack(images: &[impl AsRef<[u8]>], size: u32) -> Tensor {
    let mut planes: Vec<u8> = Vec::with_capacity(images.len() * 3 * (size * size) as usize);
    for image in images {
        for channel in 0..3 {
            planes.extend(image.as_ref().iter().skip(channel).step_by(3));
        }
    }
    let side = i64::from(size);
    Tensor::from_slice(&planes).view([images.len() as i64, 3, side, side])
}

/// From bytes to [-1, 1] at another size, `[B, 3, S, S] -> [B, 3, size, size]`: averaged over squares where the side is a
/// multiple, else by [`resized`].
pub fn to_signed(images: &Tensor, size: i64) -> Tensor {
    let unit = images.to_kind(Kind::Float) / 127.5 - 1.0;
    let side = images.size()[2];
    if side == size || side % size != 0 {
        return resized(&unit, size, (-1.0, 1.0));
    }
    let factor = side / size;
    unit.avg_pool2d([factor; 2], [factor; 2], [0, 0], false, true, None::<i64>)
}

/// `images [B, 3, S, S]` of floats as `[B, 3, size, size]`, by the bicubic filter that Pillow resizes with, which widens when
/// an image shrinks. It overshoots at edges; what leaves `min..max` is clamped.
pub fn resized(images: &Tensor, size: i64, (min, max): (f64, f64)) -> Tensor {
    if images.size()[2] == size {
        return images.shallow_clone();
    }
    images.internal_upsample_bicubic2d_aa([size, size], false, None, None).clamp(min, max)
}

/// Normalises bytes for the image encoder: CLIP's own mean and deviation.
pub fn to_pixels(images: &Tensor) -> Tensor {
    let channel = |values: [f64; 3]| {
        Tensor::from_slice(&values)
            .to_kind(Kind::Float)
            .to_device(images.device())
            .view([1, 3, 1, 1])
    };
    (images.to_kind(Kind::Float) / 255.0 - channel(images::CLIP_MEAN)) / channel(images::CLIP_STD)
}

/// The normal numbers of the images `first .. first + count`, each image's from a generator of its own.
fn noise(request: SampleRequest, first: u64, count: usize) -> Tensor {
    let SampleRequest { seed, subset, noise, .. } = request;
    let normal = |position| seeded("noise", [seed, subset, position]).normal(noise);
    let numbers: Vec<f32> = (first..first + count as u64).flat_map(normal).collect();
    Tensor::from_slice(&numbers).view([count as i64, noise as i64])
}

/// A generator of its own for each `purpose` and each three numbers: seeds that follow each other share no stream.
pub(crate) fn seeded(purpose: &str, numbers: [u64; 3]) -> Generator {
    let mut hash = Sha256::new_with_prefix(purpose);
    numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
    let hash = hash.finalize();
    Generator::new(u64::from_le_bytes(std::array::from_fn(|byte| hash[byte])))
}
