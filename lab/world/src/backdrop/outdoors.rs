//! Places under a sky.

use noise::Generator;

use super::Backdrop;
use crate::canvas::{Canvas, Coat, Pose, path, push_oval, push_rect, rect};
use crate::chance::Chance;
use crate::drawings;
use crate::labels::{Place, Season, Time};
use crate::palette::{Rgb, WHITE};

impl Backdrop {
    /// Everything from the horizon down, and what stands on it.
    pub(super) fn paint_land(&self, canvas: &mut Canvas, g: &mut Generator) {
        match self.place {
            Place::Sea => self.paint_sea(canvas, g),
            Place::Beach => self.paint_beach(canvas, g),
            Place::Desert => self.paint_desert(canvas, g),
            Place::Mountains => self.paint_mountains(canvas, g),
            Place::City => self.paint_city(canvas, g),
            Place::Forest => self.paint_forest(canvas, g),
            _ => self.paint_green(canvas, g),
        }
    }

    /// Meadows, and places that are meadows with something.
    fn paint_green(&self, canvas: &mut Canvas, g: &mut Generator) {
        let grass = if self.place == Place::Snow { self.ground } else { self.grass() };
        if !matches!(self.place, Place::Garden | Place::Road) {
            self.paint_hills(canvas, grass, g);
        }
        self.paint_ground(canvas, grass);
        match self.place {
            Place::Park => self.paint_park(canvas, g),
            Place::Garden => self.paint_garden(canvas, g),
            Place::Snow => {
                for x in [g.between(0.06, 0.16), g.between(0.84, 0.94), g.between(0.2, 0.34)] {
                    self.plant(
                        canvas,
                        "fir-tree",
                        (x, self.horizon + 0.06),
                        0.26,
                        Rgb(0.36, 0.54, 0.50),
                    );
                }
            }
            Place::Farm => self.paint_farm(canvas, g),
            Place::Road => self.paint_road(canvas, g),
            Place::River => self.paint_river(canvas, g),
            _ => self.paint_tufts(canvas, grass, g),
        }
    }

    fn paint_ground(&self, canvas: &mut Canvas, colour: Rgb) {
        canvas.area(&rect(-0.1, self.horizon, 1.2, 1.1 - self.horizon), colour);
    }

    fn paint_hills(&self, canvas: &mut Canvas, grass: Rgb, g: &mut Generator) {
        let hill = grass.shade(-0.12).mix(self.sky_bottom, 0.25);
        for side in [0.15, 0.8] {
            let (x, half) = (side + g.between(-0.1, 0.1), g.between(0.32, 0.5));
            let (base, rise) = (self.horizon + 0.03, g.between(0.14, 0.24));
            let slope = path(|p| {
                p.move_to(x - half, base);
                p.cubic_to(
                    x - half * 0.5,
                    base - rise,
                    x + half * 0.5,
                    base - rise,
                    x + half,
                    base,
                );
                p.close();
            });
            canvas.area(&slope, hill);
        }
    }

    /// A plant of the scenery, `height` high on the base at a point.
    fn plant(
        &self,
        canvas: &mut Canvas,
        key: &str,
        (x, base): (f32, f32),
        height: f32,
        colour: Rgb,
    ) {
        let drawing = drawings::named(key);
        let scale = height / drawing.extent.1;
        let mut coat = Coat { colour: Some(colour.lit(self.light())), ..Coat::default() };
        coat.haze = Some((self.sky_bottom, 0.18));
        canvas.drawing(drawing, &coat, &Pose::upright(x, base - height / 2.0, scale));
    }

    fn paint_tufts(&self, canvas: &mut Canvas, grass: Rgb, g: &mut Generator) {
        let winter = self.season == Some(Season::Winter);
        let tufts = path(|p| {
            for _ in 0..11 {
                let (x, y) = (g.between(0.02, 0.98), g.between(self.horizon + 0.06, 0.98));
                p.move_to(x - 0.018, y - 0.022);
                p.line_to(x, y);
                p.line_to(x + 0.012, y - 0.03);
            }
        });
        let dark = if winter { grass.shade(-0.12) } else { grass.shade(-0.22) };
        canvas.lines(&tufts, 0.011, dark, 1.0);
        if matches!(self.season, Some(Season::Spring | Season::Summer)) {
            self.paint_petals(canvas, (self.horizon + 0.05, 0.98), 12, g);
        }
    }

