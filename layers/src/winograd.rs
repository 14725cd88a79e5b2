//! Winograd's convolution of 3 x 3 (1509.09308) on the CPU, in f32.
//!
//! The picture is cut into tiles of 8 x 8 pixels that overlap by two. Tiles and kernels are transformed, so that 64
//! matrix products over channels, one for each value of a transformed tile, take the place of the sums over 3 x 3
//! pixels; each product gives, transformed back, 6 x 6 pixels. That is 64 multiplications where a direct convolution
//! has 324. The outputs are rounded a little more: they are 1e-6 off, relative to their size.

#![allow(clippy::needless_range_loop)] // rows and columns of tiles read best by their numbers

use std::ops::Range;

use tch::{Device, Kind, Tensor};

/// Pixels on a tile's side, and those that come out of it.
const TILE: usize = 8;
const OUT: usize = 6;
/// Values of a transformed tile.
const VALUES: usize = TILE * TILE;
/// Tiles, or kernels, that are transformed side by side.
const LANES: usize = 16;
/// Numbers of the transformed tiles that lie in memory at once.
const STRIP: usize = 8 << 20;

type Lanes = [f32; LANES];
/// Tiles side by side, value by value.
type Tiles = [[Lanes; TILE]; TILE];

/// `x [B, I, H, W]` with `weight [O, I, 3, 3]` and `bias [O]`, a stride and a padding of 1 `-> [B, O, H, W]`; all in f32 on
/// the CPU. Nothing is kept for a gradient.
pub(crate) fn convolve(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let (batch, inputs, height, width) = x.size4().expect("pictures are [B, C, H, W]");
    let outputs = weight.size()[0];
    let floats = |shape: &[i64]| Tensor::empty(shape, (Kind::Float, Device::Cpu));
    let output = floats(&[batch, outputs, height, width]);
    let bias = bias.map(Tensor::contiguous);
    let grid = Grid::new(height as usize, width as usize);

    let kernels = floats(&[VALUES as i64, outputs, inputs]);
    let (i, o) = (inputs as usize, outputs as usize);
    let (from, to) = (Pointer::of(&weight), Pointer::of(&kernels));
    in_threads(o, |own| run(|| transform_kernels(from, to, i, o, own)));

    let all = grid.tiles() * batch as usize;
    let strip = (STRIP / (VALUES * i)).clamp(1, all.div_ceil(LANES) * LANES);
    let strip = strip.div_ceil(LANES) * LANES;
    let tiles = floats(&[VALUES as i64, inputs, strip as i64]);
    let products = floats(&[VALUES as i64, outputs, strip as i64]);
    let (picture, drawn) = (Pointer::of(&x), Pointer::of(&output));
    let (tile, product) = (Pointer::of(&tiles), Pointer::of(&products));
    let bias = bias.as_ref().map(Pointer::of);
    for first in (0..all).step_by(strip) {
        let strip = Strip {
            tiles: first..(first + strip).min(all),
            stride: strip,
        };
        in_threads(i, |own| {
            run(|| transform_tiles(picture, tile, &grid, &strip, i, own));
        });
        let _ = kernels.bmm_out(&products, &tiles);
        in_threads(o, |own| {
            run(|| transform_back(product, drawn, bias, &grid, &strip, o, own));
        });
    }
    output
}

/// The tiles of a picture.
struct Grid {
    height: usize,
    width: usize,
    down: usize,
    across: usize,
}

impl Grid {
    fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            down: height.div_ceil(OUT),
            across: width.div_ceil(OUT),
        }
    }

    fn tiles(&self) -> usize {
        self.down * self.across
    }

    /// The picture of a tile, and its first pixel of those that come out.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (picture, tile) = (tile / self.tiles(), tile % self.tiles());
        (picture, tile / self.across * OUT, tile % self.across * OUT)
    }
}

/// The tiles that lie in memory at once, and for how many there is room.
struct Strip {
    tiles: Range<usize>,
    stride: usize,
}

/// The numbers of a contiguous tensor, of which each thread reads or writes its own.
#[derive(Clone, Copy)]
struct Pointer(*mut f32);

// SAFETY: the tensors outlive the threads, and no two threads write the same numbers.
unsafe impl Send for Pointer {}
unsafe impl Sync for Pointer {}

impl Pointer {
    fn of(tensor: &Tensor) -> Self {
        debug_assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float);
        Self(tensor.data_ptr().cast())
    }

    /// # Safety
    /// The numbers must be the tensor's, and nobody else's at this time.
    unsafe fn part<'a>(self, start: usize, length: usize) -> &'a mut [f32] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}

