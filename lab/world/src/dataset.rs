//! The scenes as a synthetic dataset to train on, each a function of its number.

use std::ffi::OsStr;
use std::sync::Arc;

use noise::Generator;
use scenes::SceneDataset;
use training::{CaptionedImages, Data, Error, NEGATIVE_CAPTIONS, SyntheticDataset};

use crate::caption::{Aspect, Caption, NEAR};
use crate::chance::Chance;
use crate::scene::Scene;
use crate::splits::Split;

/// The dataset's name.
const NAME: &str = "world";

/// The training scenes.
pub struct WorldDataset;

/// The training scenes of the crate `scenes` and of this one: of each [`MixedDataset::PERIOD`] images the first two are the
/// former's.
pub struct MixedDataset;

impl SyntheticDataset for WorldDataset {
    fn name(&self) -> &'static str {
        NAME
    }

    fn captions(&self, count: usize) -> Vec<String> {
        let caption = |seed| Scene::draw(seed, Split::Training).own_caption_spelled().text;
        (0..count as u64).map(caption).collect()
    }

    fn nearest_words(&self) -> &'static str {
        NEAR
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
        let scenes = captioned(first, count, hard_negatives);
        Box::new(move |i, j| i != j && scenes[i].0.mentioned.describes(scenes[j].1.labels()))
    }
}

impl MixedDataset {
    /// The images after which the order of the two sets repeats.
    pub const PERIOD: u64 = 6;
    /// The images of the crate `scenes` among these. Hard negatives stay together: both numbers are even.
    const OLD: u64 = 2;

    /// The runs of one set in `first .. first + count`: whether it is the old one, the first number in it, and how many.
    fn runs(first: u64, count: usize) -> Vec<(bool, u64, usize)> {
        let mut runs: Vec<(bool, u64, usize)> = Vec::new();
        for number in first..first + count as u64 {
            let (period, place) = (number / Self::PERIOD, number % Self::PERIOD);
            let old = place < Self::OLD;
            match runs.last_mut().filter(|run| run.0 == old) {
                Some(run) => run.2 += 1,
                None if old => runs.push((true, period * Self::OLD + place, 1)),
                None => {
                    let new = Self::PERIOD - Self::OLD;
                    runs.push((false, period * new + place - Self::OLD, 1));
                }
            }
        }
        runs
    }

    fn set(old: bool) -> &'static dyn SyntheticDataset {
        if old { &SceneDataset } else { &WorldDataset }
    }
}

impl SyntheticDataset for MixedDataset {
    fn name(&self) -> &'static str {
        "scenes+world"
    }

    fn captions(&self, count: usize) -> Vec<String> {
        let old = count * Self::OLD as usize / Self::PERIOD as usize;
        [SceneDataset.captions(old), WorldDataset.captions(count - old)].concat()
    }

    fn nearest_words(&self) -> &'static str {
        NEAR
    }

    fn draw(&self, first: u64, count: usize, size: u32, hard_negatives: bool) -> CaptionedImages {
        let mut all = CaptionedImages::default();
        for (old, first, count) in Self::runs(first, count) {
            let CaptionedImages { images, captions, negative_captions } =
                Self::set(old).draw(first, count, size, hard_negatives);
            all.images.extend(images);
            all.captions.extend(captions);
            all.negative_captions.extend(negative_captions);
        }
        all
    }

    fn false_negatives(
        &self,
        first: u64,
        count: usize,
        hard_negatives: bool,
    ) -> Box<dyn Fn(usize, usize) -> bool> {
        let runs = Self::runs(first, count);
        let mut places = Vec::new();
        let mut checks = Vec::new();
        for (run, &(old, first, count)) in runs.iter().enumerate() {
            checks.push(Self::set(old).false_negatives(first, count, hard_negatives));
            places.extend((0..count).map(|place| (run, place)));
        }
        // A caption of one set may be true of an image of the other; labels do not say.
        Box::new(move |i, j| {
            let ((run, one), (other_run, other)) = (places[i], places[j]);
            run == other_run && checks[run](one, other)
        })
    }
}

