//! What the judge learns from: scenes as they are, scenes damaged as generators damage pictures, and pictures of
//! nothing, each with its right answers.

use std::f64::consts::TAU;

use noise::Generator;
use scenes::{Labels, Place, Relation, Scene, Size, Split};

use crate::damage::Picture;
use crate::network::SIDE;
use crate::questions::Question::{
    Colour, Ground, Place as Where, Relation as Related, SecondColour, SecondThing,
    Size as HowLarge, Sky, Style, Thing,
};
use crate::questions::{Question, Subject, Target, Targets};

/// Judge scenes below this seed are for training, those from it on for testing.
pub const FIRST_TEST_SEED: u64 = Split::SEEDS / 2;

/// What is asked about a second thing.
const SECOND: [Question; 3] = [SecondThing, SecondColour, Related];

/// A picture of [`SIDE`] pixels with its right answers.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The picture.
    pub picture: Picture,
    /// What should be answered.
    pub targets: Targets,
}

/// What is done to a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Nothing.
    Clean,
    /// A little blur, noise, lost detail, bending and wrong colour: everything can still be told.
    Light,
    /// No colour: the thing's is none of these.
    Grey,
    /// So blurred that the thing could be anything.
    Blurred,
    /// Two scenes seen through each other: what conflicts is none of these.
    Double,
    /// The empty sides of two scenes, joined: there is no thing.
    Empty,
    /// One half each of two things of the same size and place: what conflicts is none of these.
    Halves,
    /// A thing, joined to the empty side of another scene: everything of the thing can be told.
    Joined,
    /// Bent until no thing keeps its form.
    Bent,
    /// Noise, or next to nothing but noise: none of anything.
    Noise,
    /// Two things, of which the second is blurred or bent beyond recognition: it is none of these.
    Smudged,
    /// Two things, of which the second is seen through another: what conflicts is none of these.
    Crossed,
}

impl Damage {
    /// Every kind with its share of the lessons.
    pub const fn shares(subject: Subject) -> &'static [(Self, f64)] {
        match subject {
            Subject::Scene => &[
                (Self::Clean, 0.36),
                (Self::Light, 0.32),
                (Self::Grey, 0.02),
                (Self::Blurred, 0.03),
                (Self::Double, 0.08),
                (Self::Empty, 0.05),
                (Self::Halves, 0.05),
                (Self::Joined, 0.03),
                (Self::Bent, 0.03),
                (Self::Noise, 0.03),
            ],
            Subject::Pair => &[
                (Self::Clean, 0.34),
                (Self::Light, 0.32),
                (Self::Grey, 0.02),
                (Self::Blurred, 0.02),
                (Self::Double, 0.05),
                (Self::Empty, 0.02),
                (Self::Halves, 0.05),
                (Self::Joined, 0.03),
                (Self::Bent, 0.02),
                (Self::Noise, 0.02),
                (Self::Smudged, 0.06),
                (Self::Crossed, 0.05),
            ],
        }
    }

    fn pick(subject: Subject, generator: &mut Generator) -> Self {
        let mut left = generator.uniform();
        for &(damage, share) in Self::shares(subject) {
            left -= share;
            if left < 0.0 {
                return damage;
            }
        }
        Self::Clean
    }
}

impl Lesson {
    /// The lesson of a judge seed: the scene of that seed, damaged or not. A part of the scenes of one thing gives way
    /// to scenes of two, because to tell which is the larger takes the most practice.
    pub fn draw(seed: u64, subject: Subject) -> Self {
        let mut generator = Generator::new(seed ^ 0x5EED_1E55);
        let damage = Damage::pick(subject, &mut generator);
        let crowds = match subject {
            Subject::Scene => 0.35,
            Subject::Pair => 0.8,
        };
        let practise =
            matches!(damage, Damage::Clean | Damage::Light) && generator.uniform() < crowds;
        let seed = if practise { crowded(seed, &mut generator) } else { seed };
        Self::with_damage(seed, damage, &mut generator)
    }

