//! Scenes: synthetic images drawn from a seed, by their labels.

use image::RgbImage;
use noise::Generator;

use crate::backdrop::Backdrop;
use crate::caption::{Aspect, Caption, Context};
use crate::chance::Chance;
use crate::labels::{
    Colour, Ground, HELD_OUT, Labels, Place, Relation, Second, Size, Sky, Style, Thing, held_out,
};
use crate::layout::{Placement, Support, arrange, relations};
use crate::palette::{INK, Rgb, WHITE, WOOD};
use crate::shapes::{oval, path, push_oval, rounded};
use crate::style::Painter;
use crate::things;

/// A split of the scenes. No two share a scene, and each has [`Split::SEEDS`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Training of the models: never a held-out pair.
    Training,
    /// Training and validation of the judge: all pairs.
    Judge,
    /// Evaluation, with captions from templates of its own.
    Evaluation(Pairs),
}

/// Which (thing, colour) pairs an evaluation scene may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairs {
    /// Only pairs that training showed, in the second thing too.
    Seen,
    /// The first thing's pair is a held-out one; the second's may be any.
    HeldOut,
    /// All pairs.
    All,
}

/// An image before it has a size: labels, and everything that no label names.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    seed: u64,
    labels: Labels,
    /// The labels that the seed draws; a sibling's own differ.
    seed_labels: Labels,
    /// The generator of everything that no label names.
    rest: Generator,
    split: Split,
    backdrop: Backdrop,
    /// The first thing first.
    things: Vec<Placement>,
    line_weight: f32,
}

impl Split {
    /// The number of scenes of a split: a seed counts modulo this.
    pub const SEEDS: u64 = 1 << 30;

    /// The share of scenes that have two things: models learn from more of them, for which thing has which colour, and how
    /// they stand to each other, is the hardest to learn.
    pub const fn pairs(self) -> f64 {
        match self {
            Self::Training => 0.5,
            Self::Judge | Self::Evaluation(_) => 0.2,
        }
    }

    /// The generator of scene `seed`. torch's generator takes 32 bits of seed: two tell the
    /// splits apart, and 30 are the seed, mixed by a bijection.
    pub(crate) fn generator(self, seed: u64) -> Generator {
        let tag = match self {
            Self::Training => 1,
            Self::Judge => 2,
            Self::Evaluation(_) => 3,
        };
        Generator::new(tag * Self::SEEDS + mixed(seed))
    }

    fn allows(self, thing: Thing, colour: Colour) -> bool {
        match self {
            Self::Training | Self::Evaluation(Pairs::Seen) => !held_out(thing, colour),
            Self::Judge | Self::Evaluation(Pairs::HeldOut | Pairs::All) => true,
        }
    }
}

/// A bijection of the numbers below [`Split::SEEDS`].
fn mixed(seed: u64) -> u64 {
    let mask = Split::SEEDS - 1;
    let mut bits = seed & mask;
    for _ in 0..2 {
        bits = bits.wrapping_mul(0x2545_F491_4F6C_DD1D) & mask;
        bits ^= bits >> 15;
    }
    bits
}

impl Scene {
    /// The split's scene of that seed (modulo [`Split::SEEDS`]). A share of them ([`Split::pairs`]) have a
    /// second thing; every label is drawn uniformly, colours among those the thing may have.
    pub fn draw(seed: u64, split: Split) -> Self {
        Self::draw_with(split.pairs(), seed, split)
    }

    /// As [`Self::draw`], but always with one thing.
    pub fn draw_alone(seed: u64, split: Split) -> Self {
        Self::draw_with(0.0, seed, split)
    }

    /// As [`Self::draw`], but always with two things.
    pub fn draw_pair(seed: u64, split: Split) -> Self {
        Self::draw_with(1.0, seed, split)
    }

    fn draw_with(pairs: f64, seed: u64, split: Split) -> Self {
        let mut generator = split.generator(seed);
        let two = generator.chance(pairs);
        Self::with(two, split, seed, &mut generator)
    }

    fn with(two: bool, split: Split, seed: u64, g: &mut Generator) -> Self {
        let (thing, colour) = match split {
            Split::Evaluation(Pairs::HeldOut) => g.pick(HELD_OUT),
            _ => {
                let thing = g.pick(Thing::ALL);
                (thing, pick_colour(thing, split, g))
            }
        };
        let (size, place) = (g.pick(Size::ALL), g.pick(Place::ALL));
        let second = two.then(|| {
            let others = Thing::ALL.iter().copied().filter(|&other| other != thing);
            let other = g.pick(&others.collect::<Vec<_>>());
            let colour = pick_colour(other, split, g);
            Second { thing: other, colour, relation: g.pick(relations(size, place)) }
        });
        let labels = Labels {
            thing,
            colour,
            size,
            place,
            sky: g.pick(Sky::ALL),
            ground: g.pick(Ground::ALL),
            style: g.pick(Style::ALL),
            second,
        };
        let rest = g.clone();
        Self::compose(seed, split, labels, labels, rest)
    }

