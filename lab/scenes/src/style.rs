//! Rasterisation by tiny-skia, in three drawing styles.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, PremultipliedColorU8,
    Stroke, Transform,
};

use crate::labels::Style;
use crate::palette::{INK, PAPER, Rgb};
use crate::shapes::{Drawing, Ink, PathShape};

/// A square canvas, and the style it is painted in.
pub(crate) struct Painter {
    pixmap: Pixmap,
    side: f32,
    style: Style,
    weight: f32,
}

/// A similarity, perhaps with a mirror, from a drawing's box to the image.
#[derive(Clone, Copy)]
pub(crate) struct Pose {
    pub x: f32,
    pub y: f32,
    pub scale: f32,
    pub tilt: f32,
    pub mirrored: bool,
}

impl Pose {
    /// The image's own coordinates.
    pub(crate) const PICTURE: Self =
        Self { x: 0.0, y: 0.0, scale: 1.0, tilt: 0.0, mirrored: false };

    fn transform(&self, side: f32) -> Transform {
        let mirror = if self.mirrored { -1.0 } else { 1.0 };
        Transform::from_scale(self.scale * mirror, self.scale)
            .post_rotate(self.tilt)
            .post_translate(self.x, self.y)
            .post_scale(side, side)
    }
}

impl Painter {
    /// An image `size` pixels wide, with lines `weight` times as thick as usual.
    pub(crate) fn new(size: u32, style: Style, weight: f32) -> Self {
        let pixmap = Pixmap::new(size, size).expect("an image has at least one pixel");
        Self { pixmap, side: size as f32, style, weight }
    }

    /// Fills the image with a gradient from its top to the height `end`.
    pub(crate) fn gradient(&mut self, top: Rgb, bottom: Rgb, end: f32) {
        let width = self.pixmap.width() as usize;
        let step = 1.0 / (self.side * end);
        for (y, row) in self.pixmap.pixels_mut().chunks_mut(width).enumerate() {
            let Rgb(r, g, b) = top.mix(bottom, ((y as f32 + 0.5) * step).min(1.0));
            let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
            let pixel = PremultipliedColorU8::from_rgba(byte(r), byte(g), byte(b), 255);
            row.fill(pixel.expect("an opaque pixel is premultiplied"));
        }
    }

    /// Fills an area, whatever the style.
    pub(crate) fn wash(&mut self, path: &Path, colour: Rgb, alpha: f32) {
        self.fill(path, Pose::PICTURE.transform(self.side), colour, alpha);
    }

    /// Draws lines, whatever the style.
    pub(crate) fn lines(&mut self, path: &Path, width: f32, colour: Rgb, alpha: f32) {
        self.stroke(path, width, Pose::PICTURE.transform(self.side), colour, alpha);
    }

    /// Draws one area of the scenery in the image's style.
    pub(crate) fn scenery(&mut self, path: Path, colour: Rgb) {
        let mut drawing = Drawing::default();
        drawing.body(path);
        self.edge(&drawing, &Pose::PICTURE, 0.6, None);
        let transform = Pose::PICTURE.transform(self.side);
        self.fill(&drawing.shapes[0].path, transform, colour, 1.0);
    }

    /// Draws a thing in the image's style; `rim` edges it where the style has no edge.
    pub(crate) fn thing(&mut self, drawing: &Drawing, colour: Rgb, pose: &Pose, rim: Option<Rgb>) {
        self.edge(drawing, pose, 1.0, rim);
        let transform = pose.transform(self.side);
        for PathShape { path, ink, line } in &drawing.shapes {
            let colour = match *ink {
                Ink::Body(by) => colour.shade(by),
                Ink::Fixed(fixed) => fixed,
            };
            match *line {
                Some(width) => self.stroke(path, width, transform, colour, 1.0),
                None => {
                    self.fill(path, transform, colour, 1.0);
                    if self.style == Style::Outlined {
                        let width = 0.008 * self.weight / pose.scale;
                        self.stroke(path, width, transform, INK, 0.8);
                    }
                }
            }
        }
    }

    /// The image's bytes, [H, W, 3].
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pixmap.pixels().len() * 3);
        for pixel in self.pixmap.pixels() {
            bytes.extend_from_slice(&[pixel.red(), pixel.green(), pixel.blue()]);
        }
        bytes
    }

    /// The edge of a drawing: a dark line, a paper edge and its shadow, or a thin rim.
    fn edge(&mut self, drawing: &Drawing, pose: &Pose, strength: f32, rim: Option<Rgb>) {
        let transform = pose.transform(self.side);
        let widest = strength * self.weight;
        match self.style {
            Style::Flat => {
                if let Some(rim) = rim {
                    self.silhouette(drawing, 0.010, pose.scale, transform, rim, 1.0);
                }
            }
            Style::Outlined => {
                self.silhouette(drawing, 0.019 * widest, pose.scale, transform, INK, 1.0);
            }
            Style::Paper => {
                let (right, down) = (0.011 * self.side, 0.017 * self.side);
                let fallen = transform.post_translate(right, down);
                let width = 0.022 * widest;
                self.silhouette(drawing, width, pose.scale, fallen, INK, 0.35);
                self.silhouette(drawing, width, pose.scale, transform, PAPER, 1.0);
            }
        }
    }

    /// Strokes all shapes as one path, so that only what lies outside the drawing stays to be seen.
    fn silhouette(
        &mut self,
        drawing: &Drawing,
        reach: f32,
        scale: f32,
        transform: Transform,
        colour: Rgb,
        alpha: f32,
    ) {
        let width = 2.0 * reach / scale;
        let mut areas = PathBuilder::new();
        for shape in &drawing.shapes {
            match shape.line {
                None => areas.push_path(&shape.path),
                Some(line) => self.stroke(&shape.path, line + width, transform, colour, alpha),
            }
        }
        if let Some(areas) = areas.finish() {
            self.stroke(&areas, width, transform, colour, alpha);
        }
    }

    fn fill(&mut self, path: &Path, transform: Transform, colour: Rgb, alpha: f32) {
        let paint = paint(colour, alpha);
        self.pixmap.fill_path(path, &paint, FillRule::Winding, transform, None);
    }

    fn stroke(&mut self, path: &Path, width: f32, at: Transform, colour: Rgb, alpha: f32) {
        let stroke = Stroke {
            width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixmap.stroke_path(path, &paint(colour, alpha), &stroke, at, None);
    }
}

fn paint(Rgb(r, g, b): Rgb, alpha: f32) -> Paint<'static> {
    let channel = |value: f32| value.clamp(0.0, 1.0);
    let mut paint = Paint::default();
    let colour = Color::from_rgba(channel(r), channel(g), channel(b), channel(alpha));
    paint.set_color(colour.expect("clamped channels make a colour"));
    paint
}
