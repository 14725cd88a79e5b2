//! Splits of the scenes, and what is held out of training.

use noise::Generator;

use crate::labels::{Colour, Labels, Place};
use crate::things::Thing;

/// A split of the scenes. No two share a scene, and each has [`Split::SEEDS`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Training of the models: nothing that is held out.
    Training,
    /// Training and validation of a judge: everything.
    Judge,
    /// Evaluation, with captions of forms of its own.
    Evaluation(Novelty),
}

/// The part of an evaluation scene that training held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Novelty {
    /// Nothing.
    Seen,
    /// The first thing has a colour that it never has in training.
    Colour,
    /// Two things that are never together in training, or a thing at a place where it never is; colours are seen ones.
    Composition,
    /// Anything.
    Any,
}

impl Split {
    /// The number of scenes of a split: a seed counts modulo this.
    pub const SEEDS: u64 = 1 << 30;

    /// The generator of scene `seed`. torch's generator takes 32 bits of seed: two tell the splits apart, and 30 are the
    /// seed, mixed by a bijection.
    pub(crate) fn generator(self, seed: u64) -> Generator {
        let tag = match self {
            Self::Training => 1,
            Self::Judge => 2,
            Self::Evaluation(_) => 3,
        };
        Generator::new(tag * Self::SEEDS + mixed(seed))
    }

    /// Whether the split may show these labels.
    pub(crate) fn allows(self, labels: &Labels) -> bool {
        let first = labels.figures.first();
        let novel_first = first.is_some_and(|figure| {
            figure.colour.is_some_and(|colour| held_out(figure.thing, colour))
        });
        match self {
            Self::Training | Self::Evaluation(Novelty::Seen) => {
                !shows_held_out_colour(labels) && !shows_held_out_composition(labels)
            }
            Self::Evaluation(Novelty::Colour) => novel_first,
            Self::Evaluation(Novelty::Composition) => {
                !shows_held_out_colour(labels) && shows_held_out_composition(labels)
            }
            Self::Judge | Self::Evaluation(Novelty::Any) => true,
        }
    }

    /// Whether the split may show a thing of that colour.
    pub(crate) fn allows_colour(self, thing: Thing, colour: Colour) -> bool {
        match self {
            Self::Judge | Self::Evaluation(Novelty::Any | Novelty::Colour) => true,
            Self::Training | Self::Evaluation(Novelty::Seen | Novelty::Composition) => {
                !held_out(thing, colour)
            }
        }
    }
}

/// The colours that are held out, by turns: none that a thing is likely to be asked in.
const TURNS: &[Colour] = &[
    Colour::Purple,
    Colour::Turquoise,
    Colour::Pink,
    Colour::Orange,
    Colour::Green,
    Colour::Turquoise,
];

/// The colour that a thing has in no training scene; none of a thing that takes no colours.
pub fn held_out_colour(thing: Thing) -> Option<Colour> {
    let turns = TURNS.iter().cycle().skip(thing.index()).take(TURNS.len());
    let mut others = turns.filter(|&&colour| thing.natural_colour() != Some(colour));
    others.next().copied().filter(|_| thing.takes_colours())
}

/// Whether a thing has this colour in no training scene.
pub fn held_out(thing: Thing, colour: Colour) -> bool {
    held_out_colour(thing) == Some(colour)
}

/// The weight of things that people ask for so often that they miss no place, and no other such thing.
const USUAL: u32 = 3;

/// Whether two things are together in no training scene: an eleventh of all pairs, where one at least is not usual.
pub fn held_out_together(one: Thing, other: Thing) -> bool {
    let usual = one.entry().weight.min(other.entry().weight) >= USUAL;
    one != other && !usual && (one.index() + other.index()) % 11 == 4
}

/// Whether a thing is at this place in no training scene: a twelfth of the places where it seldom is, where it is not usual.
pub fn held_out_at(thing: Thing, place: Place) -> bool {
    let entry = thing.entry();
    let usual = place == Place::Plain || entry.weight >= USUAL || entry.haunts.contains(&place);
    !usual && (thing.index() * 7 + place.index()) % 12 == 5
}

fn shows_held_out_colour(labels: &Labels) -> bool {
    let mut figures = labels.figures.iter();
    figures.any(|figure| figure.colour.is_some_and(|colour| held_out(figure.thing, colour)))
}

fn shows_held_out_composition(labels: &Labels) -> bool {
    let figures = &labels.figures;
    let together = figures.iter().enumerate().any(|(index, one)| {
        figures[..index].iter().any(|other| held_out_together(one.thing, other.thing))
    });
    together || figures.iter().any(|figure| held_out_at(figure.thing, labels.place))
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
