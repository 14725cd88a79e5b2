//! Rasterisation by tiny-skia: areas, lines, and drawings in any colour.

use tiny_skia::{
    Color, FillRule, FilterQuality, LineCap, LineJoin, Paint, Path, PathBuilder, Pattern, Pixmap,
    PremultipliedColorU8, Rect, Shader, SpreadMode, Stroke, Transform,
};

use crate::drawings::Drawing;
use crate::labels::Texture;
use crate::palette::{INK, Rgb, WHITE, tone};

/// A square image that is being painted. Lengths are fractions of its side.
pub(crate) struct Canvas {
    pixmap: Pixmap,
    side: f32,
}

/// The paint of a drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Coat {
    /// A colour in the place of the drawing's main one.
    pub colour: Option<Rgb>,
    pub texture: Option<Texture>,
    /// A colour that everything is mixed with, and how much: haze, or night.
    pub haze: Option<(Rgb, f32)>,
    /// A line around all of it.
    pub rim: Option<Rgb>,
}

/// A similarity, perhaps with a mirror, from a drawing's box to the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pose {
    pub x: f32,
    pub y: f32,
    pub scale: f32,
    /// Degrees, clockwise.
    pub tilt: f32,
    pub mirrored: bool,
}

impl Pose {
    /// Upright, as it is drawn.
    pub(crate) fn upright(x: f32, y: f32, scale: f32) -> Self {
        Self { x, y, scale, tilt: 0.0, mirrored: false }
    }

    fn transform(&self, side: f32) -> Transform {
        let mirror = if self.mirrored { -1.0 } else { 1.0 };
        Transform::from_scale(self.scale * mirror, self.scale)
            .post_rotate(self.tilt)
            .post_translate(self.x, self.y)
            .post_scale(side, side)
    }
}

impl Canvas {
    /// A canvas of `size` by `size` pixels.
    pub(crate) fn new(size: u32) -> Self {
        let pixmap = Pixmap::new(size, size).expect("an image has at least one pixel");
        Self { pixmap, side: size as f32 }
    }

    /// Fills everything with a gradient from the top to the height `end`.
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

    /// Fills an area.
    pub(crate) fn area(&mut self, path: &Path, colour: Rgb) {
        self.wash(path, colour, 1.0);
    }

    /// Fills an area that shows what is behind it.
    pub(crate) fn wash(&mut self, path: &Path, colour: Rgb, alpha: f32) {
        let transform = Transform::from_scale(self.side, self.side);
        self.pixmap.fill_path(path, &paint(colour, alpha), FillRule::Winding, transform, None);
    }

    /// Draws lines.
    pub(crate) fn lines(&mut self, path: &Path, width: f32, colour: Rgb, alpha: f32) {
        let transform = Transform::from_scale(self.side, self.side);
        self.pixmap.stroke_path(path, &paint(colour, alpha), &stroke(width), transform, None);
    }

