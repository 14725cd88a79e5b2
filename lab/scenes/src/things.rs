//! Drawings of the things: one function each, in a box whose longer side is 1.

mod airborne;
mod standing;

use crate::labels::Thing;
use crate::shapes::Drawing;

/// The stance of a thing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// It stands on the ground.
    Standing,
    /// It flies.
    Flying,
    /// It leaps, low over the ground.
    Leaping,
}

/// The thing's stance.
pub(crate) fn stance(thing: Thing) -> Stance {
    match thing {
        Thing::Balloon | Thing::Rocket | Thing::Umbrella | Thing::Kite | Thing::Butterfly => {
            Stance::Flying
        }
        Thing::Fish => Stance::Leaping,
        _ => Stance::Standing,
    }
}

/// Width and height of the thing's box; the longer is 1.
pub(crate) fn extent(thing: Thing) -> (f32, f32) {
    match thing {
        Thing::House => (0.96, 1.0),
        Thing::Tree => (0.76, 1.0),
        Thing::Boat => (0.94, 1.0),
        Thing::Balloon => (0.74, 1.0),
        Thing::Rocket => (0.62, 1.0),
        Thing::Mushroom => (1.0, 0.94),
        Thing::Fish => (1.0, 0.66),
        Thing::Car => (1.0, 0.6),
        Thing::Flower => (0.72, 1.0),
        Thing::Umbrella => (1.0, 1.0),
        Thing::Kite => (0.74, 1.0),
        Thing::Cat => (0.78, 1.0),
        Thing::Cup => (1.0, 0.84),
        Thing::Butterfly => (1.0, 0.86),
    }
}

/// The thing's drawing.
pub(crate) fn draw(thing: Thing) -> Drawing {
    let mut drawing = Drawing::default();
    let draw = match thing {
        Thing::House => standing::house,
        Thing::Tree => standing::tree,
        Thing::Boat => standing::boat,
        Thing::Balloon => airborne::balloon,
        Thing::Rocket => airborne::rocket,
        Thing::Mushroom => standing::mushroom,
        Thing::Fish => airborne::fish,
        Thing::Car => standing::car,
        Thing::Flower => standing::flower,
        Thing::Umbrella => airborne::umbrella,
        Thing::Kite => airborne::kite,
        Thing::Cat => standing::cat,
        Thing::Cup => standing::cup,
        Thing::Butterfly => airborne::butterfly,
    };
    draw(&mut drawing);
    drawing
}