/// The data that a user names: `world`, `scenes`, both of them, or files as [`Data::open`] reads them. Without any name,
/// scenes. Half of the images of files are mirrored with `flip`.
pub fn open(names: &[impl AsRef<OsStr>], flip: bool) -> Result<Data, Error> {
    let named = |name: &str| names.iter().filter(|one| one.as_ref() == name).count();
    let (worlds, scenes) = (named(NAME), named("scenes"));
    let why = match (worlds, scenes, names.len() - worlds - scenes) {
        (0, ..) => return scenes::dataset::open(names, flip),
        (.., 1..) => {
            "world has no end and cannot be mixed with files: nothing but scenes can be named beside it"
        }
        _ if flip => "world is not mirrored: captions say what is left and right",
        (1, 0, 0) => return Ok(Data::Synthetic(Arc::new(WorldDataset))),
        (1, 1, 0) => return Ok(Data::Synthetic(Arc::new(MixedDataset))),
        _ => "world and scenes can each be named once",
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

/// The training scenes of the numbers `first .. first + count`: those of even numbers, each followed by a hard negative that
/// differs in one label, or in which of two things has which colour. Both captions name what differs, where they can.
pub fn hard_negatives(first: u64, count: usize) -> Vec<(Caption, Scene)> {
    let start = first - first % 2;
    let pairs = (start..first + count as u64).step_by(2).flat_map(|seed| {
        let scene = Scene::draw(seed, Split::Training);
        let mut generator = Generator::new(seed);
        let (aspects, sibling) = differing(&scene, &mut generator);
        [scene, sibling].map(|scene| (scene.caption_about(&aspects, &mut generator), scene))
    });
    pairs.skip((first % 2) as usize).take(count).collect()
}

/// Captions of siblings of a training scene, or of other scenes where these say no other thing, which are wrong about it; others
/// for each `seed`. Half of them or more name another thing in the place of the second, or of the only one.
pub fn negative_captions(scene: &Scene, seed: u64) -> Vec<Caption> {
    /// Siblings that are tried.
    const TRIES: usize = 4 * NEGATIVE_CAPTIONS;
    let mut generator = Generator::new(!seed);
    let of_siblings = (0..TRIES).map(|_| {
        let two = scene.labels().figures.len() == 2;
        let kind = if two { Aspect::Second } else { Aspect::Thing };
        let of_kind = generator.chance(0.6).then(|| scene.sibling(kind, &mut generator)).flatten();
        let (aspects, sibling) = of_kind
            .map_or_else(|| differing(scene, &mut generator), |sibling| (vec![kind], sibling));
        sibling.caption_about(&aspects, &mut generator)
    });
    let of_others = (1..).map(|n| Scene::draw(seed ^ n, Split::Training).own_caption());
    let wrong = |caption: &Caption| !caption.mentioned.describes(scene.labels());
    of_siblings.chain(of_others).filter(wrong).take(NEGATIVE_CAPTIONS).collect()
}

/// The aspects that a sibling may differ in, as often as each is tried first.
const OF_ONE: &[Aspect] = &[
    Aspect::Thing,
    Aspect::Colour,
    Aspect::Colour,
    Aspect::Count,
    Aspect::Texture,
    Aspect::Size,
    Aspect::Action,
    Aspect::Place,
    Aspect::Place,
    Aspect::Time,
    Aspect::Weather,
    Aspect::Season,
];

/// The same of scenes of two things.
const OF_TWO: &[Aspect] = &[
    Aspect::Colour,
    Aspect::SecondColour,
    Aspect::Thing,
    Aspect::Second,
    Aspect::Second,
    Aspect::Relation,
    Aspect::Relation,
];

/// A sibling after the aspects that it differs in.
fn differing(scene: &Scene, g: &mut Generator) -> (Vec<Aspect>, Scene) {
    let two = scene.labels().figures.len() == 2;
    let exchanged = scene.with_colours_exchanged();
    if let Some(sibling) = exchanged.filter(|_| g.chance(0.2)) {
        return (vec![Aspect::Colour, Aspect::SecondColour], sibling);
    }
    let list = if two && g.chance(0.85) { OF_TWO } else { OF_ONE };
    for _ in 0..8 {
        let aspect = g.pick(list);
        if let Some(sibling) = scene.sibling(aspect, g) {
            return (vec![aspect], sibling);
        }
    }
    // A scene of a place alone under no sky has no sibling but another place.
    let place = Aspect::Place;
    let sibling = scene.sibling(place, g).or_else(|| scene.sibling(Aspect::Thing, g));
    (vec![place], sibling.unwrap_or_else(|| scene.clone()))
}
