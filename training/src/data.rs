//! The stream of pictures: drawn or read in the background, in an order that the step fixes.

use std::sync::Arc;

use families::karlo;
use noise::Generator;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use crate::ahead::Ahead;
use crate::embedding_cache::EmbeddingCache;
use crate::pictures::Pictures;
use crate::samples::Samples;
use crate::{Error, scene_data};

/// Pictures and what was said of them.
pub struct Batch {
    /// `[B, 3, S, S]`, u8.
    pub pictures: Tensor,
    /// One for each picture.
    pub captions: Vec<String>,
    /// `[B, B]`, true where caption `i` also describes picture `j` of another caption.
    pub clashes: Tensor,
}

/// What the legs learn from.
#[derive(Clone)]
pub enum Data {
    /// The project's own pictures.
    Scenes,
    /// Pictures that a user brings.
    Pictures(Arc<Pictures>),
    /// Embeddings of pictures.
    Embeddings(Arc<EmbeddingCache>),
}

/// Which pictures of the data a leg sees, and how.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Legs see scenes in ranges of their own, and other people's pictures in orders of their own.
    pub leg: u64,
    /// Fixes the order of pictures that a user brings, and which parts of them are seen.
    pub seed: u64,
    /// The pictures' side.
    pub size: u32,
    /// Whether scenes come with their siblings: see [`scene_data::draw_siblings`].
    pub siblings: bool,
    /// Normal numbers that each picture of a [`Stream`] comes with.
    pub noise: usize,
}

/// How far the legs' scenes are apart. The tokenizer reads the first ones.
pub const SCENES_A_LEG: u64 = 1 << 26;

impl Data {
    /// The pictures `first .. first + count` of a leg's endless order.
    pub fn draw(&self, view: View, first: u64, count: usize) -> Result<Batch, Error> {
        let scene = view.leg * SCENES_A_LEG + first;
        match self {
            Self::Scenes if view.siblings => Ok(scene_data::draw_siblings(scene, view.size, count)),
            Self::Scenes => Ok(scene_data::draw(scene, view.size, count)),
            Self::Pictures(pictures) => pictures.draw(view, first, count),
            Self::Embeddings(cache) => Err(no_pictures(cache, "this leg")),
        }
    }

    /// Refuses embeddings for what learns from pictures: all but the tokenizer and the priors.
    pub fn check_pictures(&self, leg: &str) -> Result<(), Error> {
        match self {
            _ if matches!(leg, "tokenizer" | "prior" | karlo::AUTOREGRESSIVE_PRIOR) => Ok(()),
            Self::Embeddings(cache) => Err(no_pictures(cache, &format!("`{leg}`"))),
            _ => Ok(()),
        }
    }

    /// The first captions, for the tokenizer.
    pub fn captions(&self, count: usize) -> Vec<String> {
        match self.samples() {
            None => scene_data::captions(count),
            Some(samples) => samples.captions(count),
        }
    }

    /// What a user brings.
    pub fn samples(&self) -> Option<&Samples> {
        match self {
            Self::Scenes => None,
            Self::Pictures(pictures) => Some(pictures.samples()),
            Self::Embeddings(cache) => Some(cache.samples()),
        }
    }

    /// Tells this data from other data, for checkpoints: names, lengths and numbers, but not contents.
    pub fn describe(&self) -> String {
        match self {
            Self::Scenes => "scenes".to_owned(),
            Self::Pictures(pictures) => pictures.describe(),
            Self::Embeddings(cache) => cache.describe(),
        }
    }
}

fn no_pictures(cache: &EmbeddingCache, leg: &str) -> Error {
    let given = cache.samples().given();
    Error::Data(format!(
        "--data {given}: it holds embeddings, from which the prior learns, and {leg} learns from pictures"
    ))
}

/// Batches of a leg's pictures with their noise, drawn by threads that keep a few ahead.
pub struct Stream {
    batches: Ahead<Result<(Batch, Tensor), Error>>,
}

impl Stream {
    /// Batch `n` always holds the pictures `n * batch ..`, so a resumed run sees what an unbroken one would have seen.
    pub fn new(data: &Data, view: View, batch: usize, first_batch: u64) -> Self {
        let data = data.clone();
        let draw = move |n| {
            let first = n * batch as u64;
            Ok((data.draw(view, first, batch)?, noise(view, first, batch)))
        };
        Self { batches: Ahead::new(first_batch..u64::MAX, draw) }
    }

