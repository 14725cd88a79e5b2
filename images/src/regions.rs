//! The regions of a mask, which are painted one by one, and the square of its image that each is painted in.

use crate::mask::{PaintMask, Rect};

/// The most regions that are painted one by one; a mask of more is painted as one.
pub const MOST_REGIONS: usize = 64;

/// A part of a mask that is painted at once: all of the mask that lies in a rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The smallest rectangle around it, which shares no pixel with another region's.
    pub bounds: Rect,
    /// The square that is painted, which leaves the image only where that is smaller.
    pub square: Rect,
    /// Whether the square is all of the image, because a square of twice the region's longer side does not fit into it, or the
    /// region is longer than the image's shorter side.
    pub is_whole: bool,
    /// Whether it is all of a mask that has more than [`MOST_REGIONS`] regions.
    pub is_union: bool,
}

impl PaintMask {
    /// The smallest rectangle around all painted pixels; `None` where there is none.
    pub fn bounds(&self) -> Option<Rect> {
        self.components().into_iter().reduce(Rect::union)
    }

    /// The regions of the mask, from the top on. `side` is that of the first images that a model samples, its smallest: no
    /// square is smaller, where the image has as many pixels, because that image would show it enlarged. Nor is one larger for
    /// the sake of the finished images: what is small in that first image its caption would not reach.
    ///
    /// A region is one or several 8-connected components. They are taken together where their rectangles touch, and where the
    /// square of them all is no larger than that of one of them.
    pub fn regions(&self, side: u32) -> Vec<Region> {
        let mut components = self.components();
        components
            .sort_by_key(|rect| std::cmp::Reverse(u64::from(rect.width) * u64::from(rect.height)));
        let mut groups: Vec<Rect> = Vec::new();
        let mut is_union = false;
        for mut rect in components {
            while let Some(other) =
                groups.iter().position(|group| belong_together(rect, *group, side))
            {
                rect = rect.union(groups.swap_remove(other));
            }
            groups.push(rect);
            if groups.len() > MOST_REGIONS {
                groups = self.bounds().into_iter().collect();
                is_union = true;
                break;
            }
        }
        groups.sort_by_key(|rect| (rect.y, rect.x));
        groups.into_iter().map(|bounds| self.region(bounds, side, is_union)).collect()
    }

    fn region(&self, bounds: Rect, side: u32, is_union: bool) -> Region {
        let (width, height) = self.dimensions();
        let (shorter, longer) = (width.min(height), width.max(height));
        let length = bounds.longer_side();
        let is_whole = length > shorter || u64::from(longer) < 2 * u64::from(length);
        let side = match is_whole {
            true => longer,
            false => (2 * length).max(side.min(shorter)),
        };
        let (x, y) = (
            place(bounds.x, bounds.width, side, width),
            place(bounds.y, bounds.height, side, height),
        );
        Region { bounds, square: Rect { x, y, width: side, height: side }, is_whole, is_union }
    }

    /// The rectangles around the 8-connected components, found from the runs of painted pixels in each row.
    fn components(&self) -> Vec<Rect> {
        let mut components = Components::default();
        let mut above: Vec<(usize, usize, usize)> = Vec::new();
        for (y, row) in self.rows().enumerate() {
            let mut runs = Vec::new();
            let mut first = 0; // the first run above that may touch
            for (start, end) in runs_of(row) {
                let rect =
                    Rect { x: start as i64, y: y as i64, width: (end - start) as u32, height: 1 };
                let run = components.add(rect);
                while above.get(first).is_some_and(|&(_, above_end, _)| above_end < start) {
                    first += 1;
                }
                // A run may touch the next one too, so the last that touches stays the first.
                let touching = above[first..].iter().take_while(|&&(above, ..)| above <= end);
                touching.for_each(|&(.., other)| components.join(run, other));
                runs.push((start, end, run));
            }
            above = runs;
        }
        components.rects()
    }
}

/// The runs of painted pixels in a row: the first column of each, and that behind its last.
fn runs_of(row: &[bool]) -> impl Iterator<Item = (usize, usize)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + row[next..].iter().position(|&painted| painted)?;
        let length = row[start..].iter().position(|&painted| !painted);
        next = length.map_or(row.len(), |length| start + length);
        Some((start, next))
    })
}

/// Whether two regions are painted in one square.
fn belong_together(one: Rect, other: Rect, side: u32) -> bool {
    let square = |rect: Rect| u64::from(side).max(2 * u64::from(rect.longer_side()));
    one.touches(other) || square(one.union(other)) <= square(one).max(square(other))
}

/// The first pixel of a square in one direction: around the middle of `length` pixels from `start` on, moved into an image of
/// `size` pixels, or around that.
fn place(start: i64, length: u32, side: u32, size: u32) -> i64 {
    let (side, size) = (i64::from(side), i64::from(size));
    match size - side {
        room if room < 0 => room / 2,
        room => (start + i64::from(length) / 2 - side / 2).clamp(0, room),
    }
}

/// Components that grow together: a forest of disjoint sets, each with its rectangle.
#[derive(Default)]
struct Components {
    parents: Vec<usize>,
    rects: Vec<Rect>,
}

impl Components {
    fn add(&mut self, rect: Rect) -> usize {
        self.parents.push(self.rects.len());
        self.rects.push(rect);
        self.rects.len() - 1
    }

    fn root(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.rects[other] = self.rects[other].union(self.rects[one]);
        self.parents[one] = other;
    }

    /// The rectangles of the roots.
    fn rects(self) -> Vec<Rect> {
        let rects = self.rects.into_iter().zip(self.parents).enumerate();
        rects.filter(|(member, (_, parent))| member == parent).map(|(_, (rect, _))| rect).collect()
    }
}
