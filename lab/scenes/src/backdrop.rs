//! Backdrops: sky, hills and ground.

use noise::Generator;

use crate::chance::Chance;
use crate::labels::{Ground, Sky};
use crate::palette::{INK, Rgb, WHITE};
use crate::shapes::{circle, path, push_oval};
use crate::style::Painter;

/// Everything behind the things: labels as colours, and all that no label names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backdrop {
    sky: Sky,
    ground: Ground,
    pub sky_top: Rgb,
    pub sky_bottom: Rgb,
    pub ground_colour: Rgb,
    /// The height of the horizon at the image's edges, and its rise in the middle.
    pub horizon: f32,
    bow: f32,
    /// Sun or moon, by its radius.
    light: Option<Spot>,
    /// Clouds, by half their width.
    clouds: Vec<Spot>,
    /// Stars, by their radius.
    stars: Vec<Spot>,
    hills: Vec<Hill>,
    /// Tufts, pebbles, drifts or waves.
    marks: Vec<Spot>,
}

/// Something at a point of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spot {
    x: f32,
    y: f32,
    size: f32,
}

/// A hill on the horizon, by its middle.
#[derive(Clone, Debug, PartialEq)]
struct Hill {
    x: f32,
    half_width: f32,
    height: f32,
}

impl Spot {
    /// A spot with each number uniform in its range; x first.
    fn draw(g: &mut Generator, x: (f32, f32), y: (f32, f32), size: (f32, f32)) -> Self {
        let mut between = |(low, high)| g.between(low, high);
        Self { x: between(x), y: between(y), size: between(size) }
    }
}

impl Backdrop {
    /// A backdrop with this sky and ground.
    pub(crate) fn draw(sky: Sky, ground: Ground, generator: &mut Generator) -> Self {
        let g = generator;
        let (sky_top, sky_bottom) = sky_colours(sky, g);
        let ground_colour = ground_colour(sky, ground, g);
        let horizon = g.between(0.56, 0.74);
        let bow = if ground == Ground::Sea { 0.0 } else { g.between(-0.03, 0.05) };
        let light = draw_light(sky, horizon, g);
        let clouds = draw_clouds(sky, g);
        let stars = if sky == Sky::Night { 16 + g.below(14) } else { 0 };
        let star = |_| Spot::draw(g, (0.0, 1.0), (0.0, horizon), (0.005, 0.012));
        let stars = (0..stars).map(star).collect();
        let hills = if ground == Ground::Sea { g.below(2) } else { g.below(4) };
        let hills = (0..hills)
            .map(|_| Hill {
                x: g.between(0.0, 1.0),
                half_width: g.between(0.18, 0.45),
                height: g.between(0.05, 0.13),
            })
            .collect();
        let marks = 10 + g.below(10);
        let mark = |_| Spot::draw(g, (0.0, 1.0), (horizon + 0.05, 1.0), (0.6, 1.2));
        let marks = (0..marks).map(mark).collect();
        Self {
            sky,
            ground,
            sky_top,
            sky_bottom,
            ground_colour,
            horizon,
            bow,
            light,
            clouds,
            stars,
            hills,
            marks,
        }
    }

    /// This backdrop with the sky and the ground of `other`: where both have the same one it stays as it is.
    pub(crate) fn with(self, other: Self) -> Self {
        let (light, clouds, stars) = if self.sky == other.sky {
            (self.light, self.clouds, self.stars)
        } else {
            (other.light, other.clouds, other.stars)
        };
        let (bow, hills, marks) = if self.ground == other.ground {
            (self.bow, self.hills, self.marks)
        } else {
            (other.bow, other.hills, other.marks)
        };
        Self { light, clouds, stars, bow, hills, marks, horizon: self.horizon, ..other }
    }

    /// The colours that lie behind something from height `top` to height `bottom`.
    pub(crate) fn behind(&self, top: f32, bottom: f32) -> Vec<Rgb> {
        let at = |y: f32| {
            if y > self.horizon {
                self.ground_colour
            } else {
                self.sky_top.mix(self.sky_bottom, (y / self.horizon).clamp(0.0, 1.0))
            }
        };
        vec![at(top), at((top + bottom) / 2.0), at(bottom)]
    }

