//! The data set of the judge: clean scenes, scenes corrupted as generators corrupt images, and images of nothing, each with
//! its targets.
//!
//! A light corruption keeps every target, a strong one makes it 'none of these', and in between a target is open.

use std::f64::consts::TAU;

use noise::Generator;

use crate::float_image::{FloatImage, Warp};
use crate::judge_scene::{JudgeScene, SecondHalf, partner, search};
use crate::network::SIDE;
use crate::questions::Question::{
    Colour, Count, Place, Relation, SecondColour, SecondThing, Size, Style, Thing,
};
use crate::questions::{Question, Subject, Target, Targets};

/// Judge scenes below this seed are for training, those from it on for testing: half of either crate's.
pub const FIRST_TEST_SEED: u64 = scenes::Split::SEEDS / 2;
const _: () = assert!(scenes::Split::SEEDS == world::Split::SEEDS);

/// The questions that a second thing in the image leaves open.
const SECOND: [Question; 4] = [SecondThing, SecondColour, Relation, Count];

/// An image of [`SIDE`] pixels with its targets.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The image.
    pub image: FloatImage,
    /// The class of each question.
    pub targets: Targets,
}

/// A corruption of a scene's image, with what becomes of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Corruption {
    /// No corruption.
    Clean,
    /// A little blur, noise, lower resolution, warp and colour jitter: every target stays.
    Light,
    /// No colour: the thing's is none of these.
    Greyscale,
    /// A blur so strong that the thing could be anything.
    Blur,
    /// Two scenes blended: what conflicts is none of these.
    DoubleExposure,
    /// The empty sides of two scenes in one image: there is no thing.
    Empty,
    /// One half each of two things of the same size and place: what conflicts is none of these.
    Halves,
    /// A thing beside the empty side of another scene: the thing's targets stay.
    Collage,
    /// A warp in which no thing keeps its form.
    Warp,
    /// Noise, or next to nothing but noise: none of anything.
    Noise,
    /// Two things, of which the second is blurred or warped beyond recognition: it is none of these.
    BlurSecond,
    /// Two things, of which the second is blended with another: what conflicts is none of these.
    BlendSecond,
}

impl Corruption {
    /// Every corruption with its share of the samples.
    pub const fn shares(subject: Subject) -> &'static [(Self, f64)] {
        match subject {
            Subject::Scene => &[
                (Self::Clean, 0.36),
                (Self::Light, 0.32),
                (Self::Greyscale, 0.02),
                (Self::Blur, 0.03),
                (Self::DoubleExposure, 0.08),
                (Self::Empty, 0.05),
                (Self::Halves, 0.05),
                (Self::Collage, 0.03),
                (Self::Warp, 0.03),
                (Self::Noise, 0.03),
            ],
            Subject::Pair => &[
                (Self::Clean, 0.34),
                (Self::Light, 0.32),
                (Self::Greyscale, 0.02),
                (Self::Blur, 0.02),
                (Self::DoubleExposure, 0.05),
                (Self::Empty, 0.02),
                (Self::Halves, 0.05),
                (Self::Collage, 0.03),
                (Self::Warp, 0.02),
                (Self::Noise, 0.02),
                (Self::BlurSecond, 0.06),
                (Self::BlendSecond, 0.05),
            ],
            Subject::World => &[
                (Self::Clean, 0.34),
                (Self::Light, 0.32),
                (Self::Greyscale, 0.02),
                (Self::Blur, 0.02),
                (Self::DoubleExposure, 0.06),
                (Self::Empty, 0.03),
                (Self::Halves, 0.05),
                (Self::Collage, 0.03),
                (Self::Warp, 0.02),
                (Self::Noise, 0.02),
                (Self::BlurSecond, 0.05),
                (Self::BlendSecond, 0.04),
            ],
        }
    }

    fn pick(subject: Subject, generator: &mut Generator) -> Self {
        let mut left = generator.uniform();
        for &(corruption, share) in Self::shares(subject) {
            left -= share;
            if left < 0.0 {
                return corruption;
            }
        }
        Self::Clean
    }
}

impl Sample {
    /// The sample of a judge seed: the scene of that seed, corrupted or not. A part of the scenes of one thing gives way
    /// to scenes of two, because which of them is the first is the hardest to learn.
    pub fn draw(seed: u64, subject: Subject) -> Self {
        match subject {
            Subject::Scene | Subject::Pair => Self::draw_of::<scenes::Scene>(seed, subject),
            Subject::World => Self::draw_of::<world::Scene>(seed, subject),
        }
    }

