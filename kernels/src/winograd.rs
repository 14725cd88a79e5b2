//! Winograd's convolution of 3 x 3 (1509.09308) on the CPU, in f32.
//!
//! The image is cut into tiles that overlap by two pixels. Tiles and filters are transformed, so that matrix products
//! over channels, one for each value of a transformed tile, take the place of the sums over 3 x 3 pixels; transformed
//! back they are pixels again. Tiles of 8 x 8 pixels give 6 x 6, with 64 multiplications where a direct convolution has
//! 324; tiles of 6 x 6 give 4 x 4, with 36 instead of 144 and less to do for the filters. The outputs are rounded a little
//! more: they are 1e-6 off, relative to their size.
//!
//! A strip of tiles is transformed at a time, by threads that share the input channels; then they share the output
//! channels, and each transforms the filters of a block of them, multiplies and transforms back while that is at hand.

#![allow(clippy::needless_range_loop)] // rows and columns of tiles read best by their numbers

mod transforms;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::parallel::{SharedPtr, parallel_for};
use crate::simd::{Bf16, Register, Simd, SimdKernel, Weight, dispatch, prefetch};
use transforms::{Four, Six, Transforms};

/// Output channels, and lanes of tiles, of a product that is summed up in registers.
const ROWS: usize = 8;
const COLUMNS: usize = 3;
/// Numbers of the transformed tiles that lie in memory at once, and of a thread's transformed filters.
const STRIP: usize = 16 << 20;
const BLOCK: usize = 6 << 20;
/// The most output channels of a block of filters.
const MOST_OUTPUTS: usize = 128;
/// Input channels that are summed up at once.
const DEPTH: usize = 160;

/// Tiles, or other things of which as many are transformed at once: one number of each.
const LANES: usize = 16;

/// One number of each lane, as registers of any width read them.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct F32x16([f32; LANES]);

const ZERO: F32x16 = F32x16([0.0; LANES]);

/// The buffers of a convolution, reused by the next: new memory costs as much as the transforms.
struct Scratch {
    tiles: Vec<F32x16>,
    threads: Vec<ThreadScratch>,
}

/// The buffers of one thread.
#[derive(Default)]
struct ThreadScratch {
    lines: Vec<F32x16>,
    filters: Vec<F32x16>,
    products: Vec<F32x16>,
}

static SCRATCH: Mutex<Scratch> = Mutex::new(Scratch { tiles: Vec::new(), threads: Vec::new() });

/// The first `count` vectors of a buffer, which grows to hold them.
fn scratch(buffers: &mut Vec<F32x16>, count: usize) -> &mut [F32x16] {
    if buffers.len() < count {
        buffers.resize(count, ZERO);
    }
    &mut buffers[..count]
}

/// The lanes of vectors as a slice.
fn as_floats(lanes: &[F32x16]) -> &[f32] {
    // SAFETY: lanes hold nothing but numbers, without gaps.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

/// As [`as_floats`], to write.
fn as_floats_mut(lanes: &mut [F32x16]) -> &mut [f32] {
    // SAFETY: lanes hold nothing but numbers, without gaps.
    unsafe { std::slice::from_raw_parts_mut(lanes.as_mut_ptr().cast(), lanes.len() * LANES) }
}

/// The pixels on a side that come out of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tiling {
    Four,
    Six,
}

/// `x [B, I, H, W]` with `weight [O, I, 3, 3]` and `bias [O]`, a stride and a padding of 1 `-> [B, O, H, W]`; all in f32 on
/// the CPU. It has no gradient.
pub(crate) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    tiling: Tiling,
    simd: Simd,
) -> Tensor {
    match (tiling, weight.kind()) {
        (Tiling::Four, Kind::BFloat16) => convolve_by::<Four, Bf16, 6, 4>(simd, x, weight, bias),
        (Tiling::Four, _) => convolve_by::<Four, f32, 6, 4>(simd, x, weight, bias),
        (Tiling::Six, Kind::BFloat16) => convolve_by::<Six, Bf16, 8, 6>(simd, x, weight, bias),
        (Tiling::Six, _) => convolve_by::<Six, f32, 8, 6>(simd, x, weight, bias),
    }
}

