//! Scenes to learn from: the project's own pictures, each a function of its number.

use noise::Generator;
use scenes::{Aspect, Caption, Scene, Split};
use tch::Tensor;

use crate::data::{Batch, stack};

/// The captions of the first training scenes.
pub fn captions(count: usize) -> Vec<String> {
    let caption = |seed| Scene::draw(seed, Split::Training).own_caption().text;
    (0..count as u64).map(caption).collect()
}

/// A training scene at `size` pixels, three bytes each, and its caption.
pub(crate) fn one(seed: u64, size: u32) -> (Vec<u8>, String) {
    let scene = Scene::draw(seed, Split::Training);
    (scene.render(size), scene.own_caption().text)
}

/// The training scenes `first .. first + count` at `size` pixels, of which a share of `pairs` has two things.
pub fn draw(pairs: f64, first: u64, size: u32, count: usize) -> Batch {
    let seeds = first..first + count as u64;
    let scenes = seeds.map(|seed| Scene::draw_with(pairs, seed, Split::Training));
    render(scenes.map(|scene| (scene.own_caption(), scene)), size)
}

/// The training scenes from `first` on, each followed by a sibling that differs in one label, which is the place as
/// often as all others together: `count` pictures, odd ones out. Both captions name what differs. Independent scenes
/// nearly always differ in a thing or a colour too, and few captions name a place, so that CLIP could do without.
pub fn draw_siblings(first: u64, size: u32, count: usize) -> Batch {
    render(siblings(first, count).into_iter(), size)
}

/// The scenes of [`draw_siblings`] with their captions.
pub fn siblings(first: u64, count: usize) -> Vec<(Caption, Scene)> {
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
    pairs.take(count).collect()
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
    let (mut pictures, mut captions, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (caption, scene) in scenes {
        pictures.push(scene.render(size));
        captions.push(caption);
        labels.push(scene.labels());
    }
    Batch {
        pictures: stack(&pictures, size),
        clashes: clashes(&captions, &labels),
        captions: captions.into_iter().map(|caption| caption.text).collect(),
    }
}

/// `[B, B]`, true where caption `i` also describes picture `j` of another caption.
pub fn clashes(captions: &[Caption], labels: &[scenes::Labels]) -> Tensor {
    let count = captions.len() as i64;
    let marks: Vec<bool> = captions
        .iter()
        .enumerate()
        .flat_map(|(i, caption)| {
            labels
                .iter()
                .enumerate()
                .map(move |(j, l)| i != j && caption.mentioned.describes(l))
        })
        .collect();
    Tensor::from_slice(&marks).view([count, count])
}
