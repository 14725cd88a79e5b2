//! Random masks of a share of an image that cover its thing, rectangles and free shapes, and the difference across their
//! border.
//!
//! A free shape is the pixels of the smallest distance from a figure, as many as the share takes, so that it grows until it
//! has its size. Nothing but sums, products and roots is computed, so that a seed draws the same mask on every machine.

use std::ops::Range;

use image::{Rgb, RgbImage};
use images::mask::PaintMask;
use noise::Generator;
use serde::{Deserialize, Serialize};

/// The classes of sizes: shares of the image, the first end included.
pub const SIZES: [[f64; 2]; 5] =
    [[0.10, 0.18], [0.18, 0.26], [0.26, 0.34], [0.34, 0.42], [0.42, 0.50]];

/// A mask leaves a margin of this part of the side around the thing.
const MARGIN: usize = 64;

/// The shape of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskShape {
    /// A rectangle.
    Rectangle,
    /// A blob, a polygon or a stroke.
    Free,
}

impl MaskShape {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rectangle, Self::Free];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rectangle => "rectangles",
            Self::Free => "free shapes",
        }
    }
}

/// The pixels of a square image that are painted anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditMask {
    side: usize,
    /// True at pixels that are painted anew, row by row.
    paint: Vec<bool>,
}

impl EditMask {
    /// The mask of a square image of `side` pixels: true at pixels that are painted anew, row by row. `None` where these are
    /// not `side * side` pixels.
    pub fn new(side: u32, paint: Vec<bool>) -> Option<Self> {
        let side = side as usize;
        (paint.len() == side * side).then_some(Self { side, paint })
    }

    /// A random mask of this shape that covers `thing`, `side * side` pixels, with a margin, and whose share of the image lies
    /// in `size`; `None` where it found none.
    pub fn draw(
        thing: &[bool],
        side: u32,
        shape: MaskShape,
        size: [f64; 2],
        generator: &mut Generator,
    ) -> Option<Self> {
        let side = side as usize;
        let thing = dilate(thing, side, side / MARGIN);
        let bounds = Bounds::of(&thing, side)?;
        let [low, high] = size.map(|share| (share * (side * side) as f64).ceil() as usize);
        let areas = low..high;
        let paint = match shape {
            MaskShape::Rectangle => bounds.rectangle(side, areas, generator)?,
            MaskShape::Free => {
                let points = points(&thing, side);
                let distance = match generator.below(3) {
                    0 => blob(&points, side, generator),
                    1 => stroke(&bounds, generator),
                    _ => polygon(&points, &bounds, generator),
                };
                nearest(&distance, &thing, side, areas, generator)?
            }
        };
        let mask = Self { side, paint };
        let is_of_size = size[0] <= mask.share() && mask.share() < size[1];
        is_of_size.then_some(mask)
    }

    /// The part of the image that is painted anew, from 0 to 1.
    pub fn share(&self) -> f64 {
        let painted = self.paint.iter().filter(|&&paint| paint).count();
        painted as f64 / self.paint.len() as f64
    }

    /// Whether all of these pixels are painted anew.
    pub fn covers(&self, pixels: &[bool]) -> bool {
        pixels.iter().zip(&self.paint).all(|(&pixel, &paint)| paint || !pixel)
    }

    /// The mask as an edit takes it.
    pub fn to_paint_mask(&self) -> PaintMask {
        let side = self.side as u32;
        let white = RgbImage::from_pixel(side, side, Rgb([u8::MAX; 3]));
        PaintMask::of_brightness(&self.paste(&RgbImage::new(side, side), &white))
    }

    /// `image` with the pixels of `other` where it is painted anew; both have the mask's size.
    pub fn paste(&self, image: &RgbImage, other: &RgbImage) -> RgbImage {
        let mut pasted = image.clone();
        let pixels = pasted.pixels_mut().zip(other.pixels()).zip(&self.paint);
        for ((pixel, other), _) in pixels.filter(|(_, paint)| **paint) {
            *pixel = *other;
        }
        pasted
    }

    /// The number of pixels outside of the mask in which two images of its size differ.
    pub fn changes_outside(&self, one: &RgbImage, other: &RgbImage) -> usize {
        let pixels = one.pixels().zip(other.pixels()).zip(&self.paint);
        pixels.filter(|((one, other), paint)| !**paint && one != other).count()
    }

    /// The mean absolute difference of neighbouring pixels of which one is painted anew and the other is not, over the channels
    /// of an image of the mask's size, from 0 to 255. NaN of a mask without a border.
    pub fn seam(&self, image: &RgbImage) -> f64 {
        self.difference(image, 1)
    }

