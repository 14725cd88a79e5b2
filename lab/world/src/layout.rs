//! Layout: where each thing is, and how large.

use noise::Generator;

use crate::backdrop::Backdrop;
use crate::canvas::Pose;
use crate::chance::Chance;
use crate::drawings::Drawing;
use crate::labels::{Action, Figure, Labels, Place, Relation, Size};
use crate::palette::{self, Rgb};
use crate::things::{Home, Thing};

/// The support of a thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Support {
    /// Nothing, or another thing.
    Nothing,
    /// The ground at this height, which it shades.
    Ground(f32),
    /// Water whose surface is at this height.
    Water(f32),
}

/// A thing with its colour and its pose.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    pub figure: Figure,
    /// The colour that is painted on it.
    pub colour: Option<Rgb>,
    /// The centre of the thing's box.
    pub x: f32,
    pub y: f32,
    /// The longer side of the thing's box.
    pub scale: f32,
    pub tilt: f32,
    pub mirrored: bool,
    pub support: Support,
}

/// Things that others can be put on, and how far below their top, as a part of their height.
const SEATS: &[(&str, f32)] = &[
    ("table", 0.06),
    ("chair", 0.50),
    ("bed", 0.42),
    ("sofa", 0.40),
    ("car", 0.05),
    ("bus", 0.02),
    ("truck", 0.02),
    ("train", 0.30),
    ("tractor", 0.05),
    ("boat", 0.72),
    ("skateboard", 0.35),
    ("house", 0.10),
    ("castle", 0.20),
    ("skyscraper", 0.02),
    ("horse", 0.42),
    ("elephant", 0.04),
    ("cow", 0.22),
    ("pig", 0.05),
    ("turtle", 0.04),
    ("camel", 0.08),
    ("book", 0.02),
    ("present", 0.16),
    ("cake", 0.26),
    ("piano", 0.02),
    ("drum", 0.10),
    ("mushroom", 0.02),
    ("television", 0.16),
    ("laptop", 0.03),
    ("ball", 0.02),
    ("pumpkin", 0.06),
    ("tree", 0.03),
    ("cheese", 0.10),
    ("bread", 0.05),
];

/// The depth below its top at which a thing carries another, as a part of its height; none where it carries nothing.
pub(crate) fn seat(thing: Thing) -> Option<f32> {
    SEATS.iter().find(|(name, _)| *name == thing.name()).map(|&(_, depth)| depth)
}

impl Placement {
    fn new(figure: Figure, scale: f32, g: &mut Generator) -> Self {
        let thing = figure.thing;
        let tilt = match thing.home() {
            Home::Flyer | Home::Fish | Home::Sky => g.between(-9.0, 9.0),
            _ => g.between(-3.0, 3.0),
        };
        let colour = figure.colour.map(|colour| palette::body(colour, g));
        let as_usual = figure.colour == thing.natural_colour() && !thing.entry().painted;
        Self {
            figure,
            colour: colour.filter(|_| !as_usual),
            x: 0.5,
            y: 0.5,
            scale,
            tilt,
            mirrored: g.chance(0.5),
            support: Support::Nothing,
        }
    }

    pub(crate) fn drawing(&self) -> &'static Drawing {
        self.figure.thing.drawing(self.figure.action)
    }

    pub(crate) fn width(&self) -> f32 {
        self.drawing().extent.0 * self.scale
    }

    pub(crate) fn height(&self) -> f32 {
        self.drawing().extent.1 * self.scale
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

    fn put_base(&mut self, base: f32) {
        self.y = base - self.height() / 2.0;
    }

    /// Makes it no taller than `height`, and leaves room for a hat.
    fn fit(&mut self, width: f32, height: f32) {
        let hat = match self.figure.action {
            Some(Action::WearingHat | Action::WearingCrown) => 0.68,
            _ => 1.0,
        };
        let (wide, tall) = self.drawing().extent;
        self.scale = self.scale.min(width / wide).min(height * hat / tall);
    }

    /// Puts it at the height that its kind has at a place: on the ground, in the air or in water.
    fn settle(&mut self, backdrop: &Backdrop, stand: f32) {
        let home = self.figure.thing.home();
        let half = self.height() / 2.0;
        let flies = home == Home::Flyer || self.figure.action == Some(Action::Flying);
        self.support = Support::Nothing;
        match backdrop.place {
            Place::Plain if matches!(home, Home::Sky) || flies => self.y = 0.5,
            Place::Plain => {
                self.put_base((0.5 + half).clamp(0.84, 0.94));
                self.support = Support::Ground(self.base());
            }
            Place::Space | Place::Sky | Place::Underwater => {
                self.y = (stand - 0.88).mul_add(1.5, 0.5).clamp(half + 0.03, 0.97 - half);
            }
            place if home == Home::Sky => {
                let highest: f32 = if place == Place::Sea { 0.30 } else { 0.28 };
                self.y = highest.max(half + 0.04);
            }
            _ if flies => self.y = (0.36 + 0.5 * (stand - 0.88)).max(half + 0.05),
            _ => self.stand(backdrop, stand),
        }
        if self.figure.action == Some(Action::Jumping) {
            self.y -= 0.15_f32.min(self.top() - 0.02).max(0.0);
            self.tilt += if self.mirrored { -12.0 } else { 12.0 };
        }
    }

    /// Puts it on the ground, or into the water there.
    fn stand(&mut self, backdrop: &Backdrop, stand: f32) {
        let home = self.figure.thing.home();
        let water = backdrop.waterline().map(|line| line + (stand - 0.89));
        let in_water = backdrop.place == Place::Sea
            || home == Home::Fish
            || home == Home::Floats
            || self.figure.action == Some(Action::Swimming)
            || matches!(self.figure.thing.name(), "duck" | "swan");
        match water.filter(|_| in_water) {
            Some(surface) => {
                let depth = match home {
                    Home::Floats => 0.12,
                    Home::Bird => 0.25,
                    Home::Fish => 0.30,
                    _ if self.figure.action == Some(Action::Surfing) => 0.10,
                    _ => 0.30,
                };
                let surface = surface.max(self.height() * (1.0 - depth) + 0.03);
                self.put_base(surface + depth * self.height());
                self.support = Support::Water(surface);
            }
            None => {
                self.put_base(stand.max(self.height() + 0.02).min(0.985));
                self.support = Support::Ground(self.base());
            }
        }
    }
}

