//! Drawings of things: filled paths, of `data/drawings.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use tiny_skia::{Path, PathBuilder, Rect, Transform};

use crate::palette::Rgb;

/// Filled paths from back to front, in a box around the origin whose longer side is 1; y points down.
pub(crate) struct Drawing {
    pub shapes: Vec<Fill>,
    /// The box's width and height.
    pub extent: (f32, f32),
    /// The fill that a colour is put in the place of; tones of it follow.
    pub main: Option<Rgb>,
    /// The fill of most of the drawing.
    pub look: Rgb,
    /// The part of the shapes' boxes that takes a colour.
    body_share: f32,
    /// From the units of the set to the box.
    origin: (f32, f32),
    scale: f32,
}

/// A filled path.
pub(crate) struct Fill {
    pub path: Path,
    pub colour: Rgb,
    /// Whether a colour is put in its place.
    pub is_body: bool,
    pub even_odd: bool,
}

/// Numbers of the file to a unit of a 32 by 32 box.
const PER_UNIT: f32 = 16.0;

static DRAWINGS: LazyLock<HashMap<&'static str, Drawing>> = LazyLock::new(|| {
    let text = include_str!("../data/drawings.txt");
    let drawings = text.split("\n= ").skip(1);
    let drawing = |block: &'static str| {
        let (key, shapes) = block.split_once('\n').unwrap_or((block, ""));
        (key, Drawing::parse(shapes).expect("every drawing of data/drawings.txt is whole"))
    };
    drawings.map(drawing).collect()
});

/// The drawing of that key.
pub(crate) fn named(key: &str) -> &'static Drawing {
    DRAWINGS.get(key).expect("every thing has a drawing in data/drawings.txt")
}

impl Drawing {
    /// Whether a colour can be put on it.
    pub(crate) fn takes_colours(&self) -> bool {
        self.main.is_some()
    }

    /// Whether a pattern on its colour can be seen.
    pub(crate) fn takes_textures(&self) -> bool {
        self.body_share > 0.3
    }

    /// A point in the set's units, as one of the box.
    pub(crate) fn point(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.origin.0) * self.scale, (y - self.origin.1) * self.scale)
    }

    /// A length in the set's units, as one of the box.
    pub(crate) fn length(&self, length: f32) -> f32 {
        length * self.scale
    }

    fn parse(text: &str) -> Option<Self> {
        let mut main = None;
        let mut shapes = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (paint, path) = line.split_once(' ')?;
            let colour = Rgb::from_hex(paint.get(..6)?)?;
            if paint.contains("++") {
                main = Some(colour);
            }
            shapes.push(Fill {
                path: parse_path(path)?,
                colour,
                is_body: paint.contains('+'),
                even_odd: paint.contains('%'),
            });
        }
        let bounds = shapes.iter().map(|shape| shape.path.bounds()).reduce(|all, one| {
            let (left, top) = (all.left().min(one.left()), all.top().min(one.top()));
            let (right, bottom) = (all.right().max(one.right()), all.bottom().max(one.bottom()));
            Rect::from_ltrb(left, top, right, bottom).unwrap_or(all)
        })?;
        let side = bounds.width().max(bounds.height());
        let origin = (bounds.left() + bounds.width() / 2.0, bounds.top() + bounds.height() / 2.0);
        let to_box =
            Transform::from_translate(-origin.0, -origin.1).post_scale(1.0 / side, 1.0 / side);
        let area = |shape: &Fill| shape.path.bounds().width() * shape.path.bounds().height();
        let whole: f32 = shapes.iter().map(area).sum();
        let body: f32 = shapes.iter().filter(|shape| shape.is_body).map(area).sum();
        let largest = shapes.iter().max_by(|one, other| area(one).total_cmp(&area(other)))?;
        let look = main.unwrap_or(largest.colour);
        for shape in &mut shapes {
            shape.path = shape.path.clone().transform(to_box)?;
        }
        Some(Self {
            shapes,
            extent: (bounds.width() / side, bounds.height() / side),
            main,
            look,
            body_share: body / whole,
            origin,
            scale: 1.0 / side,
        })
    }
}

/// A path of integers: a letter, then its points relative to where the pen is (M's are absolute).
fn parse_path(text: &str) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (mut x, mut y) = (0.0, 0.0);
    let mut start = (0.0, 0.0);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let end =
            rest[1..].find(|c: char| c.is_ascii_uppercase()).map_or(rest.len(), |end| end + 1);
        let numbers = rest[1..end].split(' ').filter(|number| !number.is_empty());
        let numbers: Result<Vec<f32>, _> = numbers.map(str::parse::<f32>).collect();
        let n: Vec<f32> = numbers.ok()?.iter().map(|number| number / PER_UNIT).collect();
        match (letter, n.as_slice()) {
            ('M', &[to_x, to_y]) => {
                (x, y) = (to_x, to_y);
                start = (x, y);
                builder.move_to(x, y);
            }
            ('L', &[dx, dy]) => {
                (x, y) = (x + dx, y + dy);
                builder.line_to(x, y);
            }
            ('Q', &[x1, y1, dx, dy]) => {
                builder.quad_to(x + x1, y + y1, x + dx, y + dy);
                (x, y) = (x + dx, y + dy);
            }
            ('C', &[x1, y1, x2, y2, dx, dy]) => {
                builder.cubic_to(x + x1, y + y1, x + x2, y + y2, x + dx, y + dy);
                (x, y) = (x + dx, y + dy);
            }
            ('Z', &[]) => {
                builder.close();
                (x, y) = start;
            }
            _ => return None,
        }
        rest = &rest[end..];
    }
    builder.finish()
}
