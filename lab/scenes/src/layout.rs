//! Layout: sizes, places and relations that eyes can tell apart.

use noise::Generator;

use crate::backdrop::Backdrop;
use crate::chance::Chance;
use crate::labels::{Colour, Ground, Labels, Place, Relation, Second, Size, Thing};
use crate::palette::{self, Rgb};
use crate::style::Pose;
use crate::things::{Stance, extent, stance};

/// The support of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// Nothing: it flies, leaps or floats.
    Nothing,
    /// The ground, which it shades.
    Ground,
    /// A raft on the sea.
    Raft,
    /// A small cloud in the sky.
    Cloud,
}

/// A thing with its colour and its pose.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    pub thing: Thing,
    pub colour: Rgb,
    /// The centre of the thing's box.
    pub x: f32,
    pub y: f32,
    /// The longer side of the thing's box.
    pub scale: f32,
    /// Degrees, clockwise.
    pub tilt: f32,
    pub mirrored: bool,
    pub support: Support,
}

impl Placement {
    fn new(thing: Thing, colour: Colour, scale: f32, g: &mut Generator) -> Self {
        let swing = match (stance(thing), thing) {
            (Stance::Standing, _) => 4.0,
            (_, Thing::Rocket) => 32.0,
            _ => 15.0,
        };
        Self {
            thing,
            colour: palette::body(colour, g),
            x: 0.5,
            y: 0.5,
            scale,
            tilt: g.between(-swing, swing),
            mirrored: g.chance(0.5),
            support: Support::Nothing,
        }
    }

    pub(crate) fn width(&self) -> f32 {
        extent(self.thing).0 * self.scale
    }

    pub(crate) fn height(&self) -> f32 {
        extent(self.thing).1 * self.scale
    }

    pub(crate) fn top(&self) -> f32 {
        self.y - self.height() / 2.0
    }

    pub(crate) fn base(&self) -> f32 {
        self.y + self.height() / 2.0
    }

    pub(crate) fn pose(&self) -> Pose {
        Pose { x: self.x, y: self.y, scale: self.scale, tilt: self.tilt, mirrored: self.mirrored }
    }

    /// Puts the thing at a height that suits it.
    fn settle(&mut self, horizon: f32, g: &mut Generator) {
        let half = self.height() / 2.0;
        self.y = match stance(self.thing) {
            Stance::Standing => {
                let highest = (horizon + 0.07).max(self.height() + 0.03);
                g.between(highest.min(0.94), 0.95) - half
            }
            Stance::Flying => {
                let highest = half + 0.03;
                g.between(highest, (horizon + 0.06 - half).max(highest + 0.02))
            }
            Stance::Leaping => {
                let middle = horizon + g.between(-0.16, 0.18);
                middle.clamp(half + 0.03, 0.96 - half)
            }
        };
    }

    fn rest(&mut self, backdrop: &Backdrop, ground: Ground) {
        let low = self.base() > backdrop.horizon + 0.03;
        self.support = match (stance(self.thing), low, ground) {
            (Stance::Flying | Stance::Leaping, ..) => Support::Nothing,
            (Stance::Standing, false, _) => Support::Cloud,
            (Stance::Standing, true, Ground::Sea) if self.thing == Thing::Boat => Support::Nothing,
            (Stance::Standing, true, Ground::Sea) => Support::Raft,
            (Stance::Standing, true, _) => Support::Ground,
        };
        if matches!(self.support, Support::Raft | Support::Cloud) {
            self.tilt *= 0.5;
        }
    }
}

/// The relations that a thing of this size at this place can have to a second one, as often
/// as makes each relation as frequent as the others over all images.
pub(crate) fn relations(size: Size, place: Place) -> &'static [Relation] {
    use Relation::{Above, Below, LeftOf, RightOf};
    match (place, size) {
        (Place::Left, _) => &[LeftOf, LeftOf, Above, Below],
        (Place::Right, _) => &[RightOf, RightOf, Above, Below],
        (Place::Middle, Size::Small) => &[LeftOf, RightOf],
        (Place::Middle, Size::Large) => &[Above, Below],
    }
}

/// The things of a scene, the first one first.
pub(crate) fn arrange(labels: &Labels, backdrop: &Backdrop, g: &mut Generator) -> Vec<Placement> {
    let scale = match labels.size {
        Size::Small => g.between(0.35, 0.41),
        Size::Large => g.between(0.55, 0.64),
    };
    let mut first = Placement::new(labels.thing, labels.colour, scale, g);
    first.settle(backdrop.horizon, g);
    let nearest = first.width() / 2.0 + 0.01;
    first.x = match labels.place {
        Place::Left => g.between(nearest.clamp(0.2, 0.32), 0.32),
        Place::Middle => g.between(0.46, 0.54),
        Place::Right => 1.0 - g.between(nearest.clamp(0.2, 0.32), 0.32),
    };
    let mut things = vec![first];
    if let Some(second) = labels.second {
        let smaller = add_second(&mut things[0], second, backdrop.horizon, g);
        things.push(smaller);
    }
    for thing in &mut things {
        thing.rest(backdrop, labels.ground);
    }
    things
}

/// A second thing beside the first, which moves a little where the relation asks for it.
fn add_second(first: &mut Placement, second: Second, horizon: f32, g: &mut Generator) -> Placement {
    let largest = (first.scale * 0.7).min(0.36);
    let mut other = Placement::new(second.thing, second.colour, g.between(0.24, largest), g);
    let (width, height) = extent(second.thing);
    match second.relation {
        Relation::LeftOf | Relation::RightOf => {
            let leftwards = second.relation == Relation::RightOf;
            if leftwards {
                first.x = 1.0 - first.x;
            }
            let free = 1.0 - (first.x + first.width() / 2.0) - 0.03;
            other.scale = other.scale.min((free / width).max(0.2));
            let half = other.width() / 2.0;
            let nearest = first.x + first.width() / 2.0 + 0.02 + half;
            other.x = g.between(nearest.min(0.99 - half), 0.99 - half);
            other.settle(horizon, g);
            // Side by side: neither is to look as if it were above the other.
            if stance(second.thing) == Stance::Standing {
                first.y = first.y.max(other.y - 0.16);
            } else {
                other.y = other.y.clamp(first.y - 0.14, first.y + 0.14);
            }
            if leftwards {
                first.x = 1.0 - first.x;
                other.x = 1.0 - other.x;
            }
        }
        Relation::Above | Relation::Below => {
            let gap = g.between(0.025, 0.05);
            let free = 0.95 - first.height() - gap;
            other.scale = other.scale.min(free / height);
            let half = other.width() / 2.0 + 0.01;
            other.x = (first.x + g.between(-0.06, 0.06)).clamp(half, 1.0 - half);
            let slack = 0.97 - first.height() - other.height() - gap;
            let lift = g.between(0.0, slack.min(0.1));
            let (upper, lower): (&mut Placement, &mut Placement) =
                if second.relation == Relation::Above {
                    (first, &mut other)
                } else {
                    (&mut other, first)
                };
            lower.y = 0.98 - lift - lower.height() / 2.0;
            upper.y = lower.top() - gap - upper.height() / 2.0;
        }
    }
    other
}