fn convolve_by<T: Transforms<TILE, OUT>, W: Weight, const TILE: usize, const OUT: usize>(
    simd: Simd,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Tensor {
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let bias = bias.map(Tensor::contiguous);
    let (batch, inputs, height, width) = x.size4().expect("images are [B, C, H, W]");
    let outputs = weight.size()[0];
    let options = (Kind::Float, Device::Cpu);
    let output = Tensor::empty([batch, outputs, height, width], options);
    let (down, across) = ((height as usize).div_ceil(OUT), (width as usize).div_ceil(OUT));
    let convolution = Convolution::<T, W, TILE, OUT> {
        image: SharedPtr::of(&x),
        weight: SharedPtr(weight.data_ptr().cast()),
        bias: bias.as_ref().map(SharedPtr::of),
        output: SharedPtr::of(&output),
        inputs: inputs as usize,
        outputs: outputs as usize,
        height: height as usize,
        width: width as usize,
        down,
        across,
        tiles: batch as usize * down * across,
        transforms: PhantomData,
    };
    convolution.run(simd);
    output
}

/// The operands and sizes of a convolution. Tiles are counted through all images, row by row.
struct Convolution<T, W, const TILE: usize, const OUT: usize> {
    image: SharedPtr<f32>,
    weight: SharedPtr<W>,
    bias: Option<SharedPtr<f32>>,
    output: SharedPtr<f32>,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    /// Rows and columns of an image's tiles, and the tiles of all images.
    down: usize,
    across: usize,
    tiles: usize,
    transforms: PhantomData<fn() -> T>,
}

/// The transform of a strip's tiles, for a thread's input channels.
struct TransformInput<'a, T, W, const TILE: usize, const OUT: usize> {
    all: &'a Convolution<T, W, TILE, OUT>,
    strip: &'a Range<usize>,
    to: SharedPtr<F32x16>,
    channels: Range<usize>,
    buffers: &'a mut ThreadScratch,
}

/// The output of a strip's transformed tiles, for a thread's output channels.
struct ComputeOutput<'a, T, W, const TILE: usize, const OUT: usize> {
    all: &'a Convolution<T, W, TILE, OUT>,
    strip: &'a Range<usize>,
    tiles: &'a [F32x16],
    channels: Range<usize>,
    buffers: &'a mut ThreadScratch,
}

