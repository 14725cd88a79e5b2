//! What each thing looks like: one function a thing, in a box whose longer side is 1.

use crate::labels::Thing;
use crate::palette::{CREAM, GLASS, INK, LEAF, RUBBER, Rgb, WHITE, WOOD};
use crate::shapes::{
    Drawing, Ink, circle, oval, path, polygon, polyline, push_oval, rect, rounded,
};

/// How a thing is held up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// It stands on the ground.
    Standing,
    /// It flies.
    Flying,
    /// It leaps, low over the ground.
    Leaping,
}

/// How the thing is held up.
pub(crate) fn stance(thing: Thing) -> Stance {
    match thing {
        Thing::Balloon | Thing::Rocket | Thing::Umbrella | Thing::Kite | Thing::Butterfly => {
            Stance::Flying
        }
        Thing::Fish => Stance::Leaping,
        _ => Stance::Standing,
    }
}

/// Width and height of the thing's box; the longer is 1.
pub(crate) fn extent(thing: Thing) -> (f32, f32) {
    match thing {
        Thing::House => (0.96, 1.0),
        Thing::Tree => (0.76, 1.0),
        Thing::Boat => (0.94, 1.0),
        Thing::Balloon => (0.74, 1.0),
        Thing::Rocket => (0.62, 1.0),
        Thing::Mushroom => (1.0, 0.94),
        Thing::Fish => (1.0, 0.66),
        Thing::Car => (1.0, 0.6),
        Thing::Flower => (0.72, 1.0),
        Thing::Umbrella => (1.0, 1.0),
        Thing::Kite => (0.74, 1.0),
        Thing::Cat => (0.78, 1.0),
        Thing::Cup => (1.0, 0.84),
        Thing::Butterfly => (1.0, 0.86),
    }
}

/// The thing's drawing.
pub(crate) fn draw(thing: Thing) -> Drawing {
    let mut drawing = Drawing::default();
    let draw = match thing {
        Thing::House => house,
        Thing::Tree => tree,
        Thing::Boat => boat,
        Thing::Balloon => balloon,
        Thing::Rocket => rocket,
        Thing::Mushroom => mushroom,
        Thing::Fish => fish,
        Thing::Car => car,
        Thing::Flower => flower,
        Thing::Umbrella => umbrella,
        Thing::Kite => kite,
        Thing::Cat => cat,
        Thing::Cup => cup,
        Thing::Butterfly => butterfly,
    };
    draw(&mut drawing);
    drawing
}

fn house(d: &mut Drawing) {
    d.shade(rect(0.2, -0.47, 0.13, 0.3), -0.35);
    d.body(rect(-0.37, -0.12, 0.74, 0.62));
    d.shade(
        polygon(&[(-0.48, -0.06), (0.0, -0.5), (0.48, -0.06)]),
        -0.25,
    );
    d.detail(rounded(-0.09, 0.14, 0.2, 0.36, 0.03), WOOD);
    d.detail(rect(-0.3, 0.06, 0.15, 0.16), CREAM);
    d.detail(rect(0.17, 0.06, 0.15, 0.16), CREAM);
}

fn tree(d: &mut Drawing) {
    d.detail(rect(-0.075, 0.28, 0.15, 0.22), WOOD);
    d.shade(polygon(&[(-0.38, 0.34), (0.0, -0.08), (0.38, 0.34)]), -0.12);
    d.body(polygon(&[(-0.31, 0.1), (0.0, -0.28), (0.31, 0.1)]));
    d.shade(polygon(&[(-0.23, -0.15), (0.0, -0.5), (0.23, -0.15)]), 0.1);
}

fn boat(d: &mut Drawing) {
    d.line(
        polyline(&[(-0.02, -0.48), (-0.02, 0.24)]),
        0.05,
        Ink::Fixed(WOOD),
    );
    d.shade(
        path(|p| {
            p.move_to(0.03, -0.46);
            p.quad_to(0.32, -0.2, 0.42, 0.13);
            p.line_to(0.03, 0.13);
            p.close();
        }),
        0.16,
    );
    d.detail(
        polygon(&[(-0.07, -0.36), (-0.07, 0.13), (-0.4, 0.13)]),
        CREAM,
    );
    d.body(path(|p| {
        p.move_to(-0.47, 0.2);
        p.line_to(0.47, 0.2);
        p.quad_to(0.42, 0.5, 0.22, 0.5);
        p.line_to(-0.24, 0.5);
        p.quad_to(-0.42, 0.48, -0.47, 0.2);
        p.close();
    }));
    d.detail(rect(-0.42, 0.26, 0.84, 0.055), CREAM);
}