    fn draw_of<S: JudgeScene>(seed: u64, subject: Subject) -> Self {
        let mut generator = Generator::new(seed ^ 0x5EED_1E55);
        let corruption = Corruption::pick(subject, &mut generator);
        let pairs = match subject {
            Subject::Scene => 0.35,
            Subject::Pair => 0.8,
            Subject::World => 0.4,
        };
        let oversampled = matches!(corruption, Corruption::Clean | Corruption::Light)
            && generator.uniform() < pairs;
        let seed = if oversampled { pair_seed::<S>(seed, &mut generator) } else { seed };
        Self::corrupt::<S>(seed, corruption, &mut generator)
    }

    /// The scene of a judge seed with this corruption; what else it takes is drawn from `generator`. A second scene comes
    /// from the same half of the judge's seeds as the first.
    pub fn with_corruption(
        seed: u64,
        corruption: Corruption,
        subject: Subject,
        generator: &mut Generator,
    ) -> Self {
        match subject {
            Subject::Scene | Subject::Pair => {
                Self::corrupt::<scenes::Scene>(seed, corruption, generator)
            }
            Subject::World => Self::corrupt::<world::Scene>(seed, corruption, generator),
        }
    }

    fn corrupt<S: JudgeScene>(
        seed: u64,
        corruption: Corruption,
        generator: &mut Generator,
    ) -> Self {
        let scene = S::draw(seed);
        let mut targets = scene.targets();
        let image = match corruption {
            Corruption::Clean | Corruption::Light => render(&scene, generator),
            Corruption::Greyscale => {
                let saturation = between(generator, 0.0, 0.12) as f32;
                targets.set(&[Colour], without_colour::<S>(targets.get(Colour)));
                targets.set(&[SecondColour], without_colour::<S>(targets.get(SecondColour)));
                targets.set(&[Style], Target::Open);
                targets.set(S::AROUND, Target::Open);
                render(&scene, generator).jitter_colour(saturation, [1.0; 3], [0.0; 3])
            }
            Corruption::Blur => {
                targets.set(&[Thing, SecondThing, Size, Style], Target::None);
                let open = [Colour, SecondColour, Relation, Place, Count];
                targets.set(&open, Target::Open);
                targets.set(S::AROUND, Target::Open);
                let deviation = between(generator, 7.0, 14.0);
                render(&scene, generator).blur(deviation)
            }
            Corruption::Warp => {
                targets.set(&[Thing, SecondThing], Target::None);
                let open = [Size, Place, Colour, Style, SecondColour, Relation, Count];
                targets.set(&open, Target::Open);
                targets.set(S::AROUND, Target::Open);
                let warp = strong_warp(generator);
                render(&scene, generator).warp(warp)
            }
            Corruption::DoubleExposure => return Self::double_exposure::<S>(seed, generator),
            Corruption::Empty => return Self::empty::<S>(seed, generator),
            Corruption::Halves => return Self::halves::<S>(seed, generator),
            Corruption::Collage => return Self::collage::<S>(seed, generator),
            Corruption::Noise => return Self::mostly_noise(&scene, generator),
            Corruption::BlurSecond => return Self::blur_second::<S>(seed, generator),
            Corruption::BlendSecond => return Self::blend_second::<S>(seed, generator),
        };
        let sample = Self { image, targets };
        match corruption {
            Corruption::Light => sample.lightly_corrupted(generator),
            _ => sample,
        }
    }

    fn double_exposure<S: JudgeScene>(seed: u64, generator: &mut Generator) -> Self {
        let first = S::draw_alone(seed);
        let second = partner(seed, generator, |seed| Some(S::draw_alone(seed)));
        let share = between(generator, 0.03, 0.5);
        let (mine, theirs) = (first.targets(), second.targets());
        let mut targets = match share {
            s if s < 0.12 => mine,
            s if s < 0.3 => mine.merge(&theirs, Target::Open),
            _ => mine.merge(&theirs, Target::None),
        };
        if share >= 0.12 {
            targets.set(&SECOND, Target::Open);
            if !first.is_at_place_of(&second) {
                // Two of the same thing apart from each other show the thing, but neither clearly.
                targets.set(&[Size, Style], Target::Open);
            }
        }
        let image =
            render(&first, generator).blend(&render(&second, generator), |_, _| share as f32);
        Self { image, targets }
    }

