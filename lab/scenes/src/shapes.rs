//! Paths, and drawings made of them.

use tiny_skia::{Path, PathBuilder, Rect};

use crate::palette::Rgb;

/// The fill of a shape.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    /// The thing's own colour, lighter or darker by this much.
    Body(f32),
    /// A colour that does not depend on the thing's.
    Fixed(Rgb),
}

/// An area, or a line of some width.
pub(crate) struct PathShape {
    pub path: Path,
    pub ink: Ink,
    pub line: Option<f32>,
}

/// Shapes from back to front, in a box around the origin whose longer side is 1; y points down.
#[derive(Default)]
pub(crate) struct Drawing {
    pub shapes: Vec<PathShape>,
}

impl Drawing {
    /// An area in the thing's colour.
    pub(crate) fn body(&mut self, path: Path) {
        self.shade(path, 0.0);
    }

    /// An area in a lighter (or, below 0, darker) tone of the thing's colour.
    pub(crate) fn shade(&mut self, path: Path, by: f32) {
        let ink = Ink::Body(by);
        self.shapes.push(PathShape { path, ink, line: None });
    }

    /// An area in a colour of its own.
    pub(crate) fn detail(&mut self, path: Path, colour: Rgb) {
        let ink = Ink::Fixed(colour);
        self.shapes.push(PathShape { path, ink, line: None });
    }

    /// A line.
    pub(crate) fn line(&mut self, path: Path, width: f32, ink: Ink) {
        self.shapes.push(PathShape { path, ink, line: Some(width) });
    }
}

/// A path written out by hand; it must not be empty.
pub(crate) fn path(write: impl FnOnce(&mut PathBuilder)) -> Path {
    let mut builder = PathBuilder::new();
    write(&mut builder);
    builder.finish().expect("a path has points")
}

/// A path of SVG's path data: the commands `M`, `L`, `Q`, `C` and `Z`, absolute and never left out, with spaces between all.
pub(crate) fn svg(data: &str) -> Path {
    let mut words = data.split_ascii_whitespace();
    path(|p| {
        while let Some(command) = words.next() {
            let mut n = || words.next().and_then(|n| n.parse().ok()).expect("the next is a number");
            match command {
                "M" => p.move_to(n(), n()),
                "L" => p.line_to(n(), n()),
                "Q" => p.quad_to(n(), n(), n(), n()),
                "C" => p.cubic_to(n(), n(), n(), n(), n(), n()),
                "Z" => p.close(),
                _ => unreachable!("{command} is no command"),
            }
        }
    })
}

/// A closed polygon.
pub(crate) fn polygon(points: &[(f32, f32)]) -> Path {
    path(|p| {
        p.move_to(points[0].0, points[0].1);
        points[1..].iter().for_each(|point| p.line_to(point.0, point.1));
        p.close();
    })
}

/// Straight lines from point to point.
pub(crate) fn polyline(points: &[(f32, f32)]) -> Path {
    path(|p| {
        p.move_to(points[0].0, points[0].1);
        points[1..].iter().for_each(|point| p.line_to(point.0, point.1));
    })
}

/// An ellipse by its centre and half axes.
pub(crate) fn oval(x: f32, y: f32, half_width: f32, half_height: f32) -> Path {
    path(|p| push_oval(p, x, y, half_width, half_height))
}

/// Adds an ellipse to a path.
pub(crate) fn push_oval(p: &mut PathBuilder, x: f32, y: f32, half_width: f32, half_height: f32) {
    let (left, top) = (x - half_width, y - half_height);
    let rect = Rect::from_xywh(left, top, 2.0 * half_width, 2.0 * half_height);
    p.push_oval(rect.expect("an ellipse has positive axes"));
}

/// A circle.
pub(crate) fn circle(x: f32, y: f32, radius: f32) -> Path {
    oval(x, y, radius, radius)
}

/// A rectangle by its left top corner.
pub(crate) fn rect(x: f32, y: f32, width: f32, height: f32) -> Path {
    polygon(&[(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
}

/// A rectangle with round corners.
pub(crate) fn rounded(x: f32, y: f32, width: f32, height: f32, radius: f32) -> Path {
    let (right, bottom) = (x + width, y + height);
    path(|p| {
        p.move_to(x + radius, y);
        p.line_to(right - radius, y);
        p.quad_to(right, y, right, y + radius);
        p.line_to(right, bottom - radius);
        p.quad_to(right, bottom, right - radius, bottom);
        p.line_to(x + radius, bottom);
        p.quad_to(x, bottom, x, bottom - radius);
        p.line_to(x, y + radius);
        p.quad_to(x, y, x + radius, y);
        p.close();
    })
}
