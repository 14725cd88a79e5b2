//! Moving in CLIP's space: from one image to another, and along the difference of two captions
//! (2204.06125, sections 3.2 and 3.3).

use tch::{Kind, Tensor};

/// Below this angle, in radians, an arc is a line to the precision of f32.
const STRAIGHT: f64 = 1e-4;

/// The point at `t` (0 to 1) of the way from `from` to `to`, tensors of one shape that are each taken as one vector:
/// along the great circle between their directions, with the length in between on a straight line from one to the other.
///
/// Vectors that point exactly away from each other have no great circle of their own; the line through 0 is taken.
pub fn slerp(from: &Tensor, to: &Tensor, t: f64) -> Tensor {
    let (from, to) = (from.to_kind(Kind::Double), to.to_kind(Kind::Double));
    let (length_from, length_to) = (length(&from), length(&to));
    let mixed = &from * (1.0 - t) + &to * t;
    if length_from == 0.0 || length_to == 0.0 {
        return mixed.to_kind(Kind::Float);
    }
    let cosine = (&from * &to).sum(Kind::Double).double_value(&[]) / (length_from * length_to);
    let angle = cosine.clamp(-1.0, 1.0).acos();
    if angle.sin() < STRAIGHT {
        return mixed.to_kind(Kind::Float);
    }
    let (rest, way) = (((1.0 - t) * angle).sin(), (t * angle).sin());
    let direction = (&from * (rest / length_from) + &to * (way / length_to)) / angle.sin();
    let length = (1.0 - t) * length_from + t * length_to;
    (direction * length).to_kind(Kind::Float)
}

/// The embedding `[1, E]` of an image, turned along the great circle towards what sets the caption embedding `to` apart
/// from `from`, all `[1, E]`; its length stays.
///
/// On the unit sphere, `strength` times the difference of the captions is added, so that captions which hardly differ
/// hardly turn it: the paper, which takes the difference's direction alone, chooses an angle for each pair.
pub fn text_diff(image: &Tensor, from: &Tensor, to: &Tensor, strength: f64) -> Tensor {
    let image = image.to_kind(Kind::Double);
    let turned = unit(&image) + (unit(to) - unit(from)) * strength;
    (unit(&turned) * length(&image)).to_kind(Kind::Float)
}

fn unit(x: &Tensor) -> Tensor {
    let x = x.to_kind(Kind::Double);
    let length = length(&x).max(f64::MIN_POSITIVE);
    x / length
}

fn length(x: &Tensor) -> f64 {
    x.norm().double_value(&[])
}