    /// Paints all of it.
    pub(crate) fn paint(&self, painter: &mut Painter) {
        painter.gradient(self.sky_top, self.sky_bottom, self.horizon);
        self.paint_lights(painter);
        let cloud = match self.sky {
            Sky::Clear => WHITE,
            Sky::Sunset => Rgb(1.0, 0.87, 0.78),
            Sky::Night | Sky::Rain => Rgb(0.47, 0.5, 0.55),
        };
        for &Spot { x, y, size } in &self.clouds {
            let cloud_path = path(|p| {
                push_oval(p, x, y, size, size * 0.36);
                push_oval(p, x - size * 0.4, y - size * 0.14, size * 0.42, size * 0.36);
                push_oval(p, x + size * 0.25, y - size * 0.24, size * 0.5, size * 0.46);
            });
            painter.scenery(cloud_path, cloud);
        }
        if self.sky == Sky::Rain {
            self.paint_rain(painter);
        }
        let far = match self.ground {
            Ground::Sea => Rgb(0.55, 0.62, 0.55),
            _ => self.ground_colour.shade(-0.12),
        };
        for &Hill { x, half_width: half, height } in &self.hills {
            let (left, right, base) = (x - half, x + half, self.horizon + 0.06);
            let hill = path(|p| {
                p.move_to(left, base);
                p.cubic_to(
                    x - half * 0.5,
                    base - height * 2.0,
                    x + half * 0.5,
                    base - height * 2.0,
                    right,
                    base,
                );
                p.close();
            });
            painter.scenery(hill, far.mix(self.sky_bottom, 0.45));
        }
        let ground = path(|p| {
            p.move_to(-0.2, 1.2);
            p.line_to(-0.2, self.horizon);
            p.quad_to(0.5, self.horizon - 2.0 * self.bow, 1.2, self.horizon);
            p.line_to(1.2, 1.2);
            p.close();
        });
        painter.scenery(ground, self.ground_colour);
        self.paint_marks(painter);
    }

    fn paint_lights(&self, painter: &mut Painter) {
        if !self.stars.is_empty() {
            let stars = path(|p| {
                self.stars
                    .iter()
                    .for_each(|star| push_oval(p, star.x, star.y, star.size, star.size));
            });
            painter.wash(&stars, Rgb(1.0, 0.98, 0.85), 0.95);
        }
        let Some(Spot { x, y, size: radius }) = self.light else {
            return;
        };
        match self.sky {
            Sky::Clear => {
                painter.wash(&circle(x, y, radius * 1.5), Rgb(1.0, 0.97, 0.78), 0.4);
                painter.scenery(circle(x, y, radius), Rgb(1.0, 0.95, 0.66));
            }
            Sky::Sunset => {
                painter.wash(&circle(x, y, radius * 1.45), Rgb(1.0, 0.95, 0.7), 0.35);
                painter.scenery(circle(x, y, radius), Rgb(1.0, 0.97, 0.8));
            }
            Sky::Night | Sky::Rain => {
                let crescent = path(|p| {
                    p.move_to(x + radius * 0.3, y - radius);
                    p.cubic_to(
                        x - radius * 1.4,
                        y - radius * 0.9,
                        x - radius * 1.4,
                        y + radius * 0.9,
                        x + radius * 0.3,
                        y + radius,
                    );
                    p.cubic_to(
                        x - radius * 0.5,
                        y + radius * 0.5,
                        x - radius * 0.5,
                        y - radius * 0.5,
                        x + radius * 0.3,
                        y - radius,
                    );
                    p.close();
                });
                painter.scenery(crescent, Rgb(1.0, 0.97, 0.84));
            }
        }
    }

    fn paint_rain(&self, painter: &mut Painter) {
        let (phase, lean) = (self.sky_top.0 * 7.0, 0.03);
        let rain = path(|p| {
            for row in 0..5 {
                for column in 0..7 {
                    let stagger = (row as f32 * 0.43 + phase).fract() / 7.0;
                    let wobble = ((row * 5 + column * 3) % 7) as f32 * 0.008;
                    let (x, y) = (column as f32 / 7.0 + stagger, 0.2 + row as f32 * 0.125 + wobble);
                    if y + 0.08 < self.horizon {
                        p.move_to(x + lean, y);
                        p.line_to(x, y + 0.075);
                    }
                }
            }
        });
        painter.lines(&rain, 0.011, Rgb(0.88, 0.93, 1.0), 0.8);
    }