    /// The scene of a judge seed with this damage; what else it takes is drawn from `generator`. A second scene comes
    /// from the same half of the judge's seeds as the first.
    pub fn with_damage(seed: u64, damage: Damage, generator: &mut Generator) -> Self {
        let scene = || {
            let scene = Scene::draw(seed, Split::Judge);
            let targets = Targets::of(&scene.labels());
            (scene, targets)
        };
        match damage {
            Damage::Clean => {
                let (scene, targets) = scene();
                Self { picture: picture(&scene, generator), targets }
            }
            Damage::Light => {
                let (scene, targets) = scene();
                Self { picture: picture(&scene, generator), targets }.lightly_damaged(generator)
            }
            Damage::Grey => {
                let (scene, mut targets) = scene();
                let grey = between(generator, 0.0, 0.12) as f32;
                targets.set(&[Colour, SecondColour], Target::None);
                targets.set(&[Sky, Ground, Style], Target::Open);
                Self {
                    picture: picture(&scene, generator).recolour(grey, [1.0; 3], [0.0; 3]),
                    targets,
                }
            }
            Damage::Blurred => {
                let (scene, mut targets) = scene();
                targets.set(&[Thing, SecondThing, HowLarge, Style], Target::None);
                let open = [Colour, SecondColour, Related, Where, Sky, Ground];
                targets.set(&open, Target::Open);
                let deviation = between(generator, 7.0, 14.0);
                Self { picture: picture(&scene, generator).blur(deviation), targets }
            }
            Damage::Bent => {
                let (scene, mut targets) = scene();
                targets.set(&[Thing, SecondThing], Target::None);
                let open = [HowLarge, Where, Sky, Ground, Colour, Style, SecondColour, Related];
                targets.set(&open, Target::Open);
                let phases = [(); 4].map(|()| between(generator, 0.0, TAU) as f32);
                let reach = between(generator, 0.14, 0.25) as f32;
                let waves = between(generator, 2.0, 3.5) as f32;
                Self { picture: picture(&scene, generator).bend(reach, waves, phases), targets }
            }
            Damage::Double => Self::double(seed, generator),
            Damage::Empty => Self::empty(seed, generator),
            Damage::Halves => Self::halves(seed, generator),
            Damage::Joined => Self::joined(seed, generator),
            Damage::Noise => Self::mostly_noise(seed, generator),
            Damage::Smudged => Self::smudged(seed, generator),
            Damage::Crossed => Self::crossed(seed, generator),
        }
    }

    fn double(seed: u64, generator: &mut Generator) -> Self {
        let first = Scene::draw_alone(seed, Split::Judge);
        let second = partner(seed, generator, |_| true);
        let share = between(generator, 0.03, 0.5);
        let (mine, theirs) = (Targets::of(&first.labels()), Targets::of(&second.labels()));
        let mut targets = match share {
            s if s < 0.12 => mine,
            s if s < 0.3 => mine.merge(&theirs, Target::Open),
            _ => mine.merge(&theirs, Target::None),
        };
        if share >= 0.12 {
            targets.set(&SECOND, Target::Open);
            if first.labels().place != second.labels().place {
                // Two of the same thing apart from each other show the thing, but neither clearly.
                targets.set(&[HowLarge, Style], Target::Open);
            }
        }
        let picture =
            picture(&first, generator).blend(&picture(&second, generator), |_, _| share as f32);
        Self { picture, targets }
    }

    fn empty(seed: u64, generator: &mut Generator) -> Self {
        let (left, right) = (lonely(Place::Left), lonely(Place::Right));
        let first = search(seed, generator, left);
        let backdrop = same_backdrop(&first.labels(), generator);
        let second = partner(seed, generator, |labels| right(labels) && backdrop(labels));
        let mut targets =
            Targets::of(&first.labels()).merge(&Targets::of(&second.labels()), Target::None);
        targets.set(&[Thing, Colour, HowLarge, Where], Target::None);
        targets.set(&[Style], Target::Open);
        // The second's left side has no thing, nor has the first's right side.
        let picture =
            picture(&second, generator).blend(&picture(&first, generator), seam(0.5, generator));
        Self { picture, targets }.sometimes_lightly_damaged(generator)
    }

    fn joined(seed: u64, generator: &mut Generator) -> Self {
        let (left, right) = (lonely(Place::Left), lonely(Place::Right));
        let mirrored = generator.uniform() < 0.5;
        let wanted = |labels: &Labels| {
            if mirrored { right(labels) } else { left(labels) }
        };
        let first = search(seed, generator, wanted);
        let backdrop = same_backdrop(&first.labels(), generator);
        let second = partner(seed, generator, |labels| wanted(labels) && backdrop(labels));
        let mut targets = Targets::of(&first.labels());
        let merged = targets.merge(&Targets::of(&second.labels()), Target::None);
        for question in [Sky, Ground] {
            targets.set(&[question], merged.get(question));
        }
        targets.set(&[Style], Target::Open);
        let seam = seam(0.5, generator);
        let (own, other) = (picture(&first, generator), picture(&second, generator));
        let picture =
            own.blend(&other, |x, y| if mirrored { 1.0 - seam(x, y) } else { seam(x, y) });
        Self { picture, targets }.sometimes_lightly_damaged(generator)
    }