    /// The scene of `labels`. All that no label names is that of the scene of `seed_labels`, which `rest` comes after, as far
    /// as the labels allow.
    fn compose(
        seed: u64,
        split: Split,
        seed_labels: Labels,
        labels: Labels,
        rest: Generator,
    ) -> Self {
        let mut g = rest.clone();
        let mut backdrop = Backdrop::draw(seed_labels.sky, seed_labels.ground, &mut g);
        if (labels.sky, labels.ground) != (seed_labels.sky, seed_labels.ground) {
            let other = Backdrop::draw(labels.sky, labels.ground, &mut rest.clone());
            backdrop = backdrop.with(other);
        }
        let things = arrange(&labels, &backdrop, &mut g);
        Self {
            seed: seed % Split::SEEDS,
            labels,
            seed_labels,
            rest,
            split,
            backdrop,
            things,
            line_weight: g.between(0.85, 1.2),
        }
    }

    /// The scene of the same seed in which one label has another value, drawn by `generator` among those that the split
    /// and the rest of the image allow; none where there is no other, as for the second thing of a scene of one.
    pub fn sibling(&self, label: Aspect, generator: &mut Generator) -> Option<Self> {
        let others = self.others(label);
        let labels = (!others.is_empty()).then(|| generator.pick(&others))?;
        Some(self.relabelled(labels))
    }

    /// Each scene that [`Self::sibling`] may draw, once.
    pub fn siblings(&self, label: Aspect) -> Vec<Self> {
        let mut others = self.others(label);
        others.sort();
        others.dedup();
        let others = others.into_iter();
        others.map(|labels| self.relabelled(labels)).collect()
    }

    /// The labels that a sibling may have.
    fn others(&self, label: Aspect) -> Vec<Labels> {
        let mut others = alternatives(&self.labels, label);
        others.retain(|other| *other != self.labels && self.allows(other));
        others
    }

    /// The scene of the same seed in which two things have each other's colours; none where these are the same, or where
    /// the split does not allow it.
    pub fn with_colours_exchanged(&self) -> Option<Self> {
        let second = self.labels.second?;
        let labels = Labels {
            colour: second.colour,
            second: Some(Second { colour: self.labels.colour, ..second }),
            ..self.labels
        };
        (labels != self.labels && self.allows(&labels)).then(|| self.relabelled(labels))
    }

    fn relabelled(&self, labels: Labels) -> Self {
        let rest = self.rest.clone();
        Self::compose(self.seed, self.split, self.seed_labels, labels, rest)
    }

    /// Whether the split may show these labels, and an image can.
    fn allows(&self, labels: &Labels) -> bool {
        let pair = match self.split {
            Split::Evaluation(Pairs::HeldOut) => held_out(labels.thing, labels.colour),
            split => split.allows(labels.thing, labels.colour),
        };
        pair && labels.second.is_none_or(|second| {
            second.thing != labels.thing
                && self.split.allows(second.thing, second.colour)
                && relations(labels.size, labels.place).contains(&second.relation)
        })
    }

    /// The labels of the image.
    pub fn labels(&self) -> Labels {
        self.labels
    }

    /// Renders the image, `size` pixels wide and high (at least 1): RGB bytes, `[H, W, 3]`.
    pub fn render(&self, size: u32) -> Vec<u8> {
        self.render_things(size, &self.things)
    }

    /// The pixels of an image of that size that show the first thing with its edge, its shadow and what it stands on, row by
    /// row: those that the same image without it has in another colour.
    pub fn thing_pixels(&self, size: u32) -> Vec<bool> {
        let [with, without] =
            [&self.things[..], &self.things[1..]].map(|things| self.render_things(size, things));
        let pixels = with.chunks_exact(3).zip(without.chunks_exact(3));
        pixels.map(|(one, other)| one != other).collect()
    }

    fn render_things(&self, size: u32, things: &[Placement]) -> Vec<u8> {
        let mut painter = Painter::new(size, self.labels.style, self.line_weight);
        self.backdrop.paint(&mut painter);
        for placed in things.iter().rev() {
            self.paint_support(placed, &mut painter);
            let rim = self.rim(placed);
            painter.thing(&things::draw(placed.thing), placed.colour, &placed.pose(), rim);
        }
        painter.finish()
    }