/// Runs `work` on parts of `0..count`, one a thread, as many as libtorch computes with.
fn in_threads(count: usize, work: impl Fn(Range<usize>) + Sync) {
    let threads = (tch::get_num_threads().max(1) as usize).min(count);
    let part = |n: usize| n * count / threads..(n + 1) * count / threads;
    std::thread::scope(|scope| {
        for n in 1..threads {
            let work = &work;
            scope.spawn(move || work(part(n)));
        }
        work(part(0));
    });
}

/// Runs `work`, which is compiled for wide registers too, with the widest that this processor has.
#[inline(always)]
fn run(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn widest(work: impl FnOnce()) {
            work();
        }
        #[target_feature(enable = "avx2,fma")]
        fn wide(work: impl FnOnce()) {
            work();
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has it.
            return unsafe { widest(work) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has them.
            return unsafe { wide(work) };
        }
    }
    work();
}

/// `[O, I, 3, 3] -> [64, O, I]`, of the output channels `own`.
#[inline(always)]
fn transform_kernels(from: Pointer, to: Pointer, inputs: usize, outputs: usize, own: Range<usize>) {
    for output in own {
        // SAFETY: a kernel of this thread's output channel.
        let kernels = unsafe { from.part(output * inputs * 9, inputs * 9) };
        for first in (0..inputs).step_by(LANES) {
            let count = LANES.min(inputs - first);
            let mut kernel = [[[0.0; LANES]; 3]; 3];
            for lane in 0..count {
                let own = &kernels[(first + lane) * 9..][..9];
                for (n, &weight) in own.iter().enumerate() {
                    kernel[n / 3][n % 3][lane] = weight;
                }
            }
            let mut rows = [[[0.0; LANES]; 3]; TILE];
            for column in 0..3 {
                let [a, b, c] = [0, 1, 2].map(|row| &kernel[row][column]);
                let widened = widen(a, b, c);
                for (row, lanes) in widened.into_iter().enumerate() {
                    rows[row][column] = lanes;
                }
            }
            for (row, [a, b, c]) in rows.iter().enumerate() {
                for (column, lanes) in widen(a, b, c).iter().enumerate() {
                    let value = row * TILE + column;
                    let start = (value * outputs + output) * inputs + first;
                    // SAFETY: this thread's output channel.
                    unsafe { to.part(start, count) }.copy_from_slice(&lanes[..count]);
                }
            }
        }
    }
}

/// `[B, I, H, W] -> [64, I, strip]`, of the input channels `own`.
#[inline(always)]
fn transform_tiles(
    from: Pointer,
    to: Pointer,
    grid: &Grid,
    strip: &Strip,
    inputs: usize,
    own: Range<usize>,
) {
    let pixels = grid.height * grid.width;
    for channel in own {
        for first in strip.tiles.clone().step_by(LANES) {
            let count = LANES.min(strip.tiles.end - first);
            let mut tiles: Tiles = [[[0.0; LANES]; TILE]; TILE];
            for lane in 0..count {
                let (picture, top, left) = grid.place(first + lane);
                // SAFETY: nobody writes the picture.
                let plane = unsafe { from.part((picture * inputs + channel) * pixels, pixels) };
                // Tiles begin one pixel before what comes out of them; beyond the border there is 0.
                for row in 0..TILE {
                    let y = top + row;
                    if y == 0 || y > grid.height {
                        continue;
                    }
                    let line = &plane[(y - 1) * grid.width..][..grid.width];
                    if left > 0 && left + TILE - 1 <= grid.width {
                        let pixels: &[f32; TILE] = line[left - 1..][..TILE].try_into().expect("8");
                        for column in 0..TILE {
                            tiles[row][column][lane] = pixels[column];
                        }
                    } else {
                        for column in 0..TILE {
                            let x = left + column;
                            if x > 0 && x <= grid.width {
                                tiles[row][column][lane] = line[x - 1];
                            }
                        }
                    }
                }
            }
            for column in 0..TILE {
                let transformed = spread(&std::array::from_fn(|row| tiles[row][column]));
                for row in 0..TILE {
                    tiles[row][column] = transformed[row];
                }
            }
            for (row, columns) in tiles.iter().enumerate() {
                for (column, lanes) in spread(columns).iter().enumerate() {
                    let value = row * TILE + column;
                    let start =
                        (value * inputs + channel) * strip.stride + first - strip.tiles.start;
                    // SAFETY: this thread's input channel.
                    unsafe { to.part(start, LANES) }.copy_from_slice(lanes);
                }
            }
        }
    }
}

