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

/// The stance of a thing, the width and height of its box, of which the longer is 1, and its drawing.
struct Form {
    stance: Stance,
    extent: (f32, f32),
    draw: fn(&mut Drawing),
}

fn form(thing: Thing) -> Form {
    use Stance::{Flying, Leaping, Standing};
    let (stance, extent, draw): (_, _, fn(&mut Drawing)) = match thing {
        Thing::House => (Standing, (0.96, 1.0), standing::house),
        Thing::Tree => (Standing, (0.76, 1.0), standing::tree),
        Thing::Boat => (Standing, (0.94, 1.0), standing::boat),
        Thing::Balloon => (Flying, (0.74, 1.0), airborne::balloon),
        Thing::Rocket => (Flying, (0.62, 1.0), airborne::rocket),
        Thing::Mushroom => (Standing, (1.0, 0.94), standing::mushroom),
        Thing::Fish => (Leaping, (1.0, 0.66), airborne::fish),
        Thing::Car => (Standing, (1.0, 0.6), standing::car),
        Thing::Flower => (Standing, (0.72, 1.0), standing::flower),
        Thing::Umbrella => (Flying, (1.0, 1.0), airborne::umbrella),
        Thing::Kite => (Flying, (0.74, 1.0), airborne::kite),
        Thing::Cat => (Standing, (0.78, 1.0), standing::cat),
        Thing::Cup => (Standing, (1.0, 0.84), standing::cup),
        Thing::Butterfly => (Flying, (1.0, 0.86), airborne::butterfly),
    };
    Form { stance, extent, draw }
}

/// The thing's stance.
pub(crate) fn stance(thing: Thing) -> Stance {
    form(thing).stance
}

/// Width and height of the thing's box; the longer is 1.
pub(crate) fn extent(thing: Thing) -> (f32, f32) {
    form(thing).extent
}

/// The thing's drawing.
pub(crate) fn draw(thing: Thing) -> Drawing {
    let mut drawing = Drawing::default();
    (form(thing).draw)(&mut drawing);
    drawing
}
