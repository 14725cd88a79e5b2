//! Skies, and what falls from them.

use noise::Generator;
use tiny_skia::PathBuilder;

use super::Backdrop;
use crate::canvas::{Canvas, oval, path, push_oval, rect};
use crate::chance::Chance;
use crate::labels::{Place, Season, Time, Weather};
use crate::palette::{Rgb, WHITE};

/// Top and bottom of the sky.
pub(super) fn colours(time: Time, weather: Weather, shift: f32) -> (Rgb, Rgb) {
    let tone =
        |hue: f32, saturation, lightness| Rgb::from_hsl(hue + 4.0 * shift, saturation, lightness);
    let day = match weather {
        Weather::Clear | Weather::Rainbow => (tone(206.0, 0.80, 0.70), tone(200.0, 0.75, 0.86)),
        Weather::Cloudy => (tone(212.0, 0.28, 0.74), tone(210.0, 0.28, 0.86)),
        Weather::Rain => (tone(214.0, 0.13, 0.54), tone(212.0, 0.13, 0.68)),
        Weather::Snowfall => (tone(215.0, 0.26, 0.70), tone(212.0, 0.26, 0.84)),
        Weather::Storm => (tone(232.0, 0.20, 0.26), tone(228.0, 0.16, 0.44)),
        Weather::Fog => (tone(210.0, 0.06, 0.78), tone(210.0, 0.06, 0.86)),
    };
    match time {
        Time::Day => day,
        Time::Sunset if weather == Weather::Clear => {
            (tone(352.0, 0.58, 0.56), tone(40.0, 0.98, 0.68))
        }
        Time::Sunset => (tone(350.0, 0.34, 0.54), tone(30.0, 0.75, 0.68)),
        Time::Night => {
            let night = (tone(234.0, 0.52, 0.13), tone(230.0, 0.44, 0.27));
            match weather {
                Weather::Clear => night,
                _ => {
                    let dark = Rgb(0.30, 0.33, 0.48);
                    (night.0.mix(day.0.lit(dark), 0.5), night.1.mix(day.1.lit(dark), 0.6))
                }
            }
        }
    }
}

impl Backdrop {
    pub(super) fn paint_sky(&self, canvas: &mut Canvas, g: &mut Generator) {
        let end = if self.place == Place::Sky { 1.0 } else { self.horizon };
        canvas.gradient(self.sky_top, self.sky_bottom, end);
        let all = self.place == Place::Sky;
        let lowest = if all { 0.95 } else { self.horizon - 0.04 };
        let clear = self.weather == Weather::Clear;
        if self.time == Time::Night && clear {
            self.paint_stars(canvas, lowest, g);
        }
        // Where it stands is drawn in any case, so that the rest of the sky stays when it is left out.
        let (x, y) = (g.between(0.12, 0.88), g.between(0.12, 0.18));
        if !self.bare_sky && matches!(self.weather, Weather::Clear | Weather::Rainbow) {
            match self.time {
                Time::Day => paint_sun(canvas, x, y, 0.085),
                Time::Sunset => {
                    let low = self.horizon - 0.03;
                    canvas.wash(&oval(x, low, 0.21, 0.21), Rgb(1.0, 0.93, 0.55), 0.45);
                    canvas.area(&oval(x, low, 0.145, 0.145), Rgb(1.0, 0.86, 0.36));
                }
                Time::Night => paint_moon(canvas, x, y, 0.085),
            }
        }
        if self.weather == Weather::Rainbow && !self.bare_sky {
            paint_rainbow(canvas, self.horizon, g);
        }
        self.paint_clouds(canvas, g);
        if self.weather == Weather::Storm {
            for x in [g.between(0.08, 0.3), g.between(0.68, 0.9)] {
                paint_flash(canvas, x, 0.24);
            }
        }
    }

    /// The colour of fog.
    fn veil(&self) -> Rgb {
        if self.time == Time::Night { Rgb(0.46, 0.48, 0.55) } else { Rgb(0.90, 0.91, 0.93) }
    }

    /// Fog over the place, behind the things.
    pub(super) fn paint_fog(&self, canvas: &mut Canvas) {
        if self.weather == Weather::Fog {
            canvas.wash(&rect(-0.1, -0.1, 1.2, 1.2), self.veil(), 0.48);
        }
    }