    fn empty<S: JudgeScene>(seed: u64, generator: &mut Generator) -> Self {
        let [first, second] = S::draw_lonely([false, true], seed, generator);
        let mut targets = first.targets().merge(&second.targets(), Target::None);
        targets.set(&[Thing, Colour, Size, Place, Count], Target::None);
        targets.set(&[Style], Target::Open);
        // The second's left side has no thing, nor has the first's right side.
        let image =
            render(&second, generator).blend(&render(&first, generator), seam(0.5, generator));
        Self { image, targets }.sometimes_lightly_corrupted(generator)
    }

    fn collage<S: JudgeScene>(seed: u64, generator: &mut Generator) -> Self {
        let mirrored = generator.uniform() < 0.5;
        let [first, second] = S::draw_lonely([mirrored; 2], seed, generator);
        let mut targets = first.targets();
        let merged = targets.merge(&second.targets(), Target::None);
        for &question in S::AROUND {
            targets.set(&[question], merged.get(question));
        }
        targets.set(&[Style], Target::Open);
        let seam = seam(0.5, generator);
        let (own, other) = (render(&first, generator), render(&second, generator));
        let image = own.blend(&other, |x, y| if mirrored { 1.0 - seam(x, y) } else { seam(x, y) });
        Self { image, targets }.sometimes_lightly_corrupted(generator)
    }

    fn halves<S: JudgeScene>(seed: u64, generator: &mut Generator) -> Self {
        let first = search(seed, generator, |seed| {
            let scene = S::draw_alone(seed);
            scene.is_single().then_some(scene)
        });
        let (second, middle) = partner(seed, generator, |seed| {
            let other = S::draw_alone(seed);
            let middle = first.middle_with(&other)?;
            Some((other, middle))
        });
        let mut targets = first.targets().merge(&second.targets(), Target::None);
        targets.set(&[Size, Place, Style], Target::Open);
        targets.set(S::AROUND, Target::Open);
        targets.set(&SECOND, Target::Open);
        let seam = seam(middle + between(generator, -0.03, 0.03) as f32, generator);
        let swapped = generator.uniform() < 0.5;
        let (a, b) = (render(&first, generator), render(&second, generator));
        let image = if swapped { b.blend(&a, seam) } else { a.blend(&b, seam) };
        Self { image, targets }.sometimes_lightly_corrupted(generator)
    }

    fn mostly_noise<S: JudgeScene>(scene: &S, generator: &mut Generator) -> Self {
        let grey = FloatImage::solid(SIDE as usize, [0.5; 3]);
        let mut noise = grey.noise(between(generator, 0.15, 0.5), generator);
        if generator.uniform() < 0.5 {
            // Blobs instead of grains, as strong as before.
            let deviation = between(generator, 0.7, 6.0);
            let strength = (2.0 * deviation) as f32;
            noise =
                noise.blur(deviation).jitter_colour(1.0, [strength; 3], [0.5 - 0.5 * strength; 3]);
        }
        let share = between(generator, 0.0, 0.1) as f32;
        let tint = [(); 3].map(|()| between(generator, -0.3, 0.3) as f32);
        let image =
            noise.blend(&render(scene, generator), |_, _| share).jitter_colour(1.0, [1.0; 3], tint);
        Self { image, targets: Targets::none() }
    }

    fn blur_second<S: JudgeScene>(seed: u64, generator: &mut Generator) -> Self {
        let (scene, half) = search(seed, generator, in_halves::<S>);
        let mut targets = half.targets;
        targets.set(&[SecondThing], Target::None);
        targets.set(&[SecondColour, Relation], Target::Open);
        let whole = render(&scene, generator);
        let ruined = if generator.uniform() < 0.5 {
            whole.blur(between(generator, 5.0, 10.0))
        } else {
            whole.warp(strong_warp(generator))
        };
        let image = whole.blend(&ruined, second_side(half, generator));
        Self { image, targets }.sometimes_lightly_corrupted(generator)
    }

