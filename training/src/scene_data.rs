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

/// The training scenes `first .. first + count` at `size` pixels.
pub fn draw(first: u64, size: u32, count: usize) -> Batch {
    let seeds = first..first + count as u64;
    let scenes = seeds.map(|seed| Scene::draw(seed, Split::Training));
    render(scenes.map(|scene| (scene.own_caption(), scene)), size)
}

/// The training scenes from `first` on, each followed by a sibling that differs in one label, or in which of two things
/// has which colour: `count` pictures, odd ones out. Both captions name what differs. Independent scenes nearly always
/// differ in the first thing or its colour too, and few captions name a place, so that CLIP could do without the rest.
pub fn draw_siblings(first: u64, size: u32, count: usize) -> Batch {
    render(siblings(first, count).into_iter(), size)
}

/// The scenes of [`draw_siblings`] with their captions.
pub fn siblings(first: u64, count: usize) -> Vec<(Caption, Scene)> {
    let (of_one, of_two) = (Aspect::offered(false), Aspect::offered_of_two());
    let both = |seed: u64| {
        let scene = Scene::draw(seed, Split::Training);
        let mut generator = Generator::new(seed);
        let in_second = (generator.uniform() < 0.75)
            .then(|| differing_in_second(&scene, &mut generator))
            .flatten();
        let ((labels, sibling), offered) = match in_second {
            Some(found) => (found, &of_two),
            None => (differing_in_first(&scene, &mut generator), &of_one),
        };
        let naming = offered.iter().filter(|said| labels.iter().all(|label| said.contains(label)));
        let aspects = pick(&naming.collect::<Vec<_>>(), &mut generator);
        [scene, sibling].map(|scene| {
            let caption = scene.caption_about(aspects, &mut generator);
            (caption.expect("the aspects are offered"), scene)
        })
    };
    let pairs = (first..first + count.div_ceil(2) as u64).flat_map(both);
    pairs.take(count).collect()
}

/// A sibling of a scene, and what they differ in.
type Differing = (Vec<Aspect>, Scene);

/// A sibling that differs in the place as often as in all others together.
fn differing_in_first(scene: &Scene, generator: &mut Generator) -> Differing {
    let wanted = match generator.uniform() < 0.5 {
        true => Aspect::Place,
        false => pick(OTHERS, generator),
    };
    // Where the second thing leaves no room for another place or size, there is one with another thing.
    let found = [wanted, Aspect::Thing]
        .into_iter()
        .find_map(|label| Some((vec![label], scene.sibling(label, generator)?)));
    found.expect("every scene has a sibling with another thing")
}

/// A sibling that differs in the second thing, its relation, its colour, or which thing has which colour; none of a scene
/// of one thing.
fn differing_in_second(scene: &Scene, generator: &mut Generator) -> Option<Differing> {
    let (second, colour) = (Aspect::Second, Aspect::SecondColour);
    let exchanged = match pick(&[second, second, colour, Aspect::Colour], generator) {
        Aspect::Colour => scene.with_colours_exchanged(),
        label => return Some((vec![label], scene.sibling(label, generator)?)),
    };
    let alike = || scene.sibling(colour, generator);
    Some((vec![Aspect::Colour, colour], exchanged.or_else(alike)?))
}

fn pick<T: Copy>(items: &[T], generator: &mut Generator) -> T {
    items[generator.below(items.len() as u64) as usize]
}

/// What a sibling may differ in, beside its place.
const OTHERS: &[Aspect] =
    &[Aspect::Thing, Aspect::Colour, Aspect::Size, Aspect::Sky, Aspect::Ground, Aspect::Style];

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
            labels.iter().enumerate().map(move |(j, l)| i != j && caption.mentioned.describes(l))
        })
        .collect();
    Tensor::from_slice(&marks).view([count, count])
}
