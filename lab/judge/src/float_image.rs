//! Corruptions of images as generators make them: blur, noise, low resolution, colour jitter, warps, blends of two.

use noise::Generator;

/// A square image as f32 from 0 to 1, `[H, W, 3]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatImage {
    side: usize,
    values: Vec<f32>,
}

/// A displacement of each point by sines: up to `reach` of the side, in `waves` to a side.
#[derive(Clone, Copy, Debug)]
pub struct Warp {
    /// The largest displacement, of the side.
    pub reach: f32,
    /// Periods a side.
    pub waves: f32,
    /// The phases of x by y and by x, and of y by x and by y.
    pub phases: [f32; 4],
}

impl FloatImage {
    /// From `side * side * 3` bytes.
    pub fn from_bytes(side: usize, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), side * side * 3, "an image has three bytes a pixel");
        Self { side, values: bytes.iter().map(|&b| f32::from(b) / 255.0).collect() }
    }

    /// An image of one colour.
    pub fn solid(side: usize, colour: [f32; 3]) -> Self {
        Self { side, values: colour.repeat(side * side) }
    }

    /// Pixels a side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The values, `[H, W, 3]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The bytes, `[H, W, 3]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    /// Gaussian blur of this standard deviation in pixels; the edges are replicated.
    pub fn blur(&self, deviation: f64) -> Self {
        let reach = (3.0 * deviation).ceil().max(1.0) as i64;
        let weights: Vec<f32> = (-reach..=reach)
            .map(|d| (-0.5 * (d as f64 / deviation).powi(2)).exp() as f32)
            .collect();
        let total: f32 = weights.iter().sum();
        let weights: Vec<f32> = weights.iter().map(|w| w / total).collect();
        let (side, last) = (self.side as i64, self.side as i64 - 1);
        let pass = |from: &[f32], (step, other): (i64, i64)| {
            let mut to = vec![0.0; from.len()];
            for line in 0..side {
                for at in 0..side {
                    let out = ((line * other + at * step) * 3) as usize;
                    for (weight, d) in weights.iter().zip(-reach..=reach) {
                        let source = ((line * other + (at + d).clamp(0, last) * step) * 3) as usize;
                        for channel in 0..3 {
                            to[out + channel] += weight * from[source + channel];
                        }
                    }
                }
            }
            to
        };
        let across = pass(&self.values, (1, side));
        Self { side: self.side, values: pass(&across, (side, 1)) }
    }

    /// Additive Gaussian noise of this standard deviation.
    pub fn noise(&self, deviation: f64, generator: &mut Generator) -> Self {
        let noise = generator.normal(self.values.len());
        let noisy = |(v, n): (&f32, f32)| (v + n * deviation as f32).clamp(0.0, 1.0);
        Self { side: self.side, values: self.values.iter().zip(noise).map(noisy).collect() }
    }

    /// The same size with the detail of `side` pixels: antialiased downsampling, then upsampling.
    pub fn lower_resolution(&self, side: usize) -> Self {
        self.blur(0.4 * self.side as f64 / side as f64).resize(side).resize(self.side)
    }

    /// Average pooling of 2 by 2 pixels.
    pub fn halve(&self) -> Self {
        let half = self.side / 2;
        let at = |y: usize, x: usize, c: usize| self.values[(y * self.side + x) * 3 + c];
        let mut values = Vec::with_capacity(half * half * 3);
        for (y, x) in (0..half).flat_map(|y| (0..half).map(move |x| (2 * y, 2 * x))) {
            values.extend((0..3).map(|c| {
                (at(y, x, c) + at(y, x + 1, c) + at(y + 1, x, c) + at(y + 1, x + 1, c)) / 4.0
            }));
        }
        Self { side: half, values }
    }

    /// Colour jitter: multiplies the saturation, then applies a gain and an offset a channel.
    pub fn jitter_colour(&self, saturation: f32, gain: [f32; 3], offset: [f32; 3]) -> Self {
        let pixel = |rgb: &[f32]| {
            let grey = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2];
            [0, 1, 2].map(|c| {
                ((grey + (rgb[c] - grey) * saturation) * gain[c] + offset[c]).clamp(0.0, 1.0)
            })
        };
        Self { side: self.side, values: self.values.chunks_exact(3).flat_map(pixel).collect() }
    }

    /// Alpha blending: `other`'s alpha at every point is `alpha(x, y)`, with x and y from 0 to 1.
    pub fn blend(&self, other: &Self, alpha: impl Fn(f32, f32) -> f32) -> Self {
        let side = self.side;
        let place = |i: usize| (i as f32 + 0.5) / side as f32;
        let mut values = Vec::with_capacity(self.values.len());
        for (at, (own, theirs)) in
            self.values.chunks_exact(3).zip(other.values.chunks_exact(3)).enumerate()
        {
            let alpha = alpha(place(at % side), place(at / side)).clamp(0.0, 1.0);
            values.extend(own.iter().zip(theirs).map(|(a, b)| a + (b - a) * alpha));
        }
        Self { side, values }
    }

    /// Warps the image.
    pub fn warp(&self, Warp { reach, waves, phases }: Warp) -> Self {
        let (side, turn) = (self.side, std::f32::consts::TAU * waves / self.side as f32);
        let mut values = Vec::with_capacity(self.values.len());
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y as f32, x as f32))) {
            let amplitude = reach * side as f32 / 2.0;
            let dx = amplitude * ((y * turn + phases[0]).sin() + (x * turn + phases[1]).sin());
            let dy = amplitude * ((x * turn + phases[2]).sin() + (y * turn + phases[3]).sin());
            values.extend(self.sample(x + dx, y + dy));
        }
        Self { side, values }
    }

    /// Bilinear interpolation, without antialiasing.
    fn resize(&self, side: usize) -> Self {
        let scale = self.side as f32 / side as f32;
        let place = |i: usize| (i as f32 + 0.5) * scale - 0.5;
        let points = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
        Self { side, values: points.flat_map(|(x, y)| self.sample(place(x), place(y))).collect() }
    }

    /// The bilinearly interpolated colour at a point, in pixels.
    fn sample(&self, x: f32, y: f32) -> [f32; 3] {
        let last = (self.side - 1) as f32;
        let (x, y) = (x.clamp(0.0, last), y.clamp(0.0, last));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.side - 1), (top + 1).min(self.side - 1));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let at = |y: usize, x: usize, c: usize| self.values[(y * self.side + x) * 3 + c];
        [0, 1, 2].map(|c| {
            let upper = at(top, left, c) * (1.0 - fx) + at(top, right, c) * fx;
            let lower = at(bottom, left, c) * (1.0 - fx) + at(bottom, right, c) * fx;
            upper * (1.0 - fy) + lower * fy
        })
    }
}