fn balloon(d: &mut Drawing) {
    let ropes = path(|p| {
        p.move_to(-0.18, 0.1);
        p.line_to(-0.09, 0.36);
        p.move_to(0.18, 0.1);
        p.line_to(0.09, 0.36);
    });
    d.line(ropes, 0.03, Ink::Fixed(WOOD));
    d.body(path(|p| {
        p.move_to(-0.14, 0.24);
        p.cubic_to(-0.3, 0.1, -0.37, 0.0, -0.37, -0.13);
        p.cubic_to(-0.37, -0.34, -0.2, -0.5, 0.0, -0.5);
        p.cubic_to(0.2, -0.5, 0.37, -0.34, 0.37, -0.13);
        p.cubic_to(0.37, 0.0, 0.3, 0.1, 0.14, 0.24);
        p.close();
    }));
    d.shade(
        path(|p| {
            p.move_to(-0.06, 0.24);
            p.cubic_to(-0.22, 0.0, -0.2, -0.34, 0.0, -0.5);
            p.cubic_to(0.2, -0.34, 0.22, 0.0, 0.06, 0.24);
            p.close();
        }),
        0.28,
    );
    d.detail(rounded(-0.12, 0.33, 0.24, 0.17, 0.03), WOOD);
}

fn rocket(d: &mut Drawing) {
    d.detail(
        polygon(&[(-0.13, 0.28), (0.13, 0.28), (0.0, 0.5)]),
        Rgb(1.0, 0.62, 0.1),
    );
    d.detail(
        polygon(&[(-0.07, 0.28), (0.07, 0.28), (0.0, 0.4)]),
        Rgb(1.0, 0.93, 0.5),
    );
    d.shade(
        polygon(&[(-0.12, 0.02), (-0.31, 0.2), (-0.31, 0.38), (-0.1, 0.28)]),
        -0.3,
    );
    d.shade(
        polygon(&[(0.12, 0.02), (0.31, 0.2), (0.31, 0.38), (0.1, 0.28)]),
        -0.3,
    );
    d.body(path(|p| {
        p.move_to(0.0, -0.5);
        p.cubic_to(0.2, -0.34, 0.26, 0.04, 0.14, 0.3);
        p.line_to(-0.14, 0.3);
        p.cubic_to(-0.26, 0.04, -0.2, -0.34, 0.0, -0.5);
        p.close();
    }));
    d.detail(circle(0.0, -0.1, 0.105), WHITE);
    d.detail(circle(0.0, -0.1, 0.07), GLASS.shade(-0.25));
}

fn mushroom(d: &mut Drawing) {
    d.detail(
        path(|p| {
            p.move_to(-0.16, 0.0);
            p.line_to(0.16, 0.0);
            p.quad_to(0.14, 0.25, 0.23, 0.43);
            p.quad_to(0.0, 0.51, -0.23, 0.43);
            p.quad_to(-0.14, 0.25, -0.16, 0.0);
            p.close();
        }),
        CREAM,
    );
    d.body(path(|p| {
        p.move_to(-0.5, 0.06);
        p.cubic_to(-0.48, -0.3, -0.25, -0.47, 0.0, -0.47);
        p.cubic_to(0.25, -0.47, 0.48, -0.3, 0.5, 0.06);
        p.quad_to(0.0, 0.2, -0.5, 0.06);
        p.close();
    }));
    let spots = path(|p| {
        push_oval(p, -0.03, -0.26, 0.11, 0.09);
        push_oval(p, -0.29, -0.08, 0.075, 0.075);
        push_oval(p, 0.25, -0.1, 0.1, 0.085);
        push_oval(p, 0.0, 0.03, 0.06, 0.05);
    });
    d.detail(spots, WHITE);
}

fn fish(d: &mut Drawing) {
    d.shade(
        polygon(&[(-0.2, 0.0), (-0.5, -0.28), (-0.43, 0.0), (-0.5, 0.28)]),
        -0.2,
    );
    d.shade(
        path(|p| {
            p.move_to(-0.12, -0.16);
            p.quad_to(0.02, -0.38, 0.2, -0.31);
            p.line_to(0.22, -0.14);
            p.close();
        }),
        -0.2,
    );
    d.body(path(|p| {
        p.move_to(0.5, 0.02);
        p.cubic_to(0.4, -0.3, -0.02, -0.36, -0.3, -0.02);
        p.cubic_to(-0.02, 0.38, 0.4, 0.34, 0.5, 0.02);
        p.close();
    }));
    let stripe = path(|p| {
        p.move_to(0.1, -0.22);
        p.quad_to(0.19, 0.02, 0.1, 0.25);
        p.line_to(0.02, 0.24);
        p.quad_to(0.1, 0.02, 0.02, -0.21);
        p.close();
    });
    d.shade(stripe, 0.45);
    d.detail(circle(0.31, -0.06, 0.075), WHITE);
    d.detail(circle(0.325, -0.06, 0.038), INK);
}

fn car(d: &mut Drawing) {
    d.body(path(|p| {
        p.move_to(-0.32, -0.06);
        p.quad_to(-0.24, -0.3, -0.14, -0.3);
        p.line_to(0.1, -0.3);
        p.quad_to(0.18, -0.3, 0.3, -0.06);
        p.close();
    }));
    d.body(rounded(-0.5, -0.09, 1.0, 0.28, 0.09));
    d.detail(
        polygon(&[
            (-0.22, -0.07),
            (-0.15, -0.22),
            (-0.03, -0.22),
            (-0.03, -0.07),
        ]),
        GLASS,
    );
    d.detail(
        polygon(&[(0.03, -0.07), (0.03, -0.22), (0.09, -0.22), (0.19, -0.07)]),
        GLASS,
    );
    d.detail(circle(0.45, 0.01, 0.045), CREAM);
    for x in [-0.26, 0.27] {
        d.detail(circle(x, 0.17, 0.135), RUBBER);
        d.detail(circle(x, 0.17, 0.055), WHITE);
    }
}