    fn halves(seed: u64, generator: &mut Generator) -> Self {
        let first = Scene::draw_alone(seed, Split::Judge);
        let labels = first.labels();
        let second = partner(seed, generator, |other| {
            other.thing != labels.thing && other.place == labels.place && other.size == labels.size
        });
        let mut targets = Targets::of(&labels).merge(&Targets::of(&second.labels()), Target::None);
        targets.set(&[HowLarge, Where, Style, Sky, Ground], Target::Open);
        targets.set(&SECOND, Target::Open);
        let middle = match labels.place {
            Place::Left => 0.27,
            Place::Middle => 0.5,
            Place::Right => 0.73,
        };
        let seam = seam(middle + between(generator, -0.03, 0.03) as f32, generator);
        let swapped = generator.uniform() < 0.5;
        let (a, b) = (picture(&first, generator), picture(&second, generator));
        let picture = if swapped { b.blend(&a, seam) } else { a.blend(&b, seam) };
        Self { picture, targets }.sometimes_lightly_damaged(generator)
    }

    fn mostly_noise(seed: u64, generator: &mut Generator) -> Self {
        let colour = || [0, 1, 2].map(|_| 0.5f32);
        let side = SIDE as usize;
        let mut noise =
            Picture::plain(side, colour()).noise(between(generator, 0.15, 0.5), generator);
        if generator.uniform() < 0.5 {
            // Blobs instead of grains, as strong as before.
            let deviation = between(generator, 0.7, 6.0);
            let strength = (2.0 * deviation) as f32;
            noise = noise.blur(deviation).recolour(1.0, [strength; 3], [0.5 - 0.5 * strength; 3]);
        }
        let scene = Scene::draw(seed, Split::Judge);
        let share = between(generator, 0.0, 0.1) as f32;
        let tint = [(); 3].map(|()| between(generator, -0.3, 0.3) as f32);
        let picture =
            noise.blend(&picture(&scene, generator), |_, _| share).recolour(1.0, [1.0; 3], tint);
        Self { picture, targets: Targets::none() }
    }

    fn smudged(seed: u64, generator: &mut Generator) -> Self {
        let scene = search_pair(seed, generator, beside);
        let mut targets = Targets::of(&scene.labels());
        targets.set(&[SecondThing], Target::None);
        targets.set(&[SecondColour, Related], Target::Open);
        let whole = picture(&scene, generator);
        let spoiled = if generator.uniform() < 0.5 {
            whole.blur(between(generator, 5.0, 10.0))
        } else {
            let phases = [(); 4].map(|()| between(generator, 0.0, TAU) as f32);
            let reach = between(generator, 0.14, 0.25) as f32;
            whole.bend(reach, between(generator, 2.0, 3.5) as f32, phases)
        };
        let picture = whole.blend(&spoiled, second_side(&scene.labels(), generator));
        Self { picture, targets }.sometimes_lightly_damaged(generator)
    }

    fn crossed(seed: u64, generator: &mut Generator) -> Self {
        let scene = search_pair(seed, generator, beside);
        let labels = scene.labels();
        let own = labels.second.expect("a pair");
        let other = search_pair(seed, generator, |other| {
            let second = other.second.expect("a pair");
            beside(other) && second.relation == own.relation && second.thing != own.thing
        });
        let theirs = other.labels().second.expect("a pair");
        let mut targets = Targets::of(&labels);
        targets.set(&[SecondThing], Target::None);
        if own.colour != theirs.colour {
            targets.set(&[SecondColour], Target::None);
        }
        targets.set(&[Related], Target::Open);
        let share = between(generator, 0.4, 0.5) as f32;
        let side = second_side(&labels, generator);
        let picture = picture(&scene, generator)
            .blend(&picture(&other, generator), |x, y| share * side(x, y));
        Self { picture, targets }.sometimes_lightly_damaged(generator)
    }

    fn sometimes_lightly_damaged(self, generator: &mut Generator) -> Self {
        if generator.uniform() < 0.5 { self.lightly_damaged(generator) } else { self }
    }