    /// The same of pixels a 64th of the side apart, in a row or a column: the margin around the thing, so that neither is the
    /// thing's. A border that is blurred shows here.
    pub fn wide_seam(&self, image: &RgbImage) -> f64 {
        self.difference(image, (self.side / MARGIN).max(1))
    }

    /// The mean absolute difference of pixels so far apart of which one is painted anew and the other is not.
    fn difference(&self, image: &RgbImage, apart: usize) -> f64 {
        let pixels: Vec<_> = image.pixels().collect();
        let (mut sum, mut count) = (0u64, 0u64);
        for (here, there) in self.border(apart) {
            let channels = pixels[here].0.iter().zip(pixels[there].0);
            sum += channels.map(|(&one, other)| u64::from(one.abs_diff(other))).sum::<u64>();
            count += 3;
        }
        sum as f64 / count as f64
    }

    /// The pairs of pixels so far apart in a row or a column of which one is painted anew and the other is not.
    fn border(&self, apart: usize) -> impl Iterator<Item = (usize, usize)> {
        let right = move |at: usize| (at % self.side + apart < self.side).then_some(at + apart);
        let down = apart * self.side;
        let below = move |at: usize| (at + down < self.paint.len()).then_some(at + down);
        let neighbours = move |at: usize| [right(at), below(at)].into_iter().flatten();
        let pairs =
            (0..self.paint.len()).flat_map(move |at| neighbours(at).map(move |to| (at, to)));
        pairs.filter(move |&(here, there)| self.paint[here] != self.paint[there])
    }
}

/// The pixels within `reach` of these in both directions.
fn dilate(pixels: &[bool], side: usize, reach: usize) -> Vec<bool> {
    let along = |pixels: &[bool], (step, other): (usize, usize)| -> Vec<bool> {
        let mut wide = vec![false; pixels.len()];
        for at in (0..pixels.len()).filter(|&at| pixels[at]) {
            let (place, start) = (at / step % side, at / other % side * other);
            let last = (place + reach).min(side - 1);
            (place.saturating_sub(reach)..=last).for_each(|n| wide[start + n * step] = true);
        }
        wide
    };
    along(&along(pixels, (1, side)), (side, 1))
}

/// The centres of these pixels.
fn points(pixels: &[bool], side: usize) -> Vec<[f32; 2]> {
    let at = |at: usize| [(at % side) as f32 + 0.5, (at / side) as f32 + 0.5];
    (0..pixels.len()).filter(|&n| pixels[n]).map(at).collect()
}

/// The smallest rectangle around some pixels; the ends are excluded.
struct Bounds {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Bounds {
    fn of(pixels: &[bool], side: usize) -> Option<Self> {
        let places = || (0..pixels.len()).filter(|&at| pixels[at]);
        Some(Self {
            left: places().map(|at| at % side).min()?,
            top: places().map(|at| at / side).min()?,
            right: places().map(|at| at % side).max()? + 1,
            bottom: places().map(|at| at / side).max()? + 1,
        })
    }

    /// A rectangle around them, wherever it lies, of about one of these areas; `None` where none is so small.
    fn rectangle(&self, side: usize, areas: Range<usize>, g: &mut Generator) -> Option<Vec<bool>> {
        let (least_width, least_height) = (self.right - self.left, self.bottom - self.top);
        let area = pick(areas.start.max(least_width * least_height), areas.end, g)?;
        let narrowest = least_width.max(area.div_ceil(side));
        let width = pick(narrowest, (area / least_height).min(side) + 1, g)?;
        let height = area / width;
        let left = pick(self.right.saturating_sub(width), self.left.min(side - width) + 1, g)?;
        let top = pick(self.bottom.saturating_sub(height), self.top.min(side - height) + 1, g)?;
        let is_inside = |at: usize| {
            let (x, y) = (at % side, at / side);
            (left..left + width).contains(&x) && (top..top + height).contains(&y)
        };
        Some((0..side * side).map(is_inside).collect())
    }
}

/// A number from `low` on and below `end`; `None` where there is none.
fn pick(low: usize, end: usize, generator: &mut Generator) -> Option<usize> {
    (low < end).then(|| low + generator.below((end - low) as u64) as usize)
}

/// A number from `low` to `high`.
fn between(low: f32, high: f32, generator: &mut Generator) -> f32 {
    low + generator.uniform() as f32 * (high - low)
}

/// A distance of a point from a figure.
type Distance = Box<dyn Fn([f32; 2]) -> f32>;

/// The pixels of the smallest distances, one of these `areas` of them and all of the `thing`; `None` where that takes more.
fn nearest(
    distance: &Distance,
    thing: &[bool],
    side: usize,
    areas: Range<usize>,
    g: &mut Generator,
) -> Option<Vec<bool>> {
    let distances: Vec<f32> =
        points(&vec![true; side * side], side).into_iter().map(distance).collect();
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&one, &other| distances[one].total_cmp(&distances[other]));
    let farthest = order.iter().rposition(|&at| thing[at])?;
    let area = pick(areas.start.max(farthest + 1), areas.end, g)?;
    let mut pixels = vec![false; side * side];
    order[..area].iter().for_each(|&at| pixels[at] = true);
    Some(pixels)
}