fn flower(d: &mut Drawing) {
    let stem = path(|p| {
        p.move_to(0.0, -0.12);
        p.quad_to(0.04, 0.2, 0.0, 0.5);
    });
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

fn umbrella(d: &mut Drawing) {
    let handle = path(|p| {
        p.move_to(0.0, -0.48);
        p.line_to(0.0, 0.36);
        p.cubic_to(0.0, 0.52, 0.2, 0.52, 0.2, 0.34);
    });
    d.line(handle, 0.055, Ink::Fixed(WOOD));
    let canopy = |left: f32, right: f32| {
        path(|p| {
            p.move_to(0.0, -0.42);
            p.cubic_to(left * 0.6, -0.42, left, -0.2, left, 0.06);
            p.quad_to(
                (left * 2.0 + right) / 3.0,
                -0.05,
                (left + right) / 2.0,
                0.06,
            );
            p.quad_to((left + right * 2.0) / 3.0, -0.05, right, 0.06);
            p.cubic_to(right, -0.2, right * 0.6, -0.42, 0.0, -0.42);
            p.close();
        })
    };
    d.body(canopy(-0.5, 0.5));
    d.shade(
        path(|p| {
            p.move_to(0.0, -0.42);
            p.cubic_to(-0.12, -0.3, -0.19, -0.1, -0.2, 0.02);
            p.quad_to(0.0, -0.1, 0.2, 0.02);
            p.cubic_to(0.19, -0.1, 0.12, -0.3, 0.0, -0.42);
            p.close();
        }),
        0.28,
    );
}

fn kite(d: &mut Drawing) {
    let tail = path(|p| {
        p.move_to(0.0, 0.16);
        p.cubic_to(0.16, 0.26, -0.16, 0.36, 0.02, 0.48);
    });
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
    d.body(polygon(&[
        (0.0, -0.5),
        (0.37, -0.18),
        (0.0, 0.2),
        (-0.37, -0.18),
    ]));
    d.shade(polygon(&[(0.0, -0.5), (0.37, -0.18), (0.0, -0.18)]), 0.4);
    d.shade(polygon(&[(0.0, 0.2), (-0.37, -0.18), (0.0, -0.18)]), 0.4);
}

fn cat(d: &mut Drawing) {
    let tail = path(|p| {
        p.move_to(0.16, 0.42);
        p.cubic_to(0.42, 0.46, 0.38, 0.2, 0.3, 0.06);
    });
    d.line(tail, 0.1, Ink::Body(-0.15));
    d.body(path(|p| {
        p.move_to(-0.1, -0.1);
        p.cubic_to(-0.3, 0.2, -0.34, 0.5, -0.24, 0.5);
        p.line_to(0.2, 0.5);
        p.cubic_to(0.3, 0.5, 0.24, 0.2, 0.06, -0.1);
        p.close();
    }));
    d.detail(oval(-0.02, 0.3, 0.1, 0.16), CREAM);
    d.body(polygon(&[(-0.3, -0.22), (-0.29, -0.5), (-0.07, -0.38)]));
    d.body(polygon(&[(0.26, -0.22), (0.25, -0.5), (0.03, -0.38)]));
    d.body(oval(-0.02, -0.2, 0.29, 0.22));
    for x in [-0.13, 0.09] {
        d.detail(oval(x, -0.22, 0.055, 0.06), WHITE);
        d.detail(circle(x, -0.22, 0.034), INK);
    }
    d.detail(
        polygon(&[(-0.06, -0.13), (0.02, -0.13), (-0.02, -0.08)]),
        INK,
    );
}

fn cup(d: &mut Drawing) {
    let handle = path(|p| {
        p.move_to(0.16, -0.2);
        p.cubic_to(0.54, -0.28, 0.54, 0.26, 0.14, 0.2);
    });
    d.line(handle, 0.1, Ink::Body(-0.15));
    d.body(path(|p| {
        p.move_to(-0.5, -0.34);
        p.line_to(0.22, -0.34);
        p.cubic_to(0.22, 0.1, 0.16, 0.42, 0.04, 0.42);
        p.line_to(-0.32, 0.42);
        p.cubic_to(-0.44, 0.42, -0.5, 0.1, -0.5, -0.34);
        p.close();
    }));
    d.shade(oval(-0.14, -0.33, 0.36, 0.09), 0.5);
    d.detail(oval(-0.14, -0.315, 0.28, 0.055), WOOD.shade(-0.2));
    d.shade(rect(-0.45, 0.0, 0.62, 0.1), 0.5);
}

fn butterfly(d: &mut Drawing) {
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
