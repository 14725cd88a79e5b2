//! The scenes as a synthetic dataset to train on, each a function of its number.

use std::ffi::OsStr;
use std::sync::{Arc, LazyLock};

use noise::Generator;
use training::{CaptionedImages, Data, Error, NEGATIVE_CAPTIONS, SyntheticDataset};

use crate::{Aspect, Caption, Labels, Scene, Split};

/// The dataset's name.
const NAME: &str = "scenes";

/// The training scenes.
pub struct SceneDataset;

impl SyntheticDataset for SceneDataset {
    fn name(&self) -> &'static str {
        NAME
    }

    fn captions(&self, count: usize) -> Vec<String> {
        let caption = |seed| Scene::draw(seed, Split::Training).own_caption().text;
        (0..count as u64).map(caption).collect()
    }

    fn draw(&self, first: u64, count: usize, size: u32, hard_negatives: bool) -> CaptionedImages {
        let scenes = captioned(first, count, hard_negatives);
        let images = scenes.iter().map(|(_, scene)| scene.render(size)).collect();
        let numbered = (first..).zip(&scenes).filter(|_| hard_negatives);
        let negatives = numbered.flat_map(|(number, (_, scene))| negative_captions(scene, number));
        let negative_captions = negatives.map(|caption| caption.text).collect();
        let captions = scenes.into_iter().map(|(caption, _)| caption.text).collect();
        CaptionedImages { images, captions, negative_captions }
    }

    fn false_negatives(
        &self,
        first: u64,
        count: usize,
        hard_negatives: bool,
    ) -> Box<dyn Fn(usize, usize) -> bool> {
        let scenes = captioned(first, count, hard_negatives).into_iter();
        let scenes: Vec<(Caption, Labels)> =
            scenes.map(|(caption, scene)| (caption, scene.labels())).collect();
        Box::new(move |i, j| i != j && scenes[i].0.mentioned.describes(&scenes[j].1))
    }
}

/// The data that a user names: `scenes`, or files as [`Data::open`] reads them. Without any name, scenes. Half of the images
/// are mirrored with `flip`.
pub fn open(names: &[impl AsRef<OsStr>], flip: bool) -> Result<Data, Error> {
    let is_scenes = |name: &&_| AsRef::<OsStr>::as_ref(*name) == NAME;
    let scenes = names.iter().filter(is_scenes).count();
    let why = match (scenes, names.len() - scenes) {
        (0, 1..) => return Data::open(names, flip),
        (_, 1..) => {
            "scenes have no end and cannot be mixed with other data: unclip scenes exports some to a folder"
        }
        _ if flip => "scenes are not mirrored: captions name their places",
        (0 | 1, _) => return Ok(Data::Synthetic(Arc::new(SceneDataset))),
        _ => "scenes are named more than once",
    };
    Err(Error::Data(why.to_owned()))
}

/// The training scenes of some numbers with captions.
fn captioned(first: u64, count: usize, with_hard_negatives: bool) -> Vec<(Caption, Scene)> {
    if with_hard_negatives {
        return hard_negatives(first, count);
    }
    let scenes = (first..first + count as u64).map(|seed| Scene::draw(seed, Split::Training));
    scenes.map(|scene| (scene.own_caption(), scene)).collect()
}

/// The training scenes of the numbers `first .. first + count`: those of even numbers, each followed by a hard negative
/// that differs in one label, or in which of two things has which colour. Both captions name what differs. Independent
/// scenes nearly always differ in the first thing or its colour too, and few captions name a place, so that CLIP could do
/// without the rest.
pub fn hard_negatives(first: u64, count: usize) -> Vec<(Caption, Scene)> {
    let both = |seed: u64| {
        let scene = Scene::draw(seed, Split::Training);
        let mut generator = Generator::new(seed);
        let (labels, sibling) = hard_negative(&scene, &mut generator);
        let aspects = naming(&labels, &mut generator);
        [scene, sibling].map(|scene| {
            let caption = scene.caption_about(aspects, &mut generator);
            (caption.expect("the aspects are offered"), scene)
        })
    };
    let start = first - first % 2;
    let pairs = (start..first + count as u64).step_by(2).flat_map(both);
    pairs.skip((first % 2) as usize).take(count).collect()
}

/// Captions of siblings of a training scene, which are wrong about it; others for each `seed`. Half of them or more name another
/// thing in the place of the second, or of the only one, which is the hardest to tell.
pub fn negative_captions(scene: &Scene, seed: u64) -> Vec<Caption> {
    let mut generator = Generator::new(!seed);
    let captions = std::iter::repeat_with(|| {
        let kind = if scene.labels().second.is_some() { Aspect::Second } else { Aspect::Thing };
        let of_kind = (generator.uniform() < 0.6)
            .then(|| Some((vec![kind], scene.sibling(kind, &mut generator)?)))
            .flatten();
        let (labels, sibling) = of_kind.unwrap_or_else(|| hard_negative(scene, &mut generator));
        let aspects = naming(&labels, &mut generator);
        sibling.caption_about(aspects, &mut generator).expect("the aspects are offered")
    });
    // A caption of the first thing may be true of the second.
    let wrong = captions.filter(|caption| !caption.mentioned.describes(&scene.labels()));
    wrong.take(NEGATIVE_CAPTIONS).collect()
}

/// A hard negative of a scene.
fn hard_negative(scene: &Scene, generator: &mut Generator) -> HardNegative {
    let in_second =
        (generator.uniform() < 0.75).then(|| differing_in_second(scene, generator)).flatten();
    in_second.unwrap_or_else(|| differing_in_first(scene, generator))
}

/// Aspects of captions that tell scenes apart which differ in these labels.
fn naming(labels: &[Aspect], generator: &mut Generator) -> &'static [Aspect] {
    static OFFERED: LazyLock<[Vec<Vec<Aspect>>; 2]> =
        LazyLock::new(|| [Aspect::offered(false), Aspect::offered_of_two()]);
    let [of_one, of_two] = &*OFFERED;
    let in_second =
        [Aspect::Second, Aspect::SecondColour].iter().any(|label| labels.contains(label));
    let offered = if in_second { of_two } else { of_one };
    let naming = offered.iter().filter(|said| labels.iter().all(|label| said.contains(label)));
    pick(&naming.map(Vec::as_slice).collect::<Vec<_>>(), generator)
}

/// A sibling of a scene, after the aspects that they differ in.
type HardNegative = (Vec<Aspect>, Scene);

/// A sibling that differs in the place as often as in all others together.
fn differing_in_first(scene: &Scene, generator: &mut Generator) -> HardNegative {
    let aspect = match generator.uniform() < 0.5 {
        true => Aspect::Place,
        false => pick(OTHERS, generator),
    };
    // Where the second thing leaves no room for another place or size, there is one with another thing.
    let sibling = [aspect, Aspect::Thing]
        .into_iter()
        .find_map(|label| Some((vec![label], scene.sibling(label, generator)?)));
    sibling.expect("every scene has a sibling with another thing")
}

/// A sibling that differs in the second thing, its relation, its colour, or which thing has which colour; none of a scene
/// of one thing.
fn differing_in_second(scene: &Scene, generator: &mut Generator) -> Option<HardNegative> {
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

/// The aspects that a sibling may differ in, beside its place.
const OTHERS: &[Aspect] =
    &[Aspect::Thing, Aspect::Colour, Aspect::Size, Aspect::Sky, Aspect::Ground, Aspect::Style];
