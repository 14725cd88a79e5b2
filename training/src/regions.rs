//! Random regions that are erased from images, to train a network that paints them (2112.10741, section 3.2).

use noise::Generator;
use tch::{Device, Kind, Tensor};

/// The regions of which the one that crosses the least of an image is erased.
const CHOICES: u64 = 8;
/// The most rectangles and the most strokes that are erased from one image.
const MOST_RECTANGLES: u64 = 2;
const MOST_STROKES: u64 = 2;
/// How many numbers of corners a polygon can have, from 4 on.
const CORNER_COUNTS: u64 = 5;

/// A region, in a unit square with its origin at the top left.
enum Region {
    /// The rectangle from one corner to the opposite one.
    Rectangle([f64; 2], [f64; 2]),
    /// All but such a rectangle: a picture is continued beyond its edges.
    Frame([f64; 2], [f64; 2]),
    /// Lines from point to point, as wide as twice the radius.
    Stroke(Vec<[f64; 2]>, f64),
    /// The inside of a closed line, by the even-odd rule.
    Polygon(Vec<[f64; 2]>),
}

impl Region {
    fn contains(&self, [x, y]: [f64; 2]) -> bool {
        let between = |[left, top]: [f64; 2], [right, bottom]: [f64; 2]| {
            left <= x && x < right && top <= y && y < bottom
        };
        match self {
            Self::Rectangle(first, last) => between(*first, *last),
            Self::Frame(first, last) => !between(*first, *last),
            Self::Stroke(points, radius) => points
                .windows(2)
                .any(|ends| squared_distance([x, y], ends[0], ends[1]) <= radius.powi(2)),
            Self::Polygon(corners) => {
                let edges = corners.iter().zip(corners.iter().cycle().skip(1));
                let crossed = edges.filter(|(a, b)| {
                    (a[1] > y) != (b[1] > y)
                        && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
                });
                crossed.count() % 2 == 1
            }
        }
    }
}

/// The squared distance of a point to a segment.
fn squared_distance(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length = along[0].powi(2) + along[1].powi(2);
    let t = (offset[0] * along[0] + offset[1] * along[1]) / length.max(f64::MIN_POSITIVE);
    let t = t.clamp(0.0, 1.0);
    (offset[0] - t * along[0]).powi(2) + (offset[1] - t * along[1]).powi(2)
}

/// The known pixels of images `[B, C, size, size]`, `[B, 1, size, size]` in f32 on the CPU: 0 in the region that is erased, which
/// is a random one of rectangles, strokes, a polygon or a frame, or with the probability `erase_all` the whole image.
///
/// Three images in four lose of eight such regions the one whose border crosses the least of the image, as people who
/// mask a thing mask all of it: a network that always saw things cut would paint things that the border cuts.
pub fn known_pixels<'a>(
    generators: impl Iterator<Item = &'a mut Generator>,
    erase_all: f64,
    images: &Tensor,
) -> Tensor {
    let size = images.size()[3];
    let gray = images.mean_dim(1, false, Kind::Float).to_device(Device::Cpu).contiguous();
    let known = generators.zip(gray.unbind(0)).map(|(generator, gray)| {
        let everything = generator.uniform() < erase_all;
        let choices = if generator.below(4) == 0 { 1 } else { CHOICES };
        let choices: Vec<Vec<Region>> = (0..choices).map(|_| regions(generator)).collect();
        if everything {
            return Tensor::zeros([size, size], (Kind::Float, Device::Cpu));
        }
        let masks = choices.iter().map(|regions| rasterize(regions, size));
        let masks = masks.map(|known| (crossed(&known, &gray), known));
        let least = masks.min_by(|(one, _), (other, _)| one.total_cmp(other));
        least.expect("a choice").1
    });
    Tensor::stack(&known.collect::<Vec<_>>(), 0).unsqueeze(1)
}

/// 1 outside of regions and 0 inside, `[size, size]`.
fn rasterize(regions: &[Region], size: i64) -> Tensor {
    let centre = |place: i64| (place as f64 + 0.5) / size as f64;
    let known = (0..size * size).map(|place| {
        let point = [centre(place % size), centre(place / size)];
        f32::from(!regions.iter().any(|region| region.contains(point)))
    });
    Tensor::from_slice(&known.collect::<Vec<f32>>()).view([size, size])
}

/// The mean change of an image at the border of what is known, across it and along it; infinite where there is no border.
fn crossed(known: &Tensor, image: &Tensor) -> f64 {
    let (border, change) = (steps(known).gt(0.0), steps(image));
    match border.any().int64_value(&[]) {
        0 => f64::INFINITY,
        _ => change.masked_select(&border).mean(Kind::Double).double_value(&[]),
    }
}

/// The difference of each pixel from the next one in its row and in its column, `[size - 1, size - 1]`.
fn steps(image: &Tensor) -> Tensor {
    let side = image.size()[0] - 1;
    let next = |dimension: i64| {
        let next = image.narrow(dimension, 1, side).narrow(1 - dimension, 0, side);
        (next - image.narrow(0, 0, side).narrow(1, 0, side)).abs()
    };
    next(0) + next(1)
}

/// The regions that are erased from one image.
fn regions(generator: &mut Generator) -> Vec<Region> {
    match generator.below(5) {
        0 | 1 => {
            let count = 1 + generator.below(MOST_RECTANGLES);
            (0..count).map(|_| rectangle(generator, 0.15, 0.8)).collect()
        }
        2 => (0..1 + generator.below(MOST_STROKES)).map(|_| stroke(generator)).collect(),
        3 => vec![polygon(generator)],
        _ => vec![frame(generator)],
    }
}

fn between(generator: &mut Generator, least: f64, most: f64) -> f64 {
    least + (most - least) * generator.uniform()
}

fn point(generator: &mut Generator) -> [f64; 2] {
    [generator.uniform(), generator.uniform()]
}

fn rectangle(generator: &mut Generator, least: f64, most: f64) -> Region {
    let size = [(); 2].map(|()| between(generator, least, most));
    let first = size.map(|side| between(generator, 0.0, 1.0 - side));
    Region::Rectangle(first, [first[0] + size[0], first[1] + size[1]])
}

fn stroke(generator: &mut Generator) -> Region {
    let radius = between(generator, 0.06, 0.2);
    let count = 2 + generator.below(3);
    Region::Stroke((0..count).map(|_| point(generator)).collect(), radius)
}

/// A polygon around a centre, whose corners lie at random distances from it.
fn polygon(generator: &mut Generator) -> Region {
    let centre = [(); 2].map(|()| between(generator, 0.25, 0.75));
    let count = 4 + generator.below(CORNER_COUNTS);
    let corner = |n: u64| {
        let angle = std::f64::consts::TAU * (n as f64 + generator.uniform()) / count as f64;
        let radius = between(generator, 0.15, 0.5);
        [centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()]
    };
    Region::Polygon((0..count).map(corner).collect())
}

/// The border of an image, which may be missing on some of its sides.
fn frame(generator: &mut Generator) -> Region {
    let mut side = || match generator.below(3) {
        0 => 0.0,
        _ => between(generator, 0.1, 0.45),
    };
    let [left, top, right, bottom] = [side(), side(), side(), side()];
    Region::Frame([left, top], [1.0 - right, 1.0 - bottom])
}