/// The things of a scene, those that are farther away first.
pub(crate) fn arrange(labels: &Labels, backdrop: &Backdrop, g: &mut Generator) -> Vec<Placement> {
    let (high, low) = backdrop.standing();
    let stand = g.between(high, low);
    match labels.figures.as_slice() {
        [] => Vec::new(),
        [figure] => group(*figure, labels.size, backdrop, stand, g),
        [first, second] => {
            let relation = labels.relation.unwrap_or(Relation::LeftOf);
            pair(*first, *second, relation, backdrop, stand, g)
        }
        several => row(several, backdrop, stand, g),
    }
}

/// One figure, as often as it is counted.
fn group(
    figure: Figure,
    size: Size,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) -> Vec<Placement> {
    let count = usize::from(figure.count.max(1));
    let plain = if backdrop.place == Place::Plain { 1.12 } else { 1.0 };
    let scale = match (count, size) {
        (1, Size::Small) => g.between(0.28, 0.32),
        (1, Size::Medium) => g.between(0.52, 0.60) * plain,
        (1, Size::Large) => g.between(0.70, 0.76) * plain,
        (2, _) => g.between(0.42, 0.46),
        _ => g.between(0.31, 0.33),
    };
    let alike = Placement::new(figure, scale, g);
    let step = 0.94 / count as f32;
    let mut all = Vec::new();
    for index in 0..count {
        let mut one = alike.clone();
        one.fit(step - 0.02, 0.90);
        let middle = 0.03 + step * (index as f32 + 0.5);
        let free = ((step - one.width()) / 2.0).clamp(0.0, if count == 1 { 0.16 } else { 0.03 });
        one.x = middle + g.between(-free, free);
        let lower = if count == 1 { 0.0 } else { g.between(-0.02, 0.02) };
        one.settle(backdrop, stand + lower);
        if count > 1 && one.support == Support::Nothing {
            one.y += g.between(-0.05, 0.05);
        }
        all.push(one);
    }
    all
}

/// Three figures side by side, the first one left.
fn row(figures: &[Figure], backdrop: &Backdrop, stand: f32, g: &mut Generator) -> Vec<Placement> {
    let step = 0.96 / figures.len() as f32;
    let place = |(index, figure): (usize, &Figure)| {
        let scale = g.between(0.30, 0.33);
        let mut one = Placement::new(*figure, scale, g);
        one.fit(step - 0.01, 0.6);
        one.x = 0.02 + step * (index as f32 + 0.5);
        one.settle(backdrop, stand);
        one
    };
    figures.iter().enumerate().map(place).collect()
}

/// Two figures; the farther one first.
fn pair(
    first: Figure,
    second: Figure,
    relation: Relation,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) -> Vec<Placement> {
    let bulk = |figure: &Figure| if figure.thing.home() == Home::Large { 0.47 } else { 0.42 };
    let (scale, other_scale) = (bulk(&first) + g.between(-0.02, 0.02), bulk(&second));
    let mut one = Placement::new(first, scale, g);
    let mut other = Placement::new(second, other_scale + g.between(-0.02, 0.02), g);
    match relation {
        Relation::LeftOf => beside(&mut one, &mut other, backdrop, stand, g),
        Relation::RightOf => beside(&mut other, &mut one, backdrop, stand, g),
        Relation::Above => stack(&mut one, &mut other, backdrop, stand, g),
        Relation::Under => match second.thing.name() {
            "umbrella" | "table" | "tree" | "palm tree" | "fir tree" => {
                shelter(&mut one, &mut other, backdrop, stand, g);
                return vec![other, one];
            }
            _ => stack(&mut other, &mut one, backdrop, stand, g),
        },
        Relation::On => {
            put_on(&mut one, &mut other, backdrop, stand, g);
            return vec![other, one];
        }
        Relation::InFrontOf => {
            overlap(&mut one, &mut other, backdrop, stand, g);
            return vec![other, one];
        }
        Relation::Behind => {
            overlap(&mut other, &mut one, backdrop, stand, g);
        }
    }
    vec![one, other]
}

