//! Things that stand on the ground.

use crate::palette::{CREAM, GLASS, INK, LEAF, RUBBER, WHITE, WOOD};
use crate::shapes::{
    Drawing, Ink, circle, oval, path, polygon, polyline, push_oval, rect, rounded, svg,
};

pub(super) fn house(d: &mut Drawing) {
    d.shade(rect(0.2, -0.47, 0.13, 0.3), -0.35);
    d.body(rect(-0.37, -0.12, 0.74, 0.62));
    d.shade(polygon(&[(-0.48, -0.06), (0.0, -0.5), (0.48, -0.06)]), -0.25);
    d.detail(rounded(-0.09, 0.14, 0.2, 0.36, 0.03), WOOD);
    d.detail(rect(-0.3, 0.06, 0.15, 0.16), CREAM);
    d.detail(rect(0.17, 0.06, 0.15, 0.16), CREAM);
}

pub(super) fn tree(d: &mut Drawing) {
    d.detail(rect(-0.075, 0.28, 0.15, 0.22), WOOD);
    d.shade(polygon(&[(-0.38, 0.34), (0.0, -0.08), (0.38, 0.34)]), -0.12);
    d.body(polygon(&[(-0.31, 0.1), (0.0, -0.28), (0.31, 0.1)]));
    d.shade(polygon(&[(-0.23, -0.15), (0.0, -0.5), (0.23, -0.15)]), 0.1);
}

pub(super) fn boat(d: &mut Drawing) {
    d.line(polyline(&[(-0.02, -0.48), (-0.02, 0.24)]), 0.05, Ink::Fixed(WOOD));
    d.shade(svg("M 0.03 -0.46 Q 0.32 -0.2 0.42 0.13 L 0.03 0.13 Z"), 0.16);
    d.detail(polygon(&[(-0.07, -0.36), (-0.07, 0.13), (-0.4, 0.13)]), CREAM);
    d.body(svg("M -0.47 0.2 L 0.47 0.2 Q 0.42 0.5 0.22 0.5 L -0.24 0.5 Q -0.42 0.48 -0.47 0.2 Z"));
    d.detail(rect(-0.42, 0.26, 0.84, 0.055), CREAM);
}

pub(super) fn mushroom(d: &mut Drawing) {
    d.detail(
        svg("M -0.16 0 L 0.16 0 Q 0.14 0.25 0.23 0.43 Q 0 0.51 -0.23 0.43 \
         Q -0.14 0.25 -0.16 0 Z"),
        CREAM,
    );
    d.body(svg("M -0.5 0.06 C -0.48 -0.3 -0.25 -0.47 0 -0.47 C 0.25 -0.47 0.48 -0.3 0.5 0.06 \
         Q 0 0.2 -0.5 0.06 Z"));
    let spots = path(|p| {
        push_oval(p, -0.03, -0.26, 0.11, 0.09);
        push_oval(p, -0.29, -0.08, 0.075, 0.075);
        push_oval(p, 0.25, -0.1, 0.1, 0.085);
        push_oval(p, 0.0, 0.03, 0.06, 0.05);
    });
    d.detail(spots, WHITE);
}

pub(super) fn car(d: &mut Drawing) {
    d.body(svg("M -0.32 -0.06 Q -0.24 -0.3 -0.14 -0.3 L 0.1 -0.3 Q 0.18 -0.3 0.3 -0.06 Z"));
    d.body(rounded(-0.5, -0.09, 1.0, 0.28, 0.09));
    d.detail(polygon(&[(-0.22, -0.07), (-0.15, -0.22), (-0.03, -0.22), (-0.03, -0.07)]), GLASS);
    d.detail(polygon(&[(0.03, -0.07), (0.03, -0.22), (0.09, -0.22), (0.19, -0.07)]), GLASS);
    d.detail(circle(0.45, 0.01, 0.045), CREAM);
    for x in [-0.26, 0.27] {
        d.detail(circle(x, 0.17, 0.135), RUBBER);
        d.detail(circle(x, 0.17, 0.055), WHITE);
    }
}

pub(super) fn flower(d: &mut Drawing) {
    let stem = svg("M 0 -0.12 Q 0.04 0.2 0 0.5");
    d.line(stem, 0.06, Ink::Fixed(LEAF));
    for side in [-1.0, 1.0] {
        d.detail(
            path(|p| {
                p.move_to(0.01, 0.42);
                p.quad_to(side * 0.1, 0.14, side * 0.32, 0.2);
                p.quad_to(side * 0.24, 0.42, 0.01, 0.42);
                p.close();
            }),
            LEAF,
        );
    }
    let petals = path(|p| {
        for petal in 0..6 {
            let angle = (petal as f32 + 0.5) * std::f32::consts::TAU / 6.0;
            let (sin, cos) = angle.sin_cos();
            push_oval(p, 0.2 * cos, -0.14 + 0.2 * sin, 0.145, 0.145);
        }
    });
    d.body(petals);
    d.detail(circle(0.0, -0.14, 0.115), CREAM);
}

pub(super) fn cat(d: &mut Drawing) {
    let tail = svg("M 0.16 0.42 C 0.42 0.46 0.38 0.2 0.3 0.06");
    d.line(tail, 0.1, Ink::Body(-0.15));
    d.body(svg("M -0.1 -0.1 C -0.3 0.2 -0.34 0.5 -0.24 0.5 L 0.2 0.5 \
         C 0.3 0.5 0.24 0.2 0.06 -0.1 Z"));
    d.detail(oval(-0.02, 0.3, 0.1, 0.16), CREAM);
    d.body(polygon(&[(-0.3, -0.22), (-0.29, -0.5), (-0.07, -0.38)]));
    d.body(polygon(&[(0.26, -0.22), (0.25, -0.5), (0.03, -0.38)]));
    d.body(oval(-0.02, -0.2, 0.29, 0.22));
    for x in [-0.13, 0.09] {
        d.detail(oval(x, -0.22, 0.055, 0.06), WHITE);
        d.detail(circle(x, -0.22, 0.034), INK);
    }
    d.detail(polygon(&[(-0.06, -0.13), (0.02, -0.13), (-0.02, -0.08)]), INK);
}

pub(super) fn cup(d: &mut Drawing) {
    let handle = svg("M 0.16 -0.2 C 0.54 -0.28 0.54 0.26 0.14 0.2");
    d.line(handle, 0.1, Ink::Body(-0.15));
    d.body(svg("M -0.5 -0.34 L 0.22 -0.34 C 0.22 0.1 0.16 0.42 0.04 0.42 L -0.32 0.42 \
         C -0.44 0.42 -0.5 0.1 -0.5 -0.34 Z"));
    d.shade(oval(-0.14, -0.33, 0.36, 0.09), 0.5);
    d.detail(oval(-0.14, -0.315, 0.28, 0.055), WOOD.shade(-0.2));
    d.shade(rect(-0.45, 0.0, 0.62, 0.1), 0.5);
}
