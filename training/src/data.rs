//! The stream of pictures: drawn or read in the background, in an order that the step fixes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use noise::Generator;
use tch::{Kind, Tensor};

use crate::folder::PictureFolder;
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
    Folder(Arc<PictureFolder>),
}

/// Which pictures of the data a leg sees, and how.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Legs see scenes in ranges of their own, and other people's pictures in orders of their own.
    pub leg: u64,
    /// The pictures' side.
    pub size: u32,
    /// Whether scenes come with their siblings: see [`scene_data::draw_siblings`].
    pub siblings: bool,
}

/// How far the legs' scenes are apart. The tokenizer reads the first ones.
pub const SCENES_A_LEG: u64 = 1 << 26;

impl Data {
    /// The pictures `first .. first + count` of a leg's endless order.
    pub fn draw(&self, view: View, first: u64, count: usize) -> Result<Batch, Error> {
        let View {
            leg,
            size,
            siblings,
        } = view;
        let scene = leg * SCENES_A_LEG + first;
        match self {
            Self::Scenes if siblings => Ok(scene_data::draw_siblings(scene, size, count)),
            Self::Scenes => Ok(scene_data::draw(scene, size, count)),
            Self::Folder(folder) => folder.draw(leg, first, size, count),
        }
    }

    /// The first captions, for the tokenizer.
    pub fn captions(&self, count: usize) -> Vec<String> {
        match self {
            Self::Scenes => scene_data::captions(count),
            Self::Folder(folder) => folder.captions(count),
        }
    }
}

/// Batches of a leg's pictures, drawn by a thread that keeps a few ahead.
pub struct Stream {
    batches: Receiver<Result<Batch, Error>>,
}

impl Stream {
    /// Batch `n` always holds the pictures `n * batch ..`, so a resumed run sees what an unbroken one would have seen.
    pub fn new(data: &Data, view: View, batch: usize, first_batch: u64) -> Self {
        let (sender, batches) = sync_channel(4);
        let data = data.clone();
        thread::spawn(move || {
            for n in first_batch.. {
                let drawn = data.draw(view, n * batch as u64, batch);
                let failed = drawn.is_err();
                if sender.send(drawn).is_err() || failed {
                    return; // the leg has ended, or will
                }
            }
        });
        Self { batches }
    }

    /// The next batch.
    pub fn next_batch(&self) -> Result<Batch, Error> {
        self.batches
            .recv()
            .expect("the drawing thread lives until it has failed")
    }
}

/// Pictures of `size` by `size` pixels, three bytes each, as `[B, 3, size, size]`.
pub(crate) fn stack(pictures: &[Vec<u8>], size: u32) -> Tensor {
    let side = i64::from(size);
    Tensor::from_slice(&pictures.concat())
        .view([pictures.len() as i64, side, side, 3])
        .permute([0, 3, 1, 2])
        .contiguous()
}

/// From bytes to [-1, 1], averaged over squares so that the side becomes `size`: `[B, 3, S, S] -> [B, 3, size, size]`.
pub fn to_signed(pictures: &Tensor, size: i64) -> Tensor {
    let unit = pictures.to_kind(Kind::Float) / 127.5 - 1.0;
    let factor = pictures.size()[2] / size;
    if factor == 1 {
        unit
    } else {
        unit.avg_pool2d([factor; 2], [factor; 2], [0, 0], false, true, None::<i64>)
    }
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

/// Standard normal numbers of this shape, in f32.
pub fn normal(generator: &mut Generator, shape: &[i64]) -> Tensor {
    Tensor::from_slice(&generator.normal(shape.iter().product::<i64>() as usize)).view(shape)
}

/// True with probability `rate`, `[count]`, bool.
pub fn drops(generator: &mut Generator, rate: f64, count: usize) -> Tensor {
    let drawn: Vec<bool> = (0..count).map(|_| generator.uniform() < rate).collect();
    Tensor::from_slice(&drawn)
}