    fn blend_second<S: JudgeScene>(seed: u64, generator: &mut Generator) -> Self {
        let (scene, half) = search(seed, generator, in_halves::<S>);
        let (other, theirs) = search(seed, generator, |seed| {
            let (other, theirs) = in_halves::<S>(seed)?;
            let differs = theirs.targets.get(SecondThing) != half.targets.get(SecondThing);
            (theirs.right == half.right && differs).then_some((other, theirs.targets))
        });
        let mut targets = half.targets;
        let merged = targets.merge(&theirs, Target::None);
        targets.set(&[SecondThing], Target::None);
        targets.set(&[SecondColour], merged.get(SecondColour));
        targets.set(&[Relation], Target::Open);
        let around = targets.merge(&theirs, Target::Open);
        for &question in S::AROUND {
            targets.set(&[question], around.get(question));
        }
        let share = between(generator, 0.4, 0.5) as f32;
        let side = second_side(half, generator);
        let image =
            render(&scene, generator).blend(&render(&other, generator), |x, y| share * side(x, y));
        Self { image, targets }.sometimes_lightly_corrupted(generator)
    }

    fn sometimes_lightly_corrupted(self, generator: &mut Generator) -> Self {
        if generator.uniform() < 0.5 { self.lightly_corrupted(generator) } else { self }
    }

    /// One to three light corruptions. Lines and edges are the first to go, so the style is open after those.
    fn lightly_corrupted(mut self, generator: &mut Generator) -> Self {
        for _ in 0..=generator.below(3) {
            self.image = match generator.below(5) {
                0 => {
                    self.targets.set(&[Style], Target::Open);
                    self.image.blur(between(generator, 0.4, 1.5))
                }
                1 => self.image.noise(between(generator, 0.01, 0.1), generator),
                2 => {
                    self.targets.set(&[Style], Target::Open);
                    self.image.lower_resolution(28 + generator.below(30) as usize)
                }
                3 => {
                    let gain = [(); 3].map(|()| between(generator, 0.88, 1.12) as f32);
                    let offset = [(); 3].map(|()| between(generator, -0.05, 0.05) as f32);
                    self.image.jitter_colour(between(generator, 0.75, 1.25) as f32, gain, offset)
                }
                _ => self.image.warp(draw_warp((0.0, 0.02), (1.0, 3.0), generator)),
            };
        }
        self
    }
}

/// The scene's image; a third of them are rendered at twice the size and halved, as generated images are.
fn render<S: JudgeScene>(scene: &S, generator: &mut Generator) -> FloatImage {
    if generator.below(3) == 0 {
        FloatImage::from_bytes(2 * SIDE as usize, &scene.render(2 * SIDE)).halve()
    } else {
        FloatImage::from_bytes(SIDE as usize, &scene.render(SIDE))
    }
}

/// A seed whose scene has two things, from the same half of the seeds as `seed`.
fn pair_seed<S: JudgeScene>(seed: u64, generator: &mut Generator) -> u64 {
    partner(seed, generator, |other| (S::draw(other).things() == 2).then_some(other))
}

/// The scene of a seed and its second half, if it has two things in different halves.
fn in_halves<S: JudgeScene>(seed: u64) -> Option<(S, SecondHalf)> {
    let scene = S::draw(seed);
    let half = scene.second_half()?;
    Some((scene, half))
}

/// The target of a colour in an image without colours. A colour that nothing has stays so.
fn without_colour<S: JudgeScene>(colour: Target) -> Target {
    match colour {
        Target::Answer(_) => S::WITHOUT_COLOUR,
        other => other,
    }
}

/// The alpha of a corruption of that half.
fn second_side(half: SecondHalf, generator: &mut Generator) -> impl Fn(f32, f32) -> f32 + use<> {
    let right = half.right;
    let seam = seam(if right { 0.52 } else { 0.48 }, generator);
    move |x, y| if right { seam(x, y) } else { 1.0 - seam(x, y) }
}

/// The alpha of the right-hand image: a soft or sharp step at `middle`.
fn seam(middle: f32, generator: &mut Generator) -> impl Fn(f32, f32) -> f32 + use<> {
    let softness = between(generator, 0.005, 0.05) as f32;
    move |x, _| (0.5 + (x - middle) / (2.0 * softness)).clamp(0.0, 1.0)
}

/// A warp in which no thing keeps its form.
fn strong_warp(generator: &mut Generator) -> Warp {
    draw_warp((0.14, 0.25), (2.0, 3.5), generator)
}

/// A warp with its reach and waves uniform in these ranges.
fn draw_warp(reach: (f64, f64), waves: (f64, f64), generator: &mut Generator) -> Warp {
    Warp {
        phases: [(); 4].map(|()| between(generator, 0.0, TAU) as f32),
        reach: between(generator, reach.0, reach.1) as f32,
        waves: between(generator, waves.0, waves.1) as f32,
    }
}

fn between(generator: &mut Generator, low: f64, high: f64) -> f64 {
    low + (high - low) * generator.uniform()
}