    fn paint_stars(&self, canvas: &mut Canvas, lowest: f32, g: &mut Generator) {
        let count = if self.place == Place::Sky { 34 } else { 22 };
        let stars = path(|p| {
            for _ in 0..count {
                let (x, y) = (g.between(0.02, 0.98), g.between(0.02, lowest));
                push_star(p, x, y, g.between(0.008, 0.016));
            }
        });
        canvas.wash(&stars, Rgb(1.0, 0.98, 0.84), 0.95);
    }

    fn paint_clouds(&self, canvas: &mut Canvas, g: &mut Generator) {
        let (count, tint) = match self.weather {
            Weather::Clear => (g.below(3), WHITE),
            Weather::Rainbow => (2, WHITE),
            Weather::Cloudy => (6, Rgb(0.95, 0.96, 0.97)),
            Weather::Rain => (5, Rgb(0.45, 0.48, 0.54)),
            Weather::Snowfall => (4, Rgb(0.86, 0.88, 0.92)),
            Weather::Storm => (6, Rgb(0.20, 0.21, 0.28)),
            Weather::Fog => (0, WHITE),
        };
        let tint = match (self.time, self.weather) {
            (Time::Night, Weather::Clear) => return,
            (Time::Night, _) => tint.lit(Rgb(0.36, 0.39, 0.52)),
            (Time::Sunset, _) => tint.lit(Rgb(1.0, 0.80, 0.74)),
            _ => tint,
        };
        let count = if self.place == Place::Sky { count + 3 } else { count };
        for index in 0..count {
            let x = (index as f32 + g.between(0.1, 0.9)) / count as f32;
            let y = match self.weather {
                Weather::Rain | Weather::Storm | Weather::Snowfall => g.between(0.0, 0.15),
                _ if self.place == Place::Sky => g.between(0.08, 0.95),
                Weather::Cloudy => g.between(0.04, 0.34),
                _ => g.between(0.08, 0.32),
            };
            paint_cloud(canvas, x, y, g.between(0.11, 0.17), tint);
        }
    }

    pub(super) fn paint_weather(&self, canvas: &mut Canvas, g: &mut Generator) {
        match self.weather {
            Weather::Rain | Weather::Storm => {
                let night = self.time == Time::Night;
                let colour = if night { Rgb(0.62, 0.72, 0.90) } else { Rgb(0.88, 0.94, 1.0) };
                let phase = g.between(0.0, 1.0);
                let drops = path(|p| {
                    falling(phase, 7, 6, |x, y| {
                        p.move_to(x + 0.02, y);
                        p.line_to(x - 0.005, y + 0.075);
                    })
                });
                canvas.lines(&drops, 0.013, colour, 0.85);
            }
            Weather::Snowfall => {
                let phase = g.between(0.0, 1.0);
                let flakes =
                    path(|p| falling(phase, 7, 7, |x, y| push_oval(p, x, y, 0.015, 0.015)));
                canvas.wash(&flakes, WHITE, 0.95);
            }
            Weather::Fog => {
                let veil = self.veil();
                for band in 0..3 {
                    let y = 0.46 + 0.2 * band as f32 + g.between(-0.04, 0.04);
                    canvas.wash(&oval(g.between(0.1, 0.9), y, 0.55, 0.035), veil.shade(0.3), 0.42);
                }
            }
            _ => {}
        }
        let leaves = match self.season {
            Some(Season::Autumn) => Some(Rgb(0.86, 0.36, 0.10)),
            Some(Season::Spring) => Some(Rgb(1.0, 0.74, 0.86)),
            _ => None,
        };
        if let Some(colour) = leaves {
            let phase = g.between(0.0, 1.0);
            let falling_leaves =
                path(|p| falling(phase, 4, 4, |x, y| push_oval(p, x, y, 0.018, 0.011)));
            canvas.area(&falling_leaves, colour);
        }
    }
}

/// Calls `put` for points all over the image, none of which stands over another.
fn falling(phase: f32, columns: usize, rows: usize, mut put: impl FnMut(f32, f32)) {
    for row in 0..rows {
        for column in 0..columns {
            let stagger = (row as f32 * 0.43 + phase).fract();
            let wobble = ((row * 5 + column * 3) % 7) as f32 * 0.012;
            let x = (column as f32 + stagger) / columns as f32;
            put(x, (row as f32 + 0.3) / rows as f32 + wobble);
        }
    }
}

