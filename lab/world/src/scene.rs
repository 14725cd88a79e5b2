//! Scenes: synthetic images drawn from a seed, by their labels.

use image::RgbImage;
use noise::Generator;

use crate::backdrop::Backdrop;
use crate::canvas::{Canvas, Coat, Pose};
use crate::draw;
use crate::drawings;
use crate::labels::{Action, Labels};
use crate::layout::{Placement, Support, arrange};
use crate::palette::{Rgb, WHITE};
use crate::splits::Split;

/// An image before it has a size: labels, and everything that no label names.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    seed: u64,
    split: Split,
    labels: Labels,
    /// The generator of everything that no label names.
    rest: Generator,
    backdrop: Backdrop,
    /// The farther things first.
    things: Vec<Placement>,
}

impl Scene {
    /// The split's scene of that seed (modulo [`Split::SEEDS`]).
    pub fn draw(seed: u64, split: Split) -> Self {
        Self::draw_with(None, seed, split)
    }

    /// The same with this number of things, from 0 to 3; at least one where the split shows what is held out.
    pub fn draw_of(things: usize, seed: u64, split: Split) -> Self {
        Self::draw_with(Some(things), seed, split)
    }

    fn draw_with(things: Option<usize>, seed: u64, split: Split) -> Self {
        let mut generator = split.generator(seed);
        let labels = draw::labels(split, things, &mut generator);
        Self::compose(seed % Split::SEEDS, split, labels, generator)
    }

    /// The scene of `labels`, of which `rest` draws what they do not name.
    pub(crate) fn compose(seed: u64, split: Split, labels: Labels, rest: Generator) -> Self {
        let mut g = rest.clone();
        let backdrop = Backdrop::new(&labels, &mut g);
        let things = arrange(&labels, &backdrop, &mut g);
        Self { seed, split, labels, rest, backdrop, things }
    }

    /// The same scene with other labels: what they do not name stays, as far as they allow.
    pub(crate) fn relabelled(&self, labels: Labels) -> Self {
        Self::compose(self.seed, self.split, labels, self.rest.clone())
    }

    /// The scene with some of its things alone, by their places among the labels' figures: what is left stays where it was. A
    /// relation stays where two things do.
    pub fn with_only(&self, figures: &[usize]) -> Self {
        let mut scene = self.clone();
        let all = &self.labels.figures;
        let left = figures.iter().filter_map(|&index| all.get(index).copied());
        scene.labels.figures = left.collect();
        let left = &scene.labels.figures;
        scene.labels.relation = scene.labels.relation.filter(|_| left.len() == 2);
        scene.things.retain(|placed| left.contains(&placed.figure));
        scene
    }

    /// The labels of the image.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The scene's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The scene's split.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The box of each thing, after the place of its figure among the labels': left, top, right and bottom, as fractions of
    /// the side. A group has as many as are counted.
    pub fn boxes(&self) -> Vec<(usize, [f32; 4])> {
        let figures = &self.labels.figures;
        let boxed = |placed: &Placement| {
            let figure = figures.iter().position(|figure| *figure == placed.figure)?;
            let half = placed.width() / 2.0;
            Some((figure, [placed.x - half, placed.top(), placed.x + half, placed.base()]))
        };
        self.things.iter().filter_map(boxed).collect()
    }

    /// Whether the first thing is in water.
    pub(crate) fn is_in_water(&self) -> bool {
        let first = self.labels.figures.first();
        let mut first = self.things.iter().filter(|placed| Some(&placed.figure) == first);
        first.any(|placed| matches!(placed.support, Support::Water(_)))
    }

    /// Renders the image, `size` pixels wide and high (at least 1): RGB bytes, `[H, W, 3]`.
    pub fn render(&self, size: u32) -> Vec<u8> {
        let mut canvas = Canvas::new(size);
        self.backdrop.paint(&mut canvas);
        for placed in &self.things {
            if let Support::Ground(base) = placed.support {
                self.backdrop.paint_shadow(&mut canvas, (placed.x, base), placed.width());
            }
        }
        for placed in &self.things {
            self.paint(placed, &mut canvas);
        }
        self.backdrop.paint_front(&mut canvas);
        canvas.finish()
    }

    /// The same as an image.
    pub fn to_image(&self, size: u32) -> RgbImage {
        RgbImage::from_raw(size, size, self.render(size)).expect("a scene has three bytes a pixel")
    }

    fn paint(&self, placed: &Placement, canvas: &mut Canvas) {
        let coat = Coat {
            colour: placed.colour,
            texture: placed.figure.texture,
            haze: None,
            rim: self.rim(placed),
        };
        canvas.drawing(placed.drawing(), &coat, &placed.pose());
        match placed.figure.action {
            Some(Action::WearingHat) => {
                paint_hat(placed, "hat", Some(Rgb(0.16, 0.13, 0.20)), canvas)
            }
            Some(Action::WearingCrown) => paint_hat(placed, "crown", None, canvas),
            Some(Action::Sleeping) => {
                let side = if placed.mirrored { -0.30 } else { 0.30 };
                let (x, y) = (placed.x - side * placed.width(), placed.top() - 0.04);
                let pose = Pose::upright(x.clamp(0.1, 0.9), y.max(0.1), 0.19);
                let coat = Coat { rim: Some(WHITE), ..Coat::default() };
                canvas.drawing(drawings::named("sleep"), &coat, &pose);
            }
            _ => {}
        }
        if let Support::Water(surface) = placed.support {
            let bottom = placed.base() + 0.03;
            self.backdrop.paint_water_before(canvas, (placed.x, surface, bottom), placed.width());
        }
    }

    /// A rim where the background is too similar to the thing's colour.
    fn rim(&self, placed: &Placement) -> Option<Rgb> {
        let colour = placed.colour.unwrap_or(placed.drawing().look);
        let behind = self.backdrop.behind(placed.top(), placed.base());
        let near = behind.iter().any(|other| colour.distance(*other) < 0.22);
        near.then(|| {
            let contrast = |tone: Rgb| {
                behind.iter().map(|other| tone.distance(*other)).fold(f32::INFINITY, f32::min)
            };
            let (dark, light) = (colour.shade(-0.6), colour.shade(0.85));
            if contrast(dark) >= contrast(light) { dark } else { light }
        })
    }
}

/// A hat on the head of a thing that has one.
fn paint_hat(placed: &Placement, key: &str, colour: Option<Rgb>, canvas: &mut Canvas) {
    let Some([x, y, width]) = placed.figure.thing.entry().hat else { return };
    let (hat, wearer) = (drawings::named(key), placed.drawing());
    let scale = wearer.length(width * 1.2) * placed.scale / hat.extent.0;
    let (dx, dy) = wearer.point(x, y);
    let dx = if placed.mirrored { -dx } else { dx } * placed.scale;
    let (sin, cos) = placed.tilt.to_radians().sin_cos();
    let dy = dy * placed.scale;
    let up = hat.extent.1 * scale * 0.5 - 0.01;
    let pose = Pose {
        x: placed.x + dx * cos - dy * sin + up * sin,
        y: placed.y + dx * sin + dy * cos - up * cos,
        scale,
        tilt: placed.tilt,
        mirrored: placed.mirrored,
    };
    let coat = Coat { colour, rim: Some(WHITE), ..Coat::default() };
    canvas.drawing(hat, &coat, &pose);
}