impl<T: Transforms<TILE, OUT>, W: Weight, const TILE: usize, const OUT: usize>
    Convolution<T, W, TILE, OUT>
{
    /// Values of a transformed tile.
    const VALUES: usize = TILE * TILE;

    /// Writes the output.
    fn run(&self, simd: Simd) {
        let mut buffers = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
        let Scratch { tiles, threads } = &mut *buffers;
        threads.resize_with(tch::get_num_threads().max(1) as usize, ThreadScratch::default);
        let all = self.tiles.div_ceil(LANES);
        let group = Self::VALUES * self.value_stride();
        let strip = COLUMNS * (STRIP / (group * LANES)).max(1);
        for first in (0..all).step_by(strip) {
            let strip = first..(first + strip).min(all);
            let tiles = scratch(tiles, strip.len().div_ceil(COLUMNS) * group);
            let to = SharedPtr(tiles.as_mut_ptr());
            parallel_for(threads, self.inputs, 1, |buffers, channels| {
                let input = TransformInput { all: self, strip: &strip, to, channels, buffers };
                dispatch(simd, input);
            });
            let tiles = &*tiles;
            parallel_for(threads, self.outputs, ROWS, |buffers, channels| {
                let output = ComputeOutput { all: self, strip: &strip, tiles, channels, buffers };
                dispatch(simd, output);
            });
        }
    }

    /// Vectors from one value of a group's tiles to the next: a channel's after another's, and one more, so that values do
    /// not share their places in the caches.
    fn value_stride(&self) -> usize {
        self.inputs * COLUMNS + 1
    }

    /// Vectors from one value of a row of filters to the next.
    fn filter_stride(&self, rows: usize) -> usize {
        rows * self.inputs.div_ceil(LANES / ROWS) + 1
    }

    /// The tiles that a range of vectors holds, one a lane.
    fn tiles_in(&self, lanes: &Range<usize>) -> Range<usize> {
        lanes.start * LANES..(lanes.end * LANES).min(self.tiles)
    }

    /// The `lines` of a row of tiles, of `line` vectors each, transformed along the tiles' columns. Tiles begin one pixel
    /// before what comes out of them; beyond the border there is 0.
    #[inline(always)]
    fn transform_lines(&self, plane: &[f32], top: usize, line: usize, lines: &mut [F32x16]) {
        for (row, lanes) in lines.chunks_mut(line).enumerate() {
            let (y, line) = (top + row, as_floats_mut(lanes));
            if y == 0 || y > self.height {
                line.fill(0.0);
                continue;
            }
            line[0] = 0.0;
            let pixels = &plane[(y - 1) * self.width..][..self.width];
            line[1..][..self.width].copy_from_slice(pixels);
            line[1 + self.width..].fill(0.0);
        }
        for place in 0..line {
            let column = std::array::from_fn(|row| lines[row * line + place]);
            for (row, lanes) in T::transform_input(&column).into_iter().enumerate() {
                lines[row * line + place] = lanes;
            }
        }
    }

    /// The transformed filters of the output channels `channels`: `[value, rows of channels, I, 8]`. Rows that are not full
    /// repeat their last channel.
    #[inline(always)]
    fn transform_filters(&self, channels: &Range<usize>, buffers: &mut ThreadScratch) {
        /// Inputs whose filters fill the lanes of a row.
        const INPUTS: usize = LANES / ROWS;
        let rows = channels.len().div_ceil(ROWS);
        let value_stride = self.filter_stride(rows);
        let filters = scratch(&mut buffers.filters, Self::VALUES * value_stride);
        let wide = self.inputs.div_ceil(INPUTS);
        // SAFETY: nobody writes the weights.
        let weights = unsafe { self.weight.slice(0, self.outputs * self.inputs * 9) };
        for row in 0..rows {
            for place in 0..wide {
                let weights: [&[W; 9]; LANES] = std::array::from_fn(|n| {
                    let output = (channels.start + row * ROWS + n % ROWS).min(channels.end - 1);
                    let input = (place * INPUTS + n / ROWS).min(self.inputs - 1);
                    let start = (output * self.inputs + input) * 9;
                    weights[start..][..9].try_into().expect("a filter")
                });
                let filter: [F32x16; 9] = std::array::from_fn(|place| {
                    F32x16(std::array::from_fn(|n| weights[n][place].widen()))
                });
                let columns: [[F32x16; TILE]; 3] = std::array::from_fn(|column| {
                    let [a, b, c] = [0, 1, 2].map(|row| &filter[row * 3 + column]);
                    T::transform_filter(a, b, c)
                });
                for n in 0..TILE {
                    let [a, b, c] = columns.each_ref().map(|column| &column[n]);
                    for (column, lanes) in T::transform_filter(a, b, c).into_iter().enumerate() {
                        let value = n * TILE + column;
                        filters[value * value_stride + row * wide + place] = lanes;
                    }
                }
            }
        }
    }

    /// The products of the transformed filters of `outputs` channels and a group's `tiles`, which fill `lanes` vectors:
    /// `[value, outputs, lanes]`.
    #[inline(always)]
    fn multiply<R: Register>(
        &self,
        tiles: &[F32x16],
        outputs: usize,
        lanes: usize,
        buffers: &mut ThreadScratch,
    ) {
        let rows = outputs.div_ceil(ROWS);
        let wide = self.inputs.div_ceil(LANES / ROWS);
        let products = scratch(&mut buffers.products, Self::VALUES * rows * ROWS * COLUMNS);
        let values = tiles
            .chunks(self.value_stride())
            .zip(buffers.filters.chunks(self.filter_stride(rows)))
            .zip(products.chunks_mut(rows * ROWS * COLUMNS));
        for ((tiles, filters), products) in values {
            // Of as many inputs at once as the fastest cache holds the tiles of.
            for first in (0..self.inputs).step_by(DEPTH) {
                let depth = DEPTH.min(self.inputs - first);
                let tiles = &tiles[first * COLUMNS..][..depth * COLUMNS];
                let rows = filters.chunks_exact(wide).zip(products.chunks_mut(ROWS * COLUMNS));
                for (filters, products) in rows {
                    let mut product = Product {
                        filters: &as_floats(filters).as_chunks().0[first..][..depth],
                        tiles,
                        sums: products.try_into().expect("a row of outputs"),
                        begin: first == 0,
                        ahead: wide * LANES / ROWS,
                    };
                    // As many sums as there are registers, but for those of tiles and of a filter.
                    match (R::COUNT, lanes * LANES / R::LANES) {
                        (32.., 1) => product.add::<R, ROWS, 1>(0, 0),
                        (32.., 2) => product.add::<R, ROWS, 2>(0, 0),
                        (32.., 3) => product.add::<R, ROWS, 3>(0, 0),
                        (_, registers) if registers % 3 == 0 => product.add_all::<R, 3>(registers),
                        (_, registers) => product.add_all::<R, 2>(registers),
                    }
                }
            }
        }
    }

    /// A group's products as pixels.
    #[inline(always)]
    fn transform_products(
        &self,
        lanes: &Range<usize>,
        channels: &Range<usize>,
        buffers: &ThreadScratch,
    ) {
        let pixels = self.height * self.width;
        let tiles = self.tiles_in(lanes);
        let outputs = channels.len().next_multiple_of(ROWS);
        for (output, channel) in channels.clone().enumerate() {
            // SAFETY: nobody writes the bias.
            let bias = self.bias.map_or(0.0, |bias| unsafe { bias.slice(channel, 1) }[0]);
            for lane in 0..lanes.len() {
                let columns: [[F32x16; OUT]; TILE] = std::array::from_fn(|column| {
                    T::transform_output(&std::array::from_fn(|row| {
                        let value = row * TILE + column;
                        buffers.products[(value * outputs + output) * COLUMNS + lane]
                    }))
                });
                let rows: [[F32x16; OUT]; OUT] = std::array::from_fn(|row| {
                    T::transform_output(&std::array::from_fn(|column| columns[column][row]))
                });
                let first = tiles.start + lane * LANES;
                for tile in first..(first + LANES).min(tiles.end) {
                    let (row, left) = (tile / self.across, tile % self.across * OUT);
                    let (image, top) = (row / self.down, row % self.down * OUT);
                    let start = (image * self.outputs + channel) * pixels;
                    // SAFETY: this thread's output channel.
                    let plane = unsafe { self.output.slice_mut(start, pixels) };
                    let across = OUT.min(self.width - left);
                    for (row, columns) in rows.iter().enumerate().take(self.height - top) {
                        let line = &mut plane[(top + row) * self.width + left..][..across];
                        for (pixel, lanes) in line.iter_mut().zip(columns) {
                            *pixel = lanes.0[tile - first] + bias;
                        }
                    }
                }
            }
        }
    }
}