    /// Draws a thing.
    pub(crate) fn drawing(&mut self, drawing: &Drawing, coat: &Coat, pose: &Pose) {
        let transform = pose.transform(self.side);
        if let Some(rim) = coat.rim {
            let line = stroke(0.036 / pose.scale);
            let wide = |path: &Path| path.bounds().width().max(path.bounds().height()) > 0.12;
            for shape in drawing.shapes.iter().filter(|shape| wide(&shape.path)) {
                self.pixmap.stroke_path(&shape.path, &paint(rim, 1.0), &line, transform, None);
            }
        }
        let painted_black = coat.colour.is_some_and(|colour| colour.luma() < 0.2);
        let tile = coat.texture.map(|texture| tile(texture, coat.colour.unwrap_or(drawing.look)));
        for shape in &drawing.shapes {
            let mut colour = shape.colour;
            if shape.is_body {
                if let (Some(painted), Some(main)) = (coat.colour, drawing.main) {
                    colour = tone(painted, shape.colour, main);
                }
            } else if painted_black && colour.luma() < 0.22 {
                // Eyes and wheels would be lost.
                colour = Rgb(0.80, 0.80, 0.84);
            }
            if let Some((haze, amount)) = coat.haze {
                colour = colour.mix(haze, amount);
            }
            let rule = if shape.even_odd { FillRule::EvenOdd } else { FillRule::Winding };
            let mut paint = paint(colour, 1.0);
            if let Some(tile) = tile.as_ref().filter(|_| Some(shape.colour) == drawing.main) {
                let period = 0.3 / tile.width() as f32;
                paint.shader = pattern(tile, Transform::from_scale(period, period));
            }
            self.pixmap.fill_path(&shape.path, &paint, rule, transform, None);
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
}

/// A path written out by hand; it must not be empty.
pub(crate) fn path(write: impl FnOnce(&mut PathBuilder)) -> Path {
    let mut builder = PathBuilder::new();
    write(&mut builder);
    builder.finish().expect("a path has points")
}

/// Adds an ellipse by its middle and its half axes.
pub(crate) fn push_oval(builder: &mut PathBuilder, x: f32, y: f32, rx: f32, ry: f32) {
    if let Some(bounds) = Rect::from_ltrb(x - rx, y - ry, x + rx, y + ry) {
        builder.push_oval(bounds);
    }
}

/// Adds a rectangle by its left top corner.
pub(crate) fn push_rect(builder: &mut PathBuilder, x: f32, y: f32, width: f32, height: f32) {
    if let Some(rect) = Rect::from_xywh(x, y, width, height) {
        builder.push_rect(rect);
    }
}

/// An ellipse.
pub(crate) fn oval(x: f32, y: f32, rx: f32, ry: f32) -> Path {
    path(|p| push_oval(p, x, y, rx, ry))
}

/// A rectangle by its left top corner.
pub(crate) fn rect(x: f32, y: f32, width: f32, height: f32) -> Path {
    path(|p| push_rect(p, x, y, width, height))
}

fn paint(Rgb(r, g, b): Rgb, alpha: f32) -> Paint<'static> {
    let channel = |value: f32| value.clamp(0.0, 1.0);
    let mut paint = Paint::default();
    let colour = Color::from_rgba(channel(r), channel(g), channel(b), channel(alpha));
    paint.set_color(colour.expect("clamped channels make a colour"));
    paint
}

fn stroke(width: f32) -> Stroke {
    Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() }
}

fn pattern(tile: &Pixmap, transform: Transform) -> Shader<'_> {
    Pattern::new(tile.as_ref(), SpreadMode::Repeat, FilterQuality::Bilinear, 1.0, transform)
}

/// One period of a pattern: the colour, and white or, on light colours, ink.
fn tile(texture: Texture, colour: Rgb) -> Pixmap {
    const SIDE: u32 = 16;
    let mut tile = Pixmap::new(SIDE, SIDE).expect("a tile has pixels");
    let other = if colour.luma() > 0.78 { INK.mix(colour, 0.25) } else { WHITE };
    let bytes = |Rgb(r, g, b): Rgb| {
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        PremultipliedColorU8::from_rgba(byte(r), byte(g), byte(b), 255)
    };
    let half = SIDE as f32 / 2.0;
    for (index, pixel) in tile.pixels_mut().iter_mut().enumerate() {
        let (x, y) = (index as u32 % SIDE, index as u32 / SIDE);
        let marked = match texture {
            Texture::Stripes => x < SIDE * 7 / 16,
            Texture::Checks => (x < SIDE / 2) == (y < SIDE / 2),
            Texture::Dots => {
                let (dx, dy) = (x as f32 + 0.5 - half, y as f32 + 0.5 - half);
                dx.hypot(dy) < half * 0.52
            }
        };
        *pixel = bytes(if marked { other } else { colour }).unwrap_or(*pixel);
    }
    tile
}