    /// The next batch.
    pub fn next_batch(&self) -> Result<Batch, Error> {
        Ok(self.next_with_noise()?.0)
    }

    /// The next batch and its normal numbers, `[B, view.noise]` in f32.
    pub fn next_with_noise(&self) -> Result<(Batch, Tensor), Error> {
        self.batches.next().expect("there is no end to them")
    }
}

/// Pictures of `size` by `size` pixels, three bytes each, as `[B, 3, size, size]`.
///
/// The bytes are put in their order here: libtorch would do it with as many threads as it computes with.
pub(crate) fn stack(pictures: &[impl AsRef<[u8]>], size: u32) -> Tensor {
    let mut planes: Vec<u8> = Vec::with_capacity(pictures.len() * 3 * (size * size) as usize);
    for picture in pictures {
        for channel in 0..3 {
            planes.extend(picture.as_ref().iter().skip(channel).step_by(3));
        }
    }
    let side = i64::from(size);
    Tensor::from_slice(&planes).view([pictures.len() as i64, 3, side, side])
}

/// From bytes to [-1, 1] at another size, `[B, 3, S, S] -> [B, 3, size, size]`: averaged over squares where the side is a
/// multiple, else by [`resized`].
pub fn to_signed(pictures: &Tensor, size: i64) -> Tensor {
    let unit = pictures.to_kind(Kind::Float) / 127.5 - 1.0;
    let side = pictures.size()[2];
    if side == size || side % size != 0 {
        return resized(&unit, size, (-1.0, 1.0));
    }
    let factor = side / size;
    unit.avg_pool2d([factor; 2], [factor; 2], [0, 0], false, true, None::<i64>)
}

/// `pictures [B, 3, S, S]` of floats as `[B, 3, size, size]`, by the bicubic filter that Pillow resizes with, which widens
/// when a picture shrinks. It overshoots at edges; what leaves `least..most` is clamped.
pub fn resized(pictures: &Tensor, size: i64, (least, most): (f64, f64)) -> Tensor {
    if pictures.size()[2] == size {
        return pictures.shallow_clone();
    }
    pictures.internal_upsample_bicubic2d_aa([size, size], false, None, None).clamp(least, most)
}

/// From bytes to what the image encoder takes: CLIP's own mean and deviation.
pub fn to_pixels(pictures: &Tensor) -> Tensor {
    let channel = |values: [f64; 3]| {
        Tensor::from_slice(&values)
            .to_kind(Kind::Float)
            .to_device(pictures.device())
            .view([1, 3, 1, 1])
    };
    (pictures.to_kind(Kind::Float) / 255.0 - channel(clip::CLIP_MEAN)) / channel(clip::CLIP_STD)
}

/// The normal numbers of the pictures `first .. first + count`, each picture's from a stream of its own.
fn noise(view: View, first: u64, count: usize) -> Tensor {
    let positions = first..first + count as u64;
    let drawn: Vec<f32> = positions
        .flat_map(|position| stream("noise", [view.seed, view.leg, position]).normal(view.noise))
        .collect();
    Tensor::from_slice(&drawn).view([count as i64, view.noise as i64])
}

/// A generator of its own for each use and each three numbers: seeds that follow each other share no stream.
pub(crate) fn stream(what: &str, numbers: [u64; 3]) -> Generator {
    let mut hash = Sha256::new_with_prefix(what);
    numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
    let hash = hash.finalize();
    Generator::new(u64::from_le_bytes(std::array::from_fn(|byte| hash[byte])))
}

/// Standard normal numbers of this shape, in f32.
pub fn normal(generator: &mut Generator, shape: &[i64]) -> Tensor {
    Tensor::from_slice(&generator.normal(shape.iter().product::<i64>() as usize)).view(shape)
}

/// True with probability `rate`, `[count]`, bool.
pub fn drops(generator: &mut Generator, rate: f64, count: usize) -> Tensor {
    let drawn: Vec<bool> = (0..count).map(|_| generator.uniform() < rate).collect();
    Tensor::from_slice(&drawn)
}
