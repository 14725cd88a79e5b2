//! Places without a sky: rooms, tables, the deep and space.

use noise::Generator;

use super::Backdrop;
use super::sky::push_star;
use crate::canvas::{Canvas, oval, path, push_oval, push_rect, rect};
use crate::chance::Chance;
use crate::palette::{Rgb, WHITE};

/// Colours of walls, all pale.
const WALLS: &[Rgb] = &[Rgb(0.98, 0.93, 0.80), Rgb(0.86, 0.92, 0.95), Rgb(0.90, 0.94, 0.85)];

impl Backdrop {
    pub(super) fn paint_room(&self, canvas: &mut Canvas, g: &mut Generator) {
        let wall = g.pick(WALLS);
        canvas.gradient(wall, wall, 1.0);
        let floor = 0.72;
        canvas.area(&rect(0.0, floor, 1.0, 0.3), self.ground);
        canvas.area(&rect(0.0, floor - 0.015, 1.0, 0.03), WHITE);
        let boards = path(|p| {
            for board in 0..4 {
                let y = floor + 0.05 + 0.07 * board as f32;
                p.move_to(0.0, y);
                p.line_to(1.0, y);
            }
        });
        canvas.lines(&boards, 0.008, self.ground.shade(-0.18), 1.0);
        let left = g.chance(0.5);
        let x = if left { 0.08 } else { 0.64 };
        canvas.area(&rect(x, 0.10, 0.28, 0.34), WHITE);
        canvas.area(&rect(x + 0.02, 0.12, 0.24, 0.30), Rgb(0.62, 0.84, 0.97));
        let bars = path(|p| {
            push_rect(p, x + 0.13, 0.12, 0.02, 0.30);
            push_rect(p, x + 0.02, 0.26, 0.24, 0.02);
        });
        canvas.area(&bars, WHITE);
        let x = if left { 0.70 } else { 0.12 };
        canvas.area(&rect(x, 0.16, 0.2, 0.16), Rgb(0.62, 0.42, 0.26));
        canvas.area(&rect(x + 0.02, 0.18, 0.16, 0.12), Rgb(0.80, 0.88, 0.80));
        canvas.wash(&oval(0.5, 0.9, 0.42, 0.07), Rgb(0.86, 0.55, 0.45), 0.75);
    }

    pub(super) fn paint_table(&self, canvas: &mut Canvas, g: &mut Generator) {
        let wall = g.pick(WALLS);
        canvas.gradient(wall, wall, 1.0);
        canvas.area(&rect(0.0, 0.70, 1.0, 0.3), self.ground);
        canvas.area(&rect(0.0, 0.92, 1.0, 0.1), self.ground.shade(-0.22));
        let grain = path(|p| {
            for line in 0..3 {
                let y = 0.745 + 0.055 * line as f32;
                let x = g.between(0.0, 0.4);
                p.move_to(x, y);
                p.line_to(x + 0.5, y);
            }
        });
        canvas.lines(&grain, 0.008, self.ground.shade(-0.14), 1.0);
    }

    pub(super) fn paint_underwater(&self, canvas: &mut Canvas, g: &mut Generator) {
        canvas.gradient(Rgb(0.36, 0.78, 0.94), Rgb(0.05, 0.36, 0.66), 1.0);
        let rays = path(|p| {
            for x in [0.15, 0.45, 0.75] {
                p.move_to(x, 0.0);
                p.line_to(x + 0.1, 0.0);
                p.line_to(x - 0.1, 0.75);
                p.line_to(x - 0.25, 0.75);
                p.close();
            }
        });
        canvas.wash(&rays, WHITE, 0.12);
        let bed = path(|p| {
            p.move_to(-0.1, 1.1);
            p.line_to(-0.1, 0.92);
            p.quad_to(0.3, 0.86, 0.55, 0.92);
            p.quad_to(0.8, 0.97, 1.1, 0.90);
            p.line_to(1.1, 1.1);
            p.close();
        });
        canvas.area(&bed, Rgb(0.88, 0.80, 0.58));
        let weeds = path(|p| {
            for side in [0.08, 0.16, 0.86, 0.94] {
                let (x, height) = (side + g.between(-0.03, 0.03), g.between(0.14, 0.26));
                p.move_to(x, 0.97);
                p.cubic_to(x + 0.05, 0.9, x - 0.05, 1.0 - height, x + 0.02, 0.97 - height);
            }
        });
        canvas.lines(&weeds, 0.028, Rgb(0.14, 0.55, 0.32), 1.0);
        let bubbles = path(|p| {
            for _ in 0..9 {
                let radius = g.between(0.010, 0.024);
                push_oval(p, g.between(0.05, 0.95), g.between(0.05, 0.8), radius, radius);
            }
        });
        canvas.wash(&bubbles, Rgb(0.85, 0.96, 1.0), 0.7);
    }

    pub(super) fn paint_space(&self, canvas: &mut Canvas, g: &mut Generator) {
        canvas.gradient(Rgb(0.05, 0.05, 0.14), Rgb(0.12, 0.08, 0.26), 1.0);
        let stars = path(|p| {
            for _ in 0..34 {
                let (x, y) = (g.between(0.02, 0.98), g.between(0.02, 0.98));
                push_star(p, x, y, g.between(0.006, 0.016));
            }
        });
        canvas.wash(&stars, Rgb(1.0, 0.98, 0.88), 0.95);
        if self.bare_sky {
            return;
        }
        let x = if g.chance(0.5) { g.between(0.08, 0.2) } else { g.between(0.8, 0.92) };
        let y = if g.chance(0.5) { g.between(0.1, 0.2) } else { g.between(0.8, 0.9) };
        let colours = [Rgb(0.95, 0.58, 0.36), Rgb(0.55, 0.75, 0.95), Rgb(0.80, 0.50, 0.85)];
        let colour = g.pick(&colours);
        canvas.area(&oval(x, y, 0.10, 0.10), colour);
        let bands = path(|p| {
            push_rect(p, x - 0.085, y - 0.03, 0.17, 0.025);
            push_rect(p, x - 0.08, y + 0.03, 0.16, 0.02);
        });
        canvas.wash(&bands, WHITE, 0.35);
    }
}