    /// Dots of flowers.
    fn paint_petals(
        &self,
        canvas: &mut Canvas,
        (top, bottom): (f32, f32),
        count: usize,
        g: &mut Generator,
    ) {
        for colour in [Rgb(1.0, 0.95, 0.55), Rgb(0.98, 0.55, 0.70), WHITE] {
            let petals = path(|p| {
                for _ in 0..count / 3 {
                    push_oval(p, g.between(0.02, 0.98), g.between(top, bottom), 0.015, 0.013);
                }
            });
            canvas.area(&petals, colour.lit(self.light()));
        }
    }

    fn paint_park(&self, canvas: &mut Canvas, g: &mut Generator) {
        let sand = Rgb(0.90, 0.82, 0.64).lit(self.light());
        let horizon = self.horizon;
        let way = path(|p| {
            p.move_to(0.47, horizon);
            p.cubic_to(0.62, horizon + 0.1, 0.2, horizon + 0.2, 0.28, 1.05);
            p.line_to(0.72, 1.05);
            p.cubic_to(0.45, horizon + 0.22, 0.72, horizon + 0.1, 0.53, horizon);
            p.close();
        });
        canvas.area(&way, sand);
        for x in [0.1, 0.3, 0.72, 0.92] {
            let height = g.between(0.3, 0.4);
            let foot = (x + g.between(-0.04, 0.04), horizon + g.between(0.03, 0.07));
            self.plant(canvas, "tree", foot, height, self.leaves());
        }
    }

    fn paint_garden(&self, canvas: &mut Canvas, g: &mut Generator) {
        let horizon = self.horizon;
        let hedge = self.leaves().shade(-0.05).lit(self.light());
        let bushes = path(|p| {
            for bush in 0..6 {
                push_oval(p, 0.1 + 0.17 * bush as f32, horizon - 0.05, 0.13, 0.11);
            }
        });
        canvas.area(&bushes, hedge);
        let fence = path(|p| {
            for board in 0..9 {
                let x = 0.02 + 0.112 * board as f32;
                push_rect(p, x, horizon - 0.1, 0.055, 0.18);
            }
            push_rect(p, 0.0, horizon - 0.06, 1.0, 0.03);
            push_rect(p, 0.0, horizon + 0.02, 1.0, 0.03);
        });
        canvas.area(&fence, WHITE.lit(self.light()).shade(-0.03));
        if !matches!(self.season, Some(Season::Winter | Season::Autumn)) {
            self.paint_petals(canvas, (horizon + 0.1, horizon + 0.17), 18, g);
        }
    }

    fn paint_farm(&self, canvas: &mut Canvas, g: &mut Generator) {
        let (horizon, light) = (self.horizon, self.light());
        let rows = path(|p| {
            for row in 0..6 {
                let x = 0.08 + 0.17 * row as f32;
                p.move_to(x.mul_add(0.5, 0.25), horizon + 0.05);
                p.line_to((x - 0.5) * 1.6 + 0.5, 1.05);
            }
        });
        canvas.lines(&rows, 0.022, Rgb(0.55, 0.42, 0.24).lit(light), 0.65);
        let x = if g.chance(0.5) { 0.04 } else { 0.64 };
        canvas.area(&rect(x, horizon - 0.14, 0.32, 0.19), Rgb(0.76, 0.20, 0.16).lit(light));
        let roof = path(|p| {
            p.move_to(x - 0.03, horizon - 0.13);
            p.line_to(x + 0.05, horizon - 0.24);
            p.line_to(x + 0.16, horizon - 0.30);
            p.line_to(x + 0.27, horizon - 0.24);
            p.line_to(x + 0.35, horizon - 0.13);
            p.close();
        });
        canvas.area(&roof, Rgb(0.42, 0.34, 0.32).lit(light));
        canvas.area(&rect(x + 0.10, horizon - 0.08, 0.12, 0.13), Rgb(0.96, 0.93, 0.88).lit(light));
    }

    fn paint_road(&self, canvas: &mut Canvas, g: &mut Generator) {
        for x in [g.between(0.08, 0.2), g.between(0.8, 0.92)] {
            self.plant(canvas, "tree", (x, self.horizon + 0.05), 0.3, self.leaves());
        }
        canvas.area(&rect(-0.1, 0.74, 1.2, 0.4), self.ground);
        let edge = path(|p| push_rect(p, 0.0, 0.74, 1.0, 0.018));
        canvas.area(&edge, self.ground.shade(0.45));
        let dashes = path(|p| {
            for dash in 0..5 {
                push_rect(p, 0.02 + 0.22 * dash as f32, 0.925, 0.12, 0.022);
            }
        });
        canvas.area(&dashes, Rgb(0.97, 0.95, 0.88).lit(self.light()));
    }