    fn paint_marks(&self, painter: &mut Painter) {
        if self.ground == Ground::Snow || self.ground == Ground::Sand {
            let marks = path(|p| {
                for &Spot { x, y, size } in &self.marks {
                    let (wide, high) = match self.ground {
                        Ground::Snow => (0.045, 0.009),
                        _ => (0.009, 0.007),
                    };
                    push_oval(p, x, y, wide * size, high * size);
                }
            });
            let shade = if self.ground == Ground::Snow { -0.09 } else { -0.28 };
            painter.wash(&marks, self.ground_colour.shade(shade), 1.0);
            return;
        }
        let marks = path(|p| {
            for &Spot { x, y, size } in &self.marks {
                if self.ground == Ground::Grass {
                    let size = size * 0.022;
                    p.move_to(x - size * 0.8, y - size);
                    p.line_to(x, y);
                    p.line_to(x + size * 0.5, y - size * 1.3);
                } else {
                    let size = size * 0.05;
                    p.move_to(x - size, y);
                    p.quad_to(x - size * 0.5, y - size * 0.5, x, y);
                    p.quad_to(x + size * 0.5, y - size * 0.5, x + size, y);
                }
            }
        });
        let colour = match self.ground {
            Ground::Grass => self.ground_colour.shade(-0.25),
            _ => self.ground_colour.shade(0.55),
        };
        painter.lines(&marks, 0.011, colour, 1.0);
    }
}

/// The sun or the moon.
fn draw_light(sky: Sky, horizon: f32, g: &mut Generator) -> Option<Spot> {
    match sky {
        Sky::Clear => {
            g.chance(0.75).then(|| Spot::draw(g, (0.05, 0.95), (0.06, 0.22), (0.06, 0.1)))
        }
        Sky::Sunset => {
            let (x, y) = (g.between(0.12, 0.88), horizon - g.between(0.0, 0.12));
            Some(Spot { x, y, size: g.between(0.1, 0.15) })
        }
        Sky::Night => Some(Spot::draw(g, (0.08, 0.92), (0.09, 0.26), (0.055, 0.085))),
        Sky::Rain => None,
    }
}

fn draw_clouds(sky: Sky, g: &mut Generator) -> Vec<Spot> {
    let count = match sky {
        Sky::Clear => g.below(4),
        Sky::Sunset => g.below(3),
        Sky::Night => 0,
        Sky::Rain => 3 + g.below(2),
    };
    let cloud = |index| match sky {
        // Side by side, so that they cover the sky.
        Sky::Rain => {
            let x = (index as f32 + g.between(0.1, 0.9)) / 3.5;
            Spot { x, y: g.between(0.03, 0.16), size: g.between(0.1, 0.19) }
        }
        _ => Spot::draw(g, (0.0, 1.0), (0.03, 0.36), (0.1, 0.19)),
    };
    (0..count).map(cloud).collect()
}

/// Top and bottom of the sky: pale or dark, so that the things' strong colours stand out.
fn sky_colours(sky: Sky, g: &mut Generator) -> (Rgb, Rgb) {
    let mut tone = |hue: (f32, f32), saturation: f32, lightness: (f32, f32)| {
        Rgb::from_hsl(g.between(hue.0, hue.1), saturation, g.between(lightness.0, lightness.1))
    };
    match sky {
        Sky::Clear => {
            (tone((198.0, 208.0), 0.78, (0.70, 0.76)), tone((194.0, 206.0), 0.72, (0.81, 0.86)))
        }
        Sky::Sunset => {
            (tone((2.0, 18.0), 0.68, (0.64, 0.70)), tone((36.0, 46.0), 0.92, (0.78, 0.84)))
        }
        Sky::Night => {
            (tone((230.0, 242.0), 0.46, (0.13, 0.18)), tone((228.0, 244.0), 0.38, (0.27, 0.33)))
        }
        Sky::Rain => {
            (tone((205.0, 220.0), 0.10, (0.56, 0.62)), tone((205.0, 220.0), 0.10, (0.68, 0.73)))
        }
    }
}

/// The ground under that sky: dimmed at night, but of a hue that still tells what it is.
fn ground_colour(sky: Sky, ground: Ground, g: &mut Generator) -> Rgb {
    let (hue, saturation, lightness) = match ground {
        Ground::Grass => ((78.0, 94.0), 0.52, (0.62, 0.70)),
        Ground::Sand => ((36.0, 43.0), 0.52, (0.69, 0.75)),
        Ground::Snow => ((200.0, 215.0), 0.45, (0.94, 0.97)),
        Ground::Sea => ((182.0, 194.0), 0.50, (0.50, 0.57)),
    };
    let hue = g.between(hue.0, hue.1);
    let colour = Rgb::from_hsl(hue, saturation, g.between(lightness.0, lightness.1));
    match sky {
        Sky::Clear => colour,
        Sky::Sunset => colour.mix(Rgb(1.0, 0.8, 0.55), 0.1),
        Sky::Night => Rgb(colour.0 * 0.70, colour.1 * 0.72, colour.2 * 0.84),
        Sky::Rain if ground == Ground::Snow => colour,
        Sky::Rain => colour.mix(INK, 0.08),
    }
}