    /// The same as an image.
    pub fn to_image(&self, size: u32) -> RgbImage {
        RgbImage::from_raw(size, size, self.render(size)).expect("a scene has three bytes a pixel")
    }

    /// The caption that goes with the scene wherever one is enough: in training, evaluation and exports.
    pub fn own_caption(&self) -> Caption {
        // No split's scenes use generators below 2^30, so captions can.
        self.caption(&mut Generator::new(self.seed))
    }

    /// A caption that mentions part of the labels, from the split's own templates.
    pub fn caption(&self, generator: &mut Generator) -> Caption {
        Caption::write(&self.context(), generator)
    }

    /// A caption that mentions exactly these aspects, in any order; none where no template of
    /// the split does ([`Aspect::offered`] lists those there are).
    pub fn caption_about(&self, aspects: &[Aspect], generator: &mut Generator) -> Option<Caption> {
        Caption::write_about(&self.context(), aspects, generator)
    }

    fn context(&self) -> Context {
        Context {
            labels: self.labels,
            reserved: matches!(self.split, Split::Evaluation(_)),
            on: matches!(self.things[0].support, Support::Ground | Support::Raft)
                || (self.labels.thing == Thing::Boat && self.things[0].support != Support::Cloud),
        }
    }

    /// A rim in a tone of the thing's own colour, where the background is too similar.
    fn rim(&self, placed: &Placement) -> Option<Rgb> {
        let behind = self.backdrop.behind(placed.top(), placed.base());
        let near = behind.iter().any(|other| placed.colour.distance(*other) < 0.26);
        near.then(|| {
            let contrast = |tone: Rgb| {
                behind.iter().map(|other| tone.distance(*other)).fold(f32::INFINITY, f32::min)
            };
            let (dark, light) = (placed.colour.shade(-0.5), placed.colour.shade(0.75));
            if contrast(dark) >= contrast(light) { dark } else { light }
        })
    }

    fn paint_support(&self, placed: &Placement, painter: &mut Painter) {
        let (x, base, width) = (placed.x, placed.base(), placed.width());
        match placed.support {
            Support::Nothing => {}
            Support::Ground => {
                let shadow = oval(x, base - 0.005, width * 0.5, 0.022);
                painter.wash(&shadow, INK, 0.2);
            }
            Support::Raft => {
                let raft = rounded(x - width * 0.56, base - 0.015, width * 1.12, 0.045, 0.02);
                painter.scenery(raft, WOOD.shade(0.2));
            }
            Support::Cloud => {
                let half = width * 0.5;
                let cloud = path(|p| {
                    push_oval(p, x, base + 0.008, half * 1.05, 0.028);
                    push_oval(p, x - half * 0.55, base, half * 0.4, 0.032);
                    push_oval(p, x + half * 0.5, base, half * 0.45, 0.035);
                });
                painter.scenery(cloud, WHITE.shade(-0.04));
            }
        }
    }
}

fn pick_colour(thing: Thing, split: Split, generator: &mut Generator) -> Colour {
    let allowed = Colour::ALL.iter().copied().filter(|&colour| split.allows(thing, colour));
    generator.pick(&allowed.collect::<Vec<_>>())
}

/// These labels with every value of one of them.
fn alternatives(labels: &Labels, label: Aspect) -> Vec<Labels> {
    fn each<T: Copy, L>(all: &[T], with: impl Fn(T) -> L) -> Vec<L> {
        all.iter().map(|&value| with(value)).collect()
    }
    let labels = *labels;
    match label {
        Aspect::Thing => each(Thing::ALL, |thing| Labels { thing, ..labels }),
        Aspect::Colour => each(Colour::ALL, |colour| Labels { colour, ..labels }),
        Aspect::Size => each(Size::ALL, |size| Labels { size, ..labels }),
        Aspect::Place => each(Place::ALL, |place| Labels { place, ..labels }),
        Aspect::Sky => each(Sky::ALL, |sky| Labels { sky, ..labels }),
        Aspect::Ground => each(Ground::ALL, |ground| Labels { ground, ..labels }),
        Aspect::Style => each(Style::ALL, |style| Labels { style, ..labels }),
        Aspect::Second | Aspect::SecondColour => {
            let seconds = labels.second.into_iter().flat_map(|second| match label {
                Aspect::SecondColour => each(Colour::ALL, |colour| Second { colour, ..second }),
                _ => {
                    let relations = each(Relation::ALL, |relation| Second { relation, ..second });
                    let things = each(Thing::ALL, |thing| Second { thing, ..second });
                    // A few relations are allowed at most: so they come about as often as things.
                    [relations.repeat(6), things].concat()
                }
            });
            let labelled = |second| Labels { second: Some(second), ..labels };
            seconds.map(labelled).collect()
        }
    }
}
