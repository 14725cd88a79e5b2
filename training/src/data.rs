//! The stream of pictures: scenes drawn in the background, in an order that the step fixes.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use noise::Generator;
use scenes::{Aspect, Caption, Scene, Split};
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
        Self::of(draw, (first_scene, size, batch, first_batch))
    }

    /// The same, with siblings in half of each batch: see [`draw_siblings`].
    pub fn with_siblings(first_scene: u64, size: u32, batch: usize, first_batch: u64) -> Self {
        Self::of(draw_siblings, (first_scene, size, batch, first_batch))
    }

    fn of(
        draw: fn(u64, u32, usize) -> Batch,
        (first_scene, size, batch, first_batch): (u64, u32, usize, u64),
    ) -> Self {
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
    let scenes = (first..first + count as u64).map(|seed| Scene::draw(seed, Split::Training));
    render(scenes.map(|scene| (scene.own_caption(), scene)), size)
}

/// The training scenes from `first` on, each followed by a sibling that differs in one label, which is the place as
/// often as all others together: `count` pictures, odd ones out. Both captions name what differs. Independent scenes
/// nearly always differ in a thing or a colour too, and few captions name a place, so that CLIP could do without.
pub fn draw_siblings(first: u64, size: u32, count: usize) -> Batch {
    let offered = Aspect::offered(false);
    let both = |seed: u64| {
        let scene = Scene::draw(seed, Split::Training);
        let mut generator = Generator::new(seed);
        let wanted = match generator.uniform() < 0.5 {
            true => Aspect::Place,
            false => pick(OTHERS, &mut generator),
        };
        let sibling = scene.sibling(wanted, &mut generator);
        // Where the second thing leaves no room for another place or size.
        let (label, sibling) = match sibling {
            Some(sibling) => (wanted, sibling),
            None => (
                Aspect::Thing,
                scene
                    .sibling(Aspect::Thing, &mut generator)
                    .expect("every scene has a sibling with another thing"),
            ),
        };
        let naming: Vec<_> = offered
            .iter()
            .filter(|said| said.contains(&label))
            .collect();
        let aspects = pick(&naming, &mut generator);
        [scene, sibling].map(|scene| {
            let caption = scene.caption_about(aspects, &mut generator);
            (caption.expect("the aspects are offered"), scene)
        })
    };
    let pairs = (first..first + count.div_ceil(2) as u64).flat_map(both);
    render(pairs.take(count), size)
}

fn pick<T: Copy>(items: &[T], generator: &mut Generator) -> T {
    items[generator.below(items.len() as u64) as usize]
}

/// What a sibling may differ in, beside its place.
const OTHERS: &[Aspect] = &[
    Aspect::Thing,
    Aspect::Colour,
    Aspect::Size,
    Aspect::Sky,
    Aspect::Ground,
    Aspect::Style,
];

fn render(scenes: impl Iterator<Item = (Caption, Scene)>, size: u32) -> Batch {
    let (mut bytes, mut captions, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (caption, scene) in scenes {
        bytes.extend(scene.render(size));
        captions.push(caption);
        labels.push(scene.labels());
    }
    let side = i64::from(size);
    let pictures = Tensor::from_slice(&bytes)
        .view([captions.len() as i64, side, side, 3])
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