fn paint_sun(canvas: &mut Canvas, x: f32, y: f32, radius: f32) {
    let rays = path(|p| {
        for ray in 0..8 {
            let (sin, cos) = (ray as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
            p.move_to(x + cos * radius * 1.25, y + sin * radius * 1.25);
            p.line_to(x + cos * radius * 1.6, y + sin * radius * 1.6);
        }
    });
    canvas.lines(&rays, 0.02, Rgb(1.0, 0.80, 0.20), 1.0);
    canvas.area(&oval(x, y, radius, radius), Rgb(1.0, 0.84, 0.22));
}

fn paint_moon(canvas: &mut Canvas, x: f32, y: f32, radius: f32) {
    let crescent = path(|p| {
        p.move_to(x + radius * 0.3, y - radius);
        let far = x - radius * 1.4;
        p.cubic_to(far, y - radius * 0.9, far, y + radius * 0.9, x + radius * 0.3, y + radius);
        let near = x - radius * 0.5;
        p.cubic_to(near, y + radius * 0.5, near, y - radius * 0.5, x + radius * 0.3, y - radius);
        p.close();
    });
    canvas.area(&crescent, Rgb(1.0, 0.95, 0.74));
}

fn paint_rainbow(canvas: &mut Canvas, horizon: f32, g: &mut Generator) {
    let x = g.between(0.4, 0.6);
    let bands = [
        Rgb(0.93, 0.26, 0.24),
        Rgb(1.0, 0.60, 0.15),
        Rgb(1.0, 0.87, 0.25),
        Rgb(0.25, 0.72, 0.35),
        Rgb(0.22, 0.47, 0.92),
        Rgb(0.55, 0.32, 0.75),
    ];
    for (index, band) in bands.into_iter().enumerate() {
        let radius = 0.5 - index as f32 * 0.028;
        let arc = path(|p| {
            let k = 0.5523 * radius;
            p.move_to(x - radius, horizon + 0.02);
            p.cubic_to(
                x - radius,
                horizon + 0.02 - k,
                x - k,
                horizon + 0.02 - radius,
                x,
                horizon + 0.02 - radius,
            );
            p.cubic_to(
                x + k,
                horizon + 0.02 - radius,
                x + radius,
                horizon + 0.02 - k,
                x + radius,
                horizon + 0.02,
            );
        });
        canvas.lines(&arc, 0.03, band, 1.0);
    }
}

fn paint_flash(canvas: &mut Canvas, x: f32, y: f32) {
    let flash = path(|p| {
        let points = [
            (0.03, -0.14),
            (-0.05, 0.03),
            (0.0, 0.03),
            (-0.03, 0.16),
            (0.06, -0.03),
            (0.01, -0.03),
        ];
        for (index, (dx, dy)) in points.into_iter().enumerate() {
            match index {
                0 => p.move_to(x + dx, y + dy),
                _ => p.line_to(x + dx, y + dy),
            }
        }
        p.close();
    });
    canvas.area(&flash, Rgb(1.0, 0.90, 0.35));
}

/// A cloud by half its width.
pub(super) fn paint_cloud(canvas: &mut Canvas, x: f32, y: f32, size: f32, colour: Rgb) {
    let cloud = path(|p| {
        push_oval(p, x, y, size, size * 0.36);
        push_oval(p, x - size * 0.4, y - size * 0.16, size * 0.42, size * 0.36);
        push_oval(p, x + size * 0.25, y - size * 0.26, size * 0.5, size * 0.46);
    });
    canvas.area(&cloud, colour);
}

/// Adds a star of four points.
pub(super) fn push_star(p: &mut PathBuilder, x: f32, y: f32, size: f32) {
    let inner = size * 0.35;
    p.move_to(x, y - size);
    for (dx, dy) in [
        (inner, -inner),
        (size, 0.0),
        (inner, inner),
        (0.0, size),
        (-inner, inner),
        (-size, 0.0),
        (-inner, -inner),
    ] {
        p.line_to(x + dx, y + dy);
    }
    p.close();
}