    fn paint_river(&self, canvas: &mut Canvas, g: &mut Generator) {
        let (x, top) = (g.between(0.12, 0.25), self.horizon + 0.04);
        self.plant(canvas, "tree", (x, top + 0.02), 0.3, self.leaves());
        let water = path(|p| {
            p.move_to(-0.1, top + 0.03);
            p.cubic_to(0.3, top - 0.02, 0.6, top + 0.06, 1.1, top);
            p.line_to(1.1, 0.92);
            p.cubic_to(0.7, 0.96, 0.35, 0.88, -0.1, 0.93);
            p.close();
        });
        canvas.area(&water, self.ground);
        self.paint_waves(canvas, (top + 0.06, 0.89), 8, g);
    }

    fn paint_waves(
        &self,
        canvas: &mut Canvas,
        (top, bottom): (f32, f32),
        count: usize,
        g: &mut Generator,
    ) {
        let waves = path(|p| {
            for index in 0..count {
                let x = (index as f32 * 0.618 + g.between(0.0, 0.2)).fract();
                let y = top + (bottom - top) * (index as f32 + 0.5) / count as f32;
                let size = 0.055;
                p.move_to(x - size, y);
                p.quad_to(x - size * 0.5, y - size * 0.5, x, y);
                p.quad_to(x + size * 0.5, y - size * 0.5, x + size, y);
            }
        });
        canvas.lines(&waves, 0.012, self.ground.shade(0.5), 1.0);
    }

    fn paint_sea(&self, canvas: &mut Canvas, g: &mut Generator) {
        self.paint_ground(canvas, self.ground);
        if self.time == Time::Sunset {
            let glitter = Rgb(1.0, 0.82, 0.45);
            let lines = path(|p| {
                for line in 0..4 {
                    let y = self.horizon + 0.04 + 0.06 * line as f32;
                    push_rect(p, 0.4 - 0.03 * line as f32, y, 0.2 + 0.06 * line as f32, 0.012);
                }
            });
            canvas.wash(&lines, glitter, 0.6);
        }
        self.paint_waves(canvas, (self.horizon + 0.05, 0.97), 12, g);
    }

    fn paint_beach(&self, canvas: &mut Canvas, g: &mut Generator) {
        let water = Rgb(0.22, 0.62, 0.84).lit(self.light());
        self.paint_ground(canvas, water);
        let horizon = self.horizon;
        let sand = path(|p| {
            p.move_to(-0.1, horizon + 0.13);
            p.cubic_to(0.3, horizon + 0.08, 0.6, horizon + 0.17, 1.1, horizon + 0.1);
            p.line_to(1.1, 1.1);
            p.line_to(-0.1, 1.1);
            p.close();
        });
        canvas.area(&sand, self.ground);
        canvas.lines(&sand, 0.022, WHITE.lit(self.light()), 0.9);
        let grains = path(|p| {
            for _ in 0..14 {
                push_oval(p, g.between(0.0, 1.0), g.between(horizon + 0.2, 0.98), 0.008, 0.006);
            }
        });
        canvas.area(&grains, self.ground.shade(-0.18));
        if g.chance(0.5) || self.empty {
            let x = if g.chance(0.5) { g.between(0.06, 0.12) } else { g.between(0.88, 0.94) };
            self.plant(canvas, "palm-tree", (x, horizon + 0.18), 0.4, Rgb(0.25, 0.58, 0.25));
        }
    }

    fn paint_desert(&self, canvas: &mut Canvas, g: &mut Generator) {
        self.paint_ground(canvas, self.ground);
        for (side, tone) in [(0.2, -0.10), (0.75, -0.05)] {
            let (x, half) = (side + g.between(-0.1, 0.1), g.between(0.4, 0.55));
            let (base, rise) = (self.horizon + 0.10, g.between(0.16, 0.24));
            let dune = path(|p| {
                p.move_to(x - half, base);
                p.cubic_to(
                    x - half * 0.4,
                    base - rise * 0.2,
                    x - half * 0.2,
                    base - rise,
                    x,
                    base - rise,
                );
                p.cubic_to(x + half * 0.3, base - rise, x + half * 0.4, base, x + half, base);
                p.close();
            });
            canvas.area(&dune, self.ground.shade(tone));
        }
        for x in [g.between(0.07, 0.17), g.between(0.83, 0.93)] {
            self.plant(canvas, "cactus", (x, self.horizon + 0.12), 0.2, Rgb(0.36, 0.64, 0.30));
        }
    }