fn beside(
    left: &mut Placement,
    right: &mut Placement,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) {
    for (one, middle) in [(&mut *left, 0.26), (&mut *right, 0.74)] {
        one.fit(0.44, 0.62);
        one.x = middle + g.between(-0.02, 0.02);
        one.settle(backdrop, stand);
    }
}

/// One over the other, with some space between them.
fn stack(
    upper: &mut Placement,
    lower: &mut Placement,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) {
    upper.fit(0.6, 0.40);
    lower.fit(0.6, 0.42);
    lower.x = g.between(0.44, 0.56);
    upper.x =
        (lower.x + g.between(-0.06, 0.06)).clamp(upper.width() / 2.0, 1.0 - upper.width() / 2.0);
    lower.settle(backdrop, stand);
    if lower.support == Support::Nothing {
        lower.y = 0.97 - lower.height() / 2.0;
    } else if backdrop.place == Place::Plain {
        lower.put_base(0.94);
        lower.support = Support::Ground(0.94);
    }
    upper.support = Support::Nothing;
    upper.y = (lower.top() - 0.05 - upper.height() / 2.0).max(upper.height() / 2.0 + 0.01);
}

/// One that stands beneath the other, which covers it or reaches over it.
fn shelter(
    one: &mut Placement,
    over: &mut Placement,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) {
    let stand = stand.max(0.88);
    over.tilt = 0.0;
    one.x = g.between(0.46, 0.54);
    over.x = one.x;
    match over.figure.thing.name() {
        "umbrella" => {
            one.fit(0.42, 0.44);
            one.settle(backdrop, stand);
            over.scale = 0.50;
            over.y = one.top() + 0.13 - over.height() / 2.0;
        }
        "table" => {
            one.scale = 0.30;
            one.fit(0.40, 0.30);
            one.settle(backdrop, stand);
            over.scale = 0.80;
            over.put_base(one.base().max(stand));
        }
        _ => {
            one.scale = 0.30;
            one.fit(0.34, 0.30);
            one.settle(backdrop, stand);
            over.scale = 0.80;
            over.put_base(one.base() - 0.03);
            one.x += if one.mirrored { 0.20 } else { -0.20 };
        }
    }
    if matches!(over.support, Support::Nothing) && over.figure.thing.name() != "umbrella" {
        over.support = Support::Ground(over.base());
    }
}

/// One that stands on the top of the other.
fn put_on(
    one: &mut Placement,
    seat_of: &mut Placement,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) {
    let depth = seat(seat_of.figure.thing).unwrap_or(0.0);
    seat_of.scale = g.between(0.50, 0.54);
    seat_of.fit(0.7, 0.46 / (1.0 - depth).max(0.6));
    seat_of.tilt = 0.0;
    seat_of.x = g.between(0.46, 0.54);
    seat_of.settle(backdrop, stand.max(0.88));
    if backdrop.place == Place::Plain {
        seat_of.put_base(0.95);
        seat_of.support = Support::Ground(0.95);
    }
    let level = seat_of.top() + depth * seat_of.height();
    one.fit(0.5, (level - 0.02).min(0.42));
    one.tilt = 0.0;
    one.x = seat_of.x + g.between(-0.02, 0.02);
    one.put_base(level + 0.012);
    one.support = Support::Nothing;
}

/// One near and partly before the other, which is farther away.
fn overlap(
    near: &mut Placement,
    far: &mut Placement,
    backdrop: &Backdrop,
    stand: f32,
    g: &mut Generator,
) {
    let left = g.chance(0.5);
    far.scale = g.between(0.58, 0.64);
    far.fit(0.66, 0.66);
    far.settle(backdrop, stand - 0.05);
    near.scale = g.between(0.36, 0.40);
    near.fit(0.5, 0.40);
    near.settle(backdrop, stand);
    let reach = (far.width() + near.width()) / 2.0 * 0.58;
    let (far_x, near_x) = (0.5 - reach / 2.0, 0.5 + reach / 2.0);
    (far.x, near.x) = if left { (far_x, near_x) } else { (1.0 - far_x, 1.0 - near_x) };
    if near.support != Support::Nothing {
        near.put_base(far.base().max(near.base()).min(0.95) + 0.03);
        if matches!(near.support, Support::Ground(_)) {
            near.support = Support::Ground(near.base());
        }
    } else {
        near.y = (far.y + 0.12).min(0.98 - near.height() / 2.0);
    }
}
