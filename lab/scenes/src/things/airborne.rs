//! Things that fly or leap.

use crate::palette::{GLASS, INK, RUBBER, Rgb, WHITE, WOOD};
use crate::shapes::{Drawing, Ink, circle, oval, path, polygon, rounded, svg};

pub(super) fn balloon(d: &mut Drawing) {
    let ropes = svg("M -0.18 0.1 L -0.09 0.36 M 0.18 0.1 L 0.09 0.36");
    d.line(ropes, 0.03, Ink::Fixed(WOOD));
    d.body(svg("M -0.14 0.24 C -0.3 0.1 -0.37 0 -0.37 -0.13 C -0.37 -0.34 -0.2 -0.5 0 -0.5 \
         C 0.2 -0.5 0.37 -0.34 0.37 -0.13 C 0.37 0 0.3 0.1 0.14 0.24 Z"));
    d.shade(svg("M -0.06 0.24 C -0.22 0 -0.2 -0.34 0 -0.5 C 0.2 -0.34 0.22 0 0.06 0.24 Z"), 0.28);
    d.detail(rounded(-0.12, 0.33, 0.24, 0.17, 0.03), WOOD);
}

pub(super) fn rocket(d: &mut Drawing) {
    d.detail(polygon(&[(-0.13, 0.28), (0.13, 0.28), (0.0, 0.5)]), Rgb(1.0, 0.62, 0.1));
    d.detail(polygon(&[(-0.07, 0.28), (0.07, 0.28), (0.0, 0.4)]), Rgb(1.0, 0.93, 0.5));
    d.shade(polygon(&[(-0.12, 0.02), (-0.31, 0.2), (-0.31, 0.38), (-0.1, 0.28)]), -0.3);
    d.shade(polygon(&[(0.12, 0.02), (0.31, 0.2), (0.31, 0.38), (0.1, 0.28)]), -0.3);
    d.body(svg("M 0 -0.5 C 0.2 -0.34 0.26 0.04 0.14 0.3 L -0.14 0.3 \
         C -0.26 0.04 -0.2 -0.34 0 -0.5 Z"));
    d.detail(circle(0.0, -0.1, 0.105), WHITE);
    d.detail(circle(0.0, -0.1, 0.07), GLASS.shade(-0.25));
}

pub(super) fn fish(d: &mut Drawing) {
    d.shade(polygon(&[(-0.2, 0.0), (-0.5, -0.28), (-0.43, 0.0), (-0.5, 0.28)]), -0.2);
    d.shade(svg("M -0.12 -0.16 Q 0.02 -0.38 0.2 -0.31 L 0.22 -0.14 Z"), -0.2);
    d.body(svg("M 0.5 0.02 C 0.4 -0.3 -0.02 -0.36 -0.3 -0.02 C -0.02 0.38 0.4 0.34 0.5 0.02 Z"));
    let stripe = svg("M 0.1 -0.22 Q 0.19 0.02 0.1 0.25 L 0.02 0.24 Q 0.1 0.02 0.02 -0.21 Z");
    d.shade(stripe, 0.45);
    d.detail(circle(0.31, -0.06, 0.075), WHITE);
    d.detail(circle(0.325, -0.06, 0.038), INK);
}

pub(super) fn umbrella(d: &mut Drawing) {
    let handle = svg("M 0 -0.48 L 0 0.36 C 0 0.52 0.2 0.52 0.2 0.34");
    d.line(handle, 0.055, Ink::Fixed(WOOD));
    let canopy = |left: f32, right: f32| {
        path(|p| {
            p.move_to(0.0, -0.42);
            p.cubic_to(left * 0.6, -0.42, left, -0.2, left, 0.06);
            p.quad_to((left * 2.0 + right) / 3.0, -0.05, (left + right) / 2.0, 0.06);
            p.quad_to((left + right * 2.0) / 3.0, -0.05, right, 0.06);
            p.cubic_to(right, -0.2, right * 0.6, -0.42, 0.0, -0.42);
            p.close();
        })
    };
    d.body(canopy(-0.5, 0.5));
    d.shade(
        svg("M 0 -0.42 C -0.12 -0.3 -0.19 -0.1 -0.2 0.02 Q 0 -0.1 0.2 0.02 \
         C 0.19 -0.1 0.12 -0.3 0 -0.42 Z"),
        0.28,
    );
}

pub(super) fn kite(d: &mut Drawing) {
    let tail = svg("M 0 0.16 C 0.16 0.26 -0.16 0.36 0.02 0.48");
    d.line(tail, 0.035, Ink::Fixed(WOOD));
    for (x, y) in [(0.05, 0.27), (-0.04, 0.38)] {
        d.shade(
            polygon(&[
                (x - 0.1, y - 0.05),
                (x + 0.1, y + 0.05),
                (x + 0.1, y - 0.05),
                (x - 0.1, y + 0.05),
            ]),
            -0.15,
        );
    }
    d.body(polygon(&[(0.0, -0.5), (0.37, -0.18), (0.0, 0.2), (-0.37, -0.18)]));
    d.shade(polygon(&[(0.0, -0.5), (0.37, -0.18), (0.0, -0.18)]), 0.4);
    d.shade(polygon(&[(0.0, 0.2), (-0.37, -0.18), (0.0, -0.18)]), 0.4);
}

pub(super) fn butterfly(d: &mut Drawing) {
    for side in [-1.0, 1.0] {
        d.shade(
            path(|p| {
                p.move_to(0.0, 0.02);
                p.cubic_to(side * 0.25, -0.02, side * 0.44, 0.1, side * 0.38, 0.27);
                p.cubic_to(side * 0.32, 0.46, side * 0.08, 0.42, 0.0, 0.1);
                p.close();
            }),
            -0.18,
        );
        d.body(path(|p| {
            p.move_to(0.0, 0.04);
            p.cubic_to(side * 0.06, -0.3, side * 0.3, -0.5, side * 0.45, -0.4);
            p.cubic_to(side * 0.56, -0.3, side * 0.46, 0.08, 0.0, 0.08);
            p.close();
        }));
        d.shade(oval(side * 0.31, -0.22, 0.085, 0.085), 0.55);
        d.shade(oval(side * 0.22, 0.22, 0.06, 0.06), 0.55);
        let feeler = path(|p| {
            p.move_to(0.0, -0.2);
            p.quad_to(side * 0.02, -0.36, side * 0.12, -0.41);
        });
        d.line(feeler, 0.025, Ink::Fixed(RUBBER));
    }
    d.detail(oval(0.0, 0.03, 0.05, 0.28), RUBBER);
}