impl<T: Transforms<TILE, OUT>, W: Weight, const TILE: usize, const OUT: usize> SimdKernel
    for TransformInput<'_, T, W, TILE, OUT>
{
    /// Writes `[group, value, I, lanes]`.
    #[inline(always)]
    fn run<R: Register>(self) {
        let Self { all, strip, to, channels, buffers } = self;
        let pixels = all.height * all.width;
        let line = (all.across * OUT + TILE - OUT).div_ceil(LANES); // lanes of a line of pixels
        for (group, first) in strip.clone().step_by(COLUMNS).enumerate() {
            let lanes = first..(first + COLUMNS).min(strip.end);
            let tiles = all.tiles_in(&lanes);
            // Rows of tiles, counted through all images.
            let rows = tiles.start / all.across..(tiles.end - 1) / all.across + 1;
            let lines = scratch(&mut buffers.lines, rows.len() * TILE * line);
            // Where in the lines each tile begins; lanes without one repeat the last.
            let starts: [[usize; LANES]; COLUMNS] = std::array::from_fn(|lane| {
                std::array::from_fn(|n| {
                    let tile = (tiles.start + lane * LANES + n).min(tiles.end - 1);
                    let (row, column) = (tile / all.across - rows.start, tile % all.across);
                    row * TILE * line * LANES + column * OUT
                })
            });
            for channel in channels.clone() {
                for (row, lines) in rows.clone().zip(lines.chunks_mut(TILE * line)) {
                    let (image, top) = (row / all.down, row % all.down * OUT);
                    let start = (image * all.inputs + channel) * pixels;
                    // SAFETY: nobody writes the image.
                    let plane = unsafe { all.image.slice(start, pixels) };
                    all.transform_lines(plane, top, line, lines);
                }
                let lines = as_floats(lines);
                for (lane, starts) in starts.iter().enumerate().take(lanes.len()) {
                    for row in 0..TILE {
                        let line = &lines[row * line * LANES..];
                        let tiles: [&[f32; TILE]; LANES] = std::array::from_fn(|n| {
                            line[starts[n]..][..TILE].try_into().expect("a row")
                        });
                        let columns = std::array::from_fn(|column| {
                            F32x16(std::array::from_fn(|n| tiles[n][column]))
                        });
                        for (column, lanes) in T::transform_input(&columns).into_iter().enumerate()
                        {
                            let value = group * Convolution::<T, W, TILE, OUT>::VALUES
                                + row * TILE
                                + column;
                            let place = value * all.value_stride() + channel * COLUMNS + lane;
                            // SAFETY: this thread's input channel.
                            unsafe { to.0.add(place).write(lanes) };
                        }
                    }
                }
            }
        }
    }
}