    /// One to three light damages. Lines and edges are the first to go, so the style is not asked for after those.
    fn lightly_damaged(mut self, generator: &mut Generator) -> Self {
        for _ in 0..=generator.below(3) {
            self.picture = match generator.below(5) {
                0 => {
                    self.targets.set(&[Style], Target::Open);
                    self.picture.blur(between(generator, 0.4, 1.5))
                }
                1 => self.picture.noise(between(generator, 0.01, 0.1), generator),
                2 => {
                    self.targets.set(&[Style], Target::Open);
                    self.picture.shrink(28 + generator.below(30) as usize)
                }
                3 => {
                    let gain = [(); 3].map(|()| between(generator, 0.88, 1.12) as f32);
                    let offset = [(); 3].map(|()| between(generator, -0.05, 0.05) as f32);
                    self.picture.recolour(between(generator, 0.75, 1.25) as f32, gain, offset)
                }
                _ => {
                    let phases = [(); 4].map(|()| between(generator, 0.0, TAU) as f32);
                    let reach = between(generator, 0.0, 0.02) as f32;
                    self.picture.bend(reach, between(generator, 1.0, 3.0) as f32, phases)
                }
            };
        }
        self
    }
}

/// A third of the scenes is drawn at twice the size and halved, as a generated picture is.
fn picture(scene: &Scene, generator: &mut Generator) -> Picture {
    if generator.below(3) == 0 {
        Picture::from_bytes(2 * SIDE as usize, &scene.render(2 * SIDE)).halve()
    } else {
        Picture::from_bytes(SIDE as usize, &scene.render(SIDE))
    }
}

/// A seed whose scene has two things, from the same half of the seeds as `seed`.
fn crowded(seed: u64, generator: &mut Generator) -> u64 {
    let start = first_of_half(seed);
    loop {
        let other = start + generator.below(FIRST_TEST_SEED);
        if Scene::draw(other, Split::Judge).labels().second.is_some() {
            return other;
        }
    }
}

/// The first seed of the half, of those for training or those for testing, that `seed` belongs to.
fn first_of_half(seed: u64) -> u64 {
    if seed < FIRST_TEST_SEED { 0 } else { FIRST_TEST_SEED }
}

/// A scene with one thing that fits, from the same half of the seeds as `seed`.
fn partner(seed: u64, generator: &mut Generator, fits: impl Fn(&Labels) -> bool) -> Scene {
    let start = first_of_half(seed);
    loop {
        let scene = Scene::draw_alone(start + generator.below(FIRST_TEST_SEED), Split::Judge);
        if fits(&scene.labels()) {
            return scene;
        }
    }
}

/// The scene of `seed` with one thing if it fits, else another.
fn search(seed: u64, generator: &mut Generator, fits: impl Fn(&Labels) -> bool) -> Scene {
    let scene = Scene::draw_alone(seed, Split::Judge);
    if fits(&scene.labels()) { scene } else { partner(seed, generator, fits) }
}

/// The scene of `seed` if it has two things and fits, else another.
fn search_pair(seed: u64, generator: &mut Generator, fits: impl Fn(&Labels) -> bool) -> Scene {
    let mut scene = Scene::draw(seed, Split::Judge);
    let start = first_of_half(seed);
    while scene.labels().second.is_none() || !fits(&scene.labels()) {
        scene = Scene::draw(start + generator.below(FIRST_TEST_SEED), Split::Judge);
    }
    scene
}

/// Whether the things of a pair are in different halves of the picture.
fn beside(labels: &Labels) -> bool {
    let relation = labels.second.map(|second| second.relation);
    let apart = [(Place::Left, Some(Relation::LeftOf)), (Place::Right, Some(Relation::RightOf))];
    labels.size == Size::Small && apart.contains(&(labels.place, relation))
}

/// The share of what spoils the half of the second of such a pair.
fn second_side(labels: &Labels, generator: &mut Generator) -> impl Fn(f32, f32) -> f32 + use<> {
    let right = labels.place == Place::Left;
    let seam = seam(if right { 0.52 } else { 0.48 }, generator);
    move |x, y| if right { seam(x, y) } else { 1.0 - seam(x, y) }
}

/// A small thing on this side leaves the other side empty.
fn lonely(place: Place) -> impl Fn(&Labels) -> bool {
    move |labels| labels.size == Size::Small && labels.place == place
}

/// Mostly the same sky and ground, sometimes any.
fn same_backdrop(labels: &Labels, generator: &mut Generator) -> impl Fn(&Labels) -> bool + use<> {
    let (any, sky, ground) = (generator.uniform() < 0.15, labels.sky, labels.ground);
    move |other| any || (other.sky == sky && other.ground == ground)
}

/// The share of the right-hand picture: a soft or sharp step at `middle`.
fn seam(middle: f32, generator: &mut Generator) -> impl Fn(f32, f32) -> f32 + use<> {
    let softness = between(generator, 0.005, 0.05) as f32;
    move |x, _| (0.5 + (x - middle) / (2.0 * softness)).clamp(0.0, 1.0)
}

fn between(generator: &mut Generator, low: f64, high: f64) -> f64 {
    low + (high - low) * generator.uniform()
}