fn length([x, y]: [f32; 2]) -> f32 {
    (x * x + y * y).sqrt()
}

/// Discs of different sizes on the thing.
fn blob(points: &[[f32; 2]], side: usize, g: &mut Generator) -> Distance {
    let count = 4 + g.below(5);
    let disc = |_| {
        let centre = points[g.below(points.len() as u64) as usize];
        (centre, between(0.0, 0.12 * side as f32, g))
    };
    let discs: Vec<([f32; 2], f32)> = (0..count).map(disc).collect();
    Box::new(move |[x, y]| {
        let distances = discs.iter().map(|([cx, cy], radius)| length([x - cx, y - cy]) - radius);
        distances.fold(f32::INFINITY, f32::min)
    })
}

/// A thick line to and fro over the thing, from left to right or from top to bottom.
fn stroke(bounds: &Bounds, g: &mut Generator) -> Distance {
    let [left, top, right, bottom] =
        [bounds.left, bounds.top, bounds.right, bounds.bottom].map(|end| end as f32);
    let turns = 3 + g.below(4);
    let upright = g.below(2) == 0;
    let corner = |n: u64| {
        let along = n as f32 / (turns - 1) as f32;
        let wobble = between(0.0, 0.25, g);
        let across = if n.is_multiple_of(2) { wobble } else { 1.0 - wobble };
        let [x, y] = if upright { [across, along] } else { [along, across] };
        [left + x * (right - left), top + y * (bottom - top)]
    };
    let corners: Vec<[f32; 2]> = (0..turns).map(corner).collect();
    Box::new(move |point| {
        let distances = corners.windows(2).map(|ends| segment_distance(point, ends[0], ends[1]));
        distances.fold(f32::INFINITY, f32::min)
    })
}

fn segment_distance([x, y]: [f32; 2], [ax, ay]: [f32; 2], [bx, by]: [f32; 2]) -> f32 {
    let (dx, dy) = (bx - ax, by - ay);
    let square = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
    let part = (((x - ax) * dx + (y - ay) * dy) / square).clamp(0.0, 1.0);
    length([x - ax - part * dx, y - ay - part * dy])
}

/// A convex polygon around the thing: the gauge of its half-planes.
fn polygon(points: &[[f32; 2]], bounds: &Bounds, g: &mut Generator) -> Distance {
    let middle = |low: usize, high: usize| (low + high) as f32 / 2.0;
    let (cx, cy) = (middle(bounds.left, bounds.right), middle(bounds.top, bounds.bottom));
    let sides = 4 + g.below(5);
    let half_plane = |n: u64| {
        let [nx, ny] = on_square((n as f32 + between(0.0, 0.8, g)) / sides as f32);
        let heights = points.iter().map(|[x, y]| nx * (x - cx) + ny * (y - cy));
        let reach = heights.fold(1.0, f32::max) * between(1.0, 1.4, g);
        [nx / reach, ny / reach]
    };
    let half_planes: Vec<[f32; 2]> = (0..sides).map(half_plane).collect();
    Box::new(move |[x, y]| {
        let heights = half_planes.iter().map(|[nx, ny]| nx * (x - cx) + ny * (y - cy));
        heights.fold(f32::NEG_INFINITY, f32::max)
    })
}

/// The point at this part of the way around the square from -1 to 1.
fn on_square(part: f32) -> [f32; 2] {
    let along = 4.0 * part;
    let place = 2.0 * (along - along.floor()) - 1.0;
    match along as u32 % 4 {
        0 => [place, -1.0],
        1 => [1.0, place],
        2 => [-place, 1.0],
        _ => [-1.0, -place],
    }
}