/// `[64, O, strip] -> [B, O, H, W]`, of the output channels `own`.
#[inline(always)]
fn transform_back(
    from: Pointer,
    to: Pointer,
    bias: Option<Pointer>,
    grid: &Grid,
    strip: &Strip,
    outputs: usize,
    own: Range<usize>,
) {
    let pixels = grid.height * grid.width;
    for channel in own {
        // SAFETY: nobody writes the bias.
        let bias = bias.map_or(0.0, |bias| unsafe { bias.part(channel, 1) }[0]);
        for first in strip.tiles.clone().step_by(LANES) {
            let count = LANES.min(strip.tiles.end - first);
            let mut rows = [[[0.0; LANES]; TILE]; OUT];
            for column in 0..TILE {
                let values: [Lanes; TILE] = std::array::from_fn(|row| {
                    let value = row * TILE + column;
                    let start =
                        (value * outputs + channel) * strip.stride + first - strip.tiles.start;
                    // SAFETY: nobody writes the products.
                    let lanes = unsafe { from.part(start, LANES) };
                    (&*lanes).try_into().expect("as many as lanes")
                });
                for (row, lanes) in gather(&values).into_iter().enumerate() {
                    rows[row][column] = lanes;
                }
            }
            let rows: [[Lanes; OUT]; OUT] = rows.map(|row| gather(&row));
            for lane in 0..count {
                let (picture, top, left) = grid.place(first + lane);
                // SAFETY: this thread's output channel.
                let plane = unsafe { to.part((picture * outputs + channel) * pixels, pixels) };
                let across = OUT.min(grid.width - left);
                for (row, columns) in rows.iter().enumerate().take(grid.height - top) {
                    let line = &mut plane[(top + row) * grid.width + left..][..across];
                    for (pixel, lanes) in line.iter_mut().zip(columns) {
                        *pixel = lanes[lane] + bias;
                    }
                }
            }
        }
    }
}

/// A row of a kernel at the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity, scaled so that [`spread`] and [`gather`] have
/// simple factors (1509.09308, section 4.3; these points as in wincnn).
#[inline(always)]
fn widen(a: &Lanes, b: &Lanes, c: &Lanes) -> [Lanes; TILE] {
    let mut out = [[0.0; LANES]; TILE];
    for n in 0..LANES {
        let (a, b, c) = (a[n], b[n], c[n]);
        out[0][n] = a;
        out[1][n] = -2.0 / 9.0 * (a + c + b);
        out[2][n] = -2.0 / 9.0 * (a + c - b);
        out[3][n] = (a + 4.0 * c + 2.0 * b) / 90.0;
        out[4][n] = (a + 4.0 * c - 2.0 * b) / 90.0;
        out[5][n] = 8.0 / 45.0 * (4.0 * a + c + 2.0 * b);
        out[6][n] = 8.0 / 45.0 * (4.0 * a + c - 2.0 * b);
        out[7][n] = c;
    }
    out
}

/// A row of a tile before the products.
#[inline(always)]
fn spread(r: &[Lanes; TILE]) -> [Lanes; TILE] {
    let mut out = [[0.0; LANES]; TILE];
    for n in 0..LANES {
        let r = |place: usize| r[place][n];
        out[0][n] = r(0) - r(6) + 5.25 * (r(4) - r(2));
        let (even, odd) = (r(2) + r(6) - 4.25 * r(4), r(1) + r(5) - 4.25 * r(3));
        out[1][n] = even + odd;
        out[2][n] = even - odd;
        let even = r(6) + 0.25 * r(2) - 1.25 * r(4);
        let odd = 0.5 * r(1) - 2.5 * r(3) + 2.0 * r(5);
        out[3][n] = even + odd;
        out[4][n] = even - odd;
        let even = r(6) + 4.0 * r(2) - 5.0 * r(4);
        let odd = 2.0 * r(1) - 2.5 * r(3) + 0.5 * r(5);
        out[5][n] = even + odd;
        out[6][n] = even - odd;
        out[7][n] = r(7) - r(1) + 5.25 * (r(3) - r(5));
    }
    out
}

/// A row of the products as pixels.
#[inline(always)]
fn gather(m: &[Lanes; TILE]) -> [Lanes; OUT] {
    let mut out = [[0.0; LANES]; OUT];
    for n in 0..LANES {
        let m = |place: usize| m[place][n];
        let (sum_1, difference_1) = (m(1) + m(2), m(1) - m(2));
        let (sum_2, difference_2) = (m(3) + m(4), m(3) - m(4));
        let (sum_half, difference_half) = (m(5) + m(6), m(5) - m(6));
        out[0][n] = m(0) + sum_1 + sum_2 + sum_half;
        out[1][n] = difference_1 + 2.0 * difference_2 + 0.5 * difference_half;
        out[2][n] = sum_1 + 4.0 * sum_2 + 0.25 * sum_half;
        out[3][n] = difference_1 + 8.0 * difference_2 + 0.125 * difference_half;
        out[4][n] = sum_1 + 16.0 * sum_2 + 0.0625 * sum_half;
        out[5][n] = difference_1 + 32.0 * difference_2 + 0.03125 * difference_half + m(7);
    }
    out
}