impl<T: Transforms<TILE, OUT>, W: Weight, const TILE: usize, const OUT: usize> SimdKernel
    for ComputeOutput<'_, T, W, TILE, OUT>
{
    #[inline(always)]
    fn run<R: Register>(self) {
        let Self { all, strip, tiles, channels, buffers } = self;
        let values = Convolution::<T, W, TILE, OUT>::VALUES;
        let most = (BLOCK / (values * all.inputs)).clamp(ROWS, MOST_OUTPUTS);
        let block = channels.len().div_ceil(channels.len().div_ceil(most));
        let block = block.next_multiple_of(ROWS);
        for first in channels.clone().step_by(block) {
            let channels = first..(first + block).min(channels.end);
            all.transform_filters(&channels, buffers);
            let groups = tiles.chunks(values * all.value_stride());
            for (first, tiles) in strip.clone().step_by(COLUMNS).zip(groups) {
                let lanes = first..(first + COLUMNS).min(strip.end);
                all.multiply::<R>(tiles, channels.len(), lanes.len(), buffers);
                all.transform_products(&lanes, &channels, buffers);
            }
        }
    }
}

/// The product of a row of `filters [I, 8]` and `tiles [I, 3 x 16 lanes]`, which is added to the `sums [8, 3 x 16 lanes]`, or is
/// what they `begin` with.
struct Product<'a> {
    filters: &'a [[f32; ROWS]],
    tiles: &'a [F32x16],
    sums: &'a mut [F32x16; ROWS * COLUMNS],
    begin: bool,
    /// Inputs from these filters to those of the next row, which are prefetched.
    ahead: usize,
}

impl Product<'_> {
    /// All outputs of the first `registers` of lanes, four outputs of `N` registers at a time.
    #[inline(always)]
    fn add_all<R: Register, const N: usize>(&mut self, registers: usize) {
        for row in (0..ROWS).step_by(4) {
            for first in (0..registers).step_by(N) {
                self.add::<R, 4, N>(row, first);
            }
        }
    }

    /// `O` outputs from `row` on of `N` registers of lanes from `first` on, whose sums lie in registers.
    #[inline(always)]
    fn add<R: Register, const O: usize, const N: usize>(&mut self, row: usize, first: usize) {
        const LINE: usize = COLUMNS * LANES;
        assert!(row + O <= ROWS && (first + N) * R::LANES <= LINE);
        assert!(self.tiles.len() >= self.filters.len() * COLUMNS);
        let tiles = as_floats(self.tiles).as_ptr();
        let products = as_floats_mut(self.sums).as_mut_ptr();
        let lane = |n: usize| (first + n) * R::LANES;
        let place = |r: usize, n: usize| (row + r) * LINE + lane(n);
        let mut sums: [[R; N]; O] = std::array::from_fn(|r| {
            std::array::from_fn(|n| match self.begin {
                true => R::splat(0.0),
                // SAFETY: these rows and lanes are within the sums.
                false => unsafe { R::load(products.add(place(r, n))) },
            })
        });
        for (input, filter) in self.filters.iter().enumerate() {
            // SAFETY: these lanes are within the input's tiles.
            let tiles: [R; N] =
                std::array::from_fn(|n| unsafe { R::load(tiles.add(input * LINE + lane(n))) });
            // Two inputs of a row fill a cache line.
            if input % 2 == 0 {
                prefetch(filter, self.ahead);
            }
            for r in 0..O {
                let weight = R::splat(filter[row + r]);
                for n in 0..N {
                    sums[r][n] = sums[r][n].fma(weight, tiles[n]);
                }
            }
        }
        for r in 0..O {
            for n in 0..N {
                // SAFETY: as above.
                unsafe { sums[r][n].store(products.add(place(r, n))) };
            }
        }
    }
}