    fn paint_mountains(&self, canvas: &mut Canvas, g: &mut Generator) {
        let light = self.light();
        let rock = Rgb(0.50, 0.53, 0.62).lit(light).mix(self.sky_bottom, 0.12);
        for (side, height, tone) in [(0.2, 0.36, 0.12), (0.85, 0.38, 0.08), (0.52, 0.50, 0.0)] {
            let (x, base) = (side + g.between(-0.06, 0.06), self.horizon + 0.04);
            let top = base - height;
            let half = height * 0.78;
            let peak = path(|p| {
                p.move_to(x - half, base);
                p.line_to(x, top);
                p.line_to(x + half, base);
                p.close();
            });
            canvas.area(&peak, rock.shade(tone));
            let (down, wide) = (height * 0.32, half * 0.32);
            let cap = path(|p| {
                p.move_to(x, top);
                p.line_to(x - wide, top + down);
                p.line_to(x - wide * 0.4, top + down * 0.75);
                p.line_to(x, top + down * 1.15);
                p.line_to(x + wide * 0.4, top + down * 0.75);
                p.line_to(x + wide, top + down);
                p.close();
            });
            canvas.area(&cap, Rgb(0.97, 0.98, 1.0).lit(light));
        }
        let grass = self.grass();
        self.paint_ground(canvas, grass);
        self.paint_tufts(canvas, grass, g);
    }

    fn paint_city(&self, canvas: &mut Canvas, g: &mut Generator) {
        let night = self.time == Time::Night;
        let tints = [
            Rgb(0.55, 0.60, 0.70),
            Rgb(0.66, 0.58, 0.56),
            Rgb(0.48, 0.56, 0.60),
            Rgb(0.62, 0.64, 0.70),
        ];
        let base = 0.78;
        let mut x = -0.03;
        while x < 1.0 {
            let (width, height) = (g.between(0.13, 0.2), g.between(0.3, 0.62));
            let wall = g.pick(&tints).lit(self.light()).mix(self.sky_bottom, 0.12);
            canvas.area(&rect(x, base - height, width, height), wall);
            let lit = if night { Rgb(1.0, 0.88, 0.45) } else { wall.shade(0.45) };
            let windows = path(|p| {
                let mut y = base - height + 0.035;
                while y < base - 0.06 {
                    push_rect(p, x + 0.025, y, width * 0.26, 0.034);
                    push_rect(p, x + width * 0.58, y, width * 0.26, 0.034);
                    y += 0.075;
                }
            });
            canvas.area(&windows, lit);
            x += width + 0.008;
        }
        canvas.area(&rect(0.0, base, 1.0, 0.3), self.ground);
        canvas.area(&rect(0.0, base, 1.0, 0.02), self.ground.shade(0.3));
    }

    fn paint_forest(&self, canvas: &mut Canvas, g: &mut Generator) {
        let (back, light) = (self.forest_colour(), self.light());
        let horizon = self.horizon;
        let tops = path(|p| {
            for tree in 0..9 {
                let (x, top) = (0.125 * tree as f32, 0.12 + g.between(0.0, 0.08));
                p.move_to(x - 0.12, top + 0.26);
                p.line_to(x, top);
                p.line_to(x + 0.12, top + 0.26);
                p.close();
            }
            push_rect(p, -0.1, 0.3, 1.2, horizon - 0.2);
        });
        canvas.area(&tops, back.mix(self.sky_bottom, 0.12));
        self.paint_ground(canvas, self.ground);
        let trunk = Rgb(0.36, 0.24, 0.16).lit(light);
        let broad = matches!(self.season, Some(Season::Autumn | Season::Spring));
        let leaves = match self.season {
            Some(Season::Autumn | Season::Spring) => self.leaves(),
            Some(Season::Winter) => Rgb(0.90, 0.94, 0.98),
            _ => Rgb(0.24, 0.54, 0.27),
        };
        let leaves = leaves.lit(light);
        for x in [0.30, 0.68, 0.10, 0.90] {
            let (x, foot) = (x + g.between(-0.03, 0.03), horizon + g.between(0.05, 0.09));
            canvas.area(&rect(x - 0.022, foot - 0.16, 0.044, 0.16), trunk);
            let crown = path(|p| match broad {
                true => {
                    push_oval(p, x, foot - 0.32, 0.12, 0.13);
                    push_oval(p, x - 0.07, foot - 0.23, 0.09, 0.09);
                    push_oval(p, x + 0.07, foot - 0.23, 0.09, 0.09);
                }
                false => {
                    for (base, half, rise) in
                        [(0.10, 0.13, 0.19), (0.21, 0.105, 0.17), (0.31, 0.08, 0.16)]
                    {
                        p.move_to(x - half, foot - base);
                        p.line_to(x, foot - base - rise);
                        p.line_to(x + half, foot - base);
                        p.close();
                    }
                }
            });
            canvas.area(&crown, leaves);
            canvas.lines(&crown, 0.006, leaves.shade(-0.25), 1.0);
        }
    }
}
