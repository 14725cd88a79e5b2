//! The stream of pictures: scenes drawn in the background, in an order that the step fixes.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use noise::Generator;
use scenes::{Caption, Scene, Split};
use tch::{Kind, Tensor};

/// Pictures and what was said of them.
pub struct Batch {
    /// `[B, 3, S, S]`, u8.
    pub pictures: Tensor,
    /// One for each picture.
    pub captions: Vec<Caption>,
    /// What is in each picture.
    pub labels: Vec<scenes::Labels>,
}

/// Batches of training scenes, drawn by a thread that keeps a few ahead.
pub struct SceneStream {
    batches: Receiver<Batch>,
}

impl SceneStream {
    /// Batch `n` always holds the scenes `n * batch ..`, so a resumed run sees what an unbroken one would have seen.
    /// `first_scene` keeps the legs' pictures apart.
    pub fn new(first_scene: u64, size: u32, batch: usize, first_batch: u64) -> Self {
        let (sender, batches) = sync_channel(4);
        thread::spawn(move || {
            for n in first_batch.. {
                if sender
                    .send(draw(first_scene + n * batch as u64, size, batch))
                    .is_err()
                {
                    return; // the leg has ended
                }
            }
        });
        Self { batches }
    }

    /// The next batch.
    pub fn next_batch(&self) -> Batch {
        self.batches
            .recv()
            .expect("the drawing thread lives as long as the stream")
    }
}

/// The training scenes `first .. first + count` at `size` pixels.
pub fn draw(first: u64, size: u32, count: usize) -> Batch {
    let mut bytes = Vec::with_capacity(count * (size * size * 3) as usize);
    let (mut captions, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for seed in first..first + count as u64 {
        let scene = Scene::draw(seed, Split::Training);
        bytes.extend(scene.render(size));
        captions.push(scene.own_caption());
        labels.push(scene.labels());
    }
    let side = i64::from(size);
    let pictures = Tensor::from_slice(&bytes)
        .view([count as i64, side, side, 3])
        .permute([0, 3, 1, 2])
        .contiguous();
    Batch {
        pictures,
        captions,
        labels,
    }
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
