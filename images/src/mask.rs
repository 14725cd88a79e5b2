//! Masks: the pixels of an image that are painted anew, by alpha, by brightness and by rectangles.

use image::{GrayImage, RgbImage};

use crate::decode::{DecodeError, decode_alpha};

/// The alpha and the brightness from which on a pixel is opaque, and white: half of 255, rounded up.
pub const HALF: u8 = 128;

/// The part of a file that says where a mask paints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskChannel {
    /// Transparent pixels are painted.
    Alpha,
    /// The file has no transparent pixels, and white ones are painted.
    Brightness,
}

/// A rectangle of pixels, of which a part may lie outside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// The first column.
    pub x: i64,
    /// The first row.
    pub y: i64,
    /// How many columns.
    pub width: u32,
    /// How many rows.
    pub height: u32,
}

impl Rect {
    /// All of an image.
    pub fn of_image((width, height): (u32, u32)) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// The column behind the last one.
    pub fn right(self) -> i64 {
        self.x.saturating_add(self.width.into())
    }

    /// The row behind the last one.
    pub fn bottom(self) -> i64 {
        self.y.saturating_add(self.height.into())
    }

    /// The longer side.
    pub fn longer_side(self) -> u32 {
        self.width.max(self.height)
    }

    /// The part that both have, if any.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (right, bottom) = (self.right().min(other.right()), self.bottom().min(other.bottom()));
        (x < right && y < bottom).then(|| Self::between(x, y, right, bottom))
    }

    /// The smallest rectangle that holds both.
    pub(crate) fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (self.right().max(other.right()), self.bottom().max(other.bottom()));
        Self::between(x, y, right, bottom)
    }

    /// Whether they overlap, or share an edge or a corner.
    pub(crate) fn touches(self, other: Self) -> bool {
        let columns = self.x <= other.right() && other.x <= self.right();
        columns && self.y <= other.bottom() && other.y <= self.bottom()
    }

    fn between(x: i64, y: i64, right: i64, bottom: i64) -> Self {
        Self { x, y, width: (right - x) as u32, height: (bottom - y) as u32 }
    }
}

/// The pixels that an image gets on each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Margins {
    /// Columns before the first one.
    pub left: u32,
    /// Rows above the first one.
    pub top: u32,
    /// Columns behind the last one.
    pub right: u32,
    /// Rows below the last one.
    pub bottom: u32,
}

impl Margins {
    /// The size of an image with these margins.
    pub fn extend(self, (width, height): (u32, u32)) -> (u64, u64) {
        let sum =
            |first: u32, side: u32, last: u32| u64::from(first) + u64::from(side) + u64::from(last);
        (sum(self.left, width, self.right), sum(self.top, height, self.bottom))
    }

    /// The rectangle of the extended image, as the image itself counts its pixels. Panics where a side is beyond 32 bits.
    pub(crate) fn rect(self, size: (u32, u32)) -> Rect {
        let (width, height) = self.extend(size);
        let side = |length: u64| u32::try_from(length).expect("a side of an image");
        let (x, y) = (-i64::from(self.left), -i64::from(self.top));
        Rect { x, y, width: side(width), height: side(height) }
    }
}

/// The pixels of an image that are painted anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaintMask {
    width: u32,
    height: u32,
    /// Row by row: true at pixels that are painted.
    pixels: Vec<bool>,
}

impl PaintMask {
    /// The mask of an image of `width` by `height` pixels in which no pixel is painted.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![false; width as usize * height as usize] }
    }

    /// The mask that a file says: its transparent pixels, or its white ones where it has none. `image` is the file's image.
    /// An error where `name`'s alpha cannot be read.
    pub fn of_file(
        bytes: &[u8],
        image: &RgbImage,
        name: &str,
    ) -> Result<(Self, MaskChannel), DecodeError> {
        Ok(match decode_alpha(bytes, name)? {
            Some(alpha) => (Self::of_alpha(&alpha), MaskChannel::Alpha),
            None => (Self::of_brightness(image), MaskChannel::Brightness),
        })
    }

    /// The pixels that are transparent: whose alpha is below half.
    pub fn of_alpha(alpha: &GrayImage) -> Self {
        let pixels = alpha.iter().map(|&alpha| alpha < HALF).collect();
        Self { width: alpha.width(), height: alpha.height(), pixels }
    }

    /// The pixels that are white: whose luma (Rec. 601, as Pillow weighs it) is at least half.
    pub fn of_brightness(image: &RgbImage) -> Self {
        let luma = |&[red, green, blue]: &[u8; 3]| {
            (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000
        };
        let pixels = image.as_raw().as_chunks::<3>().0.iter();
        let pixels = pixels.map(|pixel| luma(pixel) >= HALF.into()).collect();
        Self { width: image.width(), height: image.height(), pixels }
    }

    /// Width and height.
    pub fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Whether a pixel is painted. Panics outside the image.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        assert!(x < self.width, "column {x} of {}", self.width);
        self.pixels[y as usize * self.width as usize + x as usize]
    }

    /// How many pixels are painted.
    pub fn count(&self) -> usize {
        self.pixels.iter().filter(|&&painted| painted).count()
    }

    /// The rows, from the top on.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &[bool]> + ExactSizeIterator {
        self.pixels.chunks_exact(self.width.max(1) as usize)
    }

    /// The mask at another size, where it has not that one: of each pixel the value of the nearest one.
    pub fn resize(&self, width: u32, height: u32) -> Self {
        if self.dimensions() == (width, height) {
            return self.clone();
        }
        let nearest = |place: u32, old: u32, new: u32| {
            ((2 * u64::from(place) + 1) * u64::from(old) / (2 * u64::from(new))) as usize
        };
        let columns: Vec<usize> = (0..width).map(|x| nearest(x, self.width, width)).collect();
        let rows = (0..height).map(|y| nearest(y, self.height, height) * self.width as usize);
        let pixels = rows.flat_map(|row| columns.iter().map(move |x| self.pixels[row + x]));
        Self { width, height, pixels: pixels.collect() }
    }

    /// Paints where it did not, and no longer where it did.
    pub fn invert(&mut self) {
        self.pixels.iter_mut().for_each(|painted| *painted = !*painted);
    }

    /// Paints the pixels of a rectangle too; nothing of it that lies outside the image.
    pub fn fill(&mut self, rect: Rect) {
        self.set(rect, true);
    }

    /// Paints nothing of a rectangle any more.
    pub fn erase(&mut self, rect: Rect) {
        self.set(rect, false);
    }

    fn set(&mut self, rect: Rect, painted: bool) {
        let Some(rect) = rect.intersection(Rect::of_image(self.dimensions())) else {
            return;
        };
        for y in rect.y..rect.bottom() {
            let row = &mut self.pixels[y as usize * self.width as usize..];
            row[rect.x as usize..rect.right() as usize].fill(painted);
        }
    }

    /// The mask of an image with margins, which are painted.
    pub fn extend(&self, margins: Margins) -> Self {
        let all = margins.rect(self.dimensions());
        let mut pixels = vec![true; all.width as usize * all.height as usize];
        let lines = pixels.chunks_exact_mut(all.width.max(1) as usize).skip(margins.top as usize);
        for (line, row) in lines.zip(self.rows()) {
            line[margins.left as usize..][..row.len()].copy_from_slice(row);
        }
        Self { width: all.width, height: all.height, pixels }
    }
}
