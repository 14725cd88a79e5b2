//! Regions of masks and their squares, squares with reflections, and seams.

use image::{Rgb, RgbImage};
use images::canvas::{crop, extend};
use images::regions::MOST_REGIONS;
use images::seam::Seam;
use images::{Margins, PaintMask, Rect, Region};
use noise::Generator;

/// Numbers below `end`, the same in every run.
struct Numbers(Generator);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(Generator::new(seed))
    }

    fn below(&mut self, end: u32) -> u32 {
        self.0.below(end.into()) as u32
    }
}

fn rect(x: i64, y: i64, width: u32, height: u32) -> Rect {
    Rect { x, y, width, height }
}

fn mask_of(width: u32, height: u32, rects: &[Rect]) -> PaintMask {
    let mut mask = PaintMask::new(width, height);
    rects.iter().for_each(|&rect| mask.fill(rect));
    mask
}

fn bounds(mask: &PaintMask, side: u32) -> Vec<Rect> {
    mask.regions(side).into_iter().map(|region| region.bounds).collect()
}

fn holds(outer: Rect, inner: Rect) -> bool {
    outer.intersection(inner) == Some(inner)
}

/// The rectangles around 8-connected components, by filling them one by one.
fn components(mask: &PaintMask) -> Vec<Rect> {
    let (width, height) = mask.dimensions();
    let mut rest = mask.clone();
    let mut found = Vec::new();
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let (mut left, mut top, mut right, mut bottom) = (x, y, x, y);
        let mut open = vec![(x, y)];
        let mut is_new = false;
        while let Some((x, y)) = open.pop() {
            if x >= width || y >= height || !rest.contains(x, y) {
                continue;
            }
            is_new = true;
            rest.erase(rect(x.into(), y.into(), 1, 1));
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
            let near = |place: u32| [place.wrapping_sub(1), place, place + 1];
            open.extend(near(x).into_iter().flat_map(|x| near(y).map(|y| (x, y))));
        }
        if is_new {
            found.push(rect(left.into(), top.into(), right - left + 1, bottom - top + 1));
        }
    }
    found
}

#[test]
fn regions_are_whole_components_in_rectangles_of_their_own() {
    let mut numbers = Numbers::new(5);
    let mut several = 0;
    for round in 0..300 {
        let (width, height) = (1 + numbers.below(30), 1 + numbers.below(20));
        let mut mask = PaintMask::new(width, height);
        for _ in 0..numbers.below(40) {
            let (x, y) = (numbers.below(width).into(), numbers.below(height).into());
            mask.fill(rect(x, y, 1 + numbers.below(3), 1 + numbers.below(2)));
        }
        let components = components(&mask);
        let regions = bounds(&mask, 1 + round % 8);
        several += usize::from(regions.len() > 1);
        for component in &components {
            let around = regions.iter().filter(|region| holds(**region, *component)).count();
            assert_eq!(around, 1, "{mask:?}");
        }
        for (n, one) in regions.iter().enumerate() {
            let inside = components.iter().filter(|component| holds(*one, **component));
            let edges =
                |edge: fn(Rect) -> i64| inside.clone().map(|r| edge(*r)).collect::<Vec<_>>();
            // No smaller rectangle holds the components.
            assert_eq!(edges(|r| r.x).into_iter().min(), Some(one.x));
            assert_eq!(edges(|r| r.y).into_iter().min(), Some(one.y));
            assert_eq!(edges(Rect::right).into_iter().max(), Some(one.right()));
            assert_eq!(edges(Rect::bottom).into_iter().max(), Some(one.bottom()));
            assert!(regions[n + 1..].iter().all(|other| one.intersection(*other).is_none()));
        }
        let all = components.iter().copied().reduce(|a, b| {
            let (x, y) = (a.x.min(b.x), a.y.min(b.y));
            let (right, bottom) = (a.right().max(b.right()), a.bottom().max(b.bottom()));
            rect(x, y, (right - x) as u32, (bottom - y) as u32)
        });
        assert_eq!(mask.bounds(), all);
    }
    assert!(several > 50, "{several}");
}

#[test]
fn regions_that_are_far_from_each_other_are_two() {
    let (one, other) = (rect(3, 3, 10, 10), rect(200, 60, 20, 5));
    assert_eq!(bounds(&mask_of(300, 100, &[one, other]), 64), [one, other]);
    // A square of 64 pixels would hold these and as much again around them.
    let near = rect(20, 3, 10, 10);
    assert_eq!(bounds(&mask_of(300, 100, &[one, near]), 64), [rect(3, 3, 27, 10)]);
    assert_eq!(bounds(&mask_of(300, 100, &[one, near]), 32), [one, near]);
    // Corners that touch are one component, and a gap of one pixel makes two.
    let corners = [rect(0, 0, 4, 4), rect(4, 4, 4, 4)];
    assert_eq!(bounds(&mask_of(50, 50, &corners), 1), [rect(0, 0, 8, 8)]);
    let gap = [rect(0, 0, 4, 4), rect(5, 0, 4, 4)];
    assert_eq!(bounds(&mask_of(50, 50, &gap), 1), gap);
    assert_eq!(bounds(&PaintMask::new(50, 50), 1), []);
}

#[test]
fn a_mask_of_very_many_regions_is_painted_as_one() {
    let spots = |count: i64| (0..count).map(|n| rect(10 * n, 0, 1, 1)).collect::<Vec<_>>();
    let most = MOST_REGIONS as i64;
    assert_eq!(bounds(&mask_of(1000, 9, &spots(most)), 1).len(), MOST_REGIONS);
    let one = [rect(0, 0, 10 * MOST_REGIONS as u32 + 1, 1)];
    let more = mask_of(1000, 9, &spots(most + 1));
    assert_eq!(bounds(&more, 1), one);
    assert!(more.regions(1)[0].is_union && !mask_of(1000, 9, &one).regions(1)[0].is_union);
}

#[test]
fn squares_hold_twice_the_region_and_leave_the_image_only_where_it_is_smaller() {
    let mut numbers = Numbers::new(6);
    let mut wholes = 0;
    for _ in 0..2000 {
        let (width, height) = (1 + numbers.below(90), 1 + numbers.below(90));
        let side = 1 + numbers.below(64);
        let (x, y) = (numbers.below(width), numbers.below(height));
        let (w, h) = (1 + numbers.below(width - x), 1 + numbers.below(height - y));
        let mask = mask_of(width, height, &[rect(x.into(), y.into(), w, h)]);
        let regions = mask.regions(side);
        let [Region { bounds, square, is_whole, is_union: false }] = regions[..] else {
            panic!("{regions:?}")
        };
        assert_eq!(bounds, rect(x.into(), y.into(), w, h));
        assert_eq!(square.width, square.height);
        let (shorter, longer) = (width.min(height), width.max(height));
        assert!(square.width >= side.min(shorter) && square.width <= longer);
        assert!(holds(square, bounds), "{square:?} {bounds:?}");
        match is_whole {
            true => assert!(holds(square, Rect::of_image((width, height)))),
            false => assert!(square.width >= 2 * bounds.longer_side()),
        }
        let is_too_long = 2 * w.max(h) > longer || w.max(h) > shorter;
        assert_eq!(is_whole, is_too_long);
        wholes += u32::from(is_whole);
        for (start, end, size) in
            [(square.x, square.right(), width), (square.y, square.bottom(), height)]
        {
            let (before, behind) = (-start, end - i64::from(size));
            match square.width <= size {
                true => assert!(before <= 0 && behind <= 0, "{square:?} leaves {width} x {height}"),
                // As much is padded on both sides.
                false => assert!((before - behind).abs() <= 1 && before >= 0 && behind >= 0),
            }
        }
    }
    assert!((200..1800).contains(&wholes), "{wholes}");
}

/// An image in which no two pixels are equal.
fn unequal(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (3 * x + 7 * y) as u8]))
}

#[test]
fn outside_of_an_image_its_reflection_is() {
    let image = unequal(4, 3);
    assert_eq!(crop(&image, rect(0, 0, 4, 3)), image);
    assert_eq!(
        crop(&image, rect(1, 2, 2, 1)).into_raw(),
        [image[(1, 2)].0, image[(2, 2)].0].concat()
    );
    let all = crop(&image, rect(-5, -3, 14, 8));
    let columns = [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]; // from -5 on
    let rows = [1, 2, 1, 0, 1, 2, 1, 0]; // from -3 on
    for (x, y, pixel) in all.enumerate_pixels() {
        assert_eq!(*pixel, image[(columns[x as usize], rows[y as usize])], "{x} {y}");
    }
    let dot = crop(&unequal(1, 1), rect(-3, -2, 6, 6));
    assert!(dot.pixels().all(|pixel| *pixel == Rgb([0; 3])));
    let larger = extend(&image, Margins { left: 2, top: 0, right: 1, bottom: 1 });
    assert_eq!(larger, crop(&image, rect(-2, 0, 7, 4)));
}

#[test]
fn a_cell_is_painted_where_one_of_its_pixels_is() {
    let mut numbers = Numbers::new(7);
    for _ in 0..200 {
        let (width, height) = (1 + numbers.below(20), 1 + numbers.below(20));
        let mut mask = PaintMask::new(width, height);
        for _ in 0..numbers.below(6) {
            mask.fill(rect(numbers.below(width).into(), numbers.below(height).into(), 1, 2));
        }
        let side = 1 + numbers.below(30);
        let (x, y) = (i64::from(numbers.below(20)) - 10, i64::from(numbers.below(20)) - 10);
        let cells = 1 + numbers.below(12);
        let cover = mask.cover(rect(x, y, side, side), cells);
        let image =
            RgbImage::from_fn(width, height, |x, y| Rgb([u8::from(mask.contains(x, y)); 3]));
        let square = crop(&image, rect(x, y, side, side));
        for row in 0..cells {
            for column in 0..cells {
                // A pixel and a cell overlap where each begins before the other ends.
                let overlap = |cell: u32, pixel: u32| {
                    cell * side < (pixel + 1) * cells && pixel * cells < (cell + 1) * side
                };
                let any = square
                    .enumerate_pixels()
                    .any(|(x, y, pixel)| pixel[0] == 1 && overlap(column, x) && overlap(row, y));
                assert_eq!(cover[(row * cells + column) as usize], any, "{row} {column}");
            }
        }
    }
}

/// A black image after a white square was laid on it.
fn laid(mask: &PaintMask, feather: Option<u16>) -> RgbImage {
    let (width, height) = mask.dimensions();
    let mut image = RgbImage::new(width, height);
    let seam = Seam::new(mask, feather);
    for region in mask.regions(8) {
        seam.lay(&RgbImage::from_pixel(8, 8, Rgb([255; 3])), &region, &mut image);
    }
    image
}

#[test]
fn a_square_is_laid_on_the_pixels_of_the_mask_alone() {
    let mask = mask_of(40, 30, &[rect(2, 3, 5, 4), rect(30, 20, 10, 10), rect(31, 5, 1, 1)]);
    for (x, y, pixel) in laid(&mask, Some(0)).enumerate_pixels() {
        assert_eq!(pixel.0, [if mask.contains(x, y) { 255 } else { 0 }; 3], "{x} {y}");
    }
}

/// The levels that white fades in with from black: what is left of 255 where the smoothstep of `part` is taken away.
fn risen(part: f32) -> u8 {
    (255.0 - 255.0 * part * part * (3.0 - 2.0 * part)).round() as u8
}

#[test]
fn a_seam_rises_inside_the_mask() {
    let mask = mask_of(30, 30, &[rect(10, 10, 11, 11)]);
    let image = laid(&mask, Some(3));
    for (x, y, pixel) in image.enumerate_pixels() {
        assert!(pixel[0] == 0 || mask.contains(x, y), "{x} {y}");
    }
    let row: Vec<u8> = (10..21).map(|x| image[(x, 15)][0]).collect();
    let [two, one] = [2.0 / 3.0, 1.0 / 3.0].map(risen);
    assert_eq!(row, [0, two, one, 255, 255, 255, 255, 255, one, two, 0]);
    assert_eq!(image[(11, 11)][0], two, "the second pixel from a corner");
    // The image's own border is none of the mask's.
    let image = laid(&mask_of(30, 30, &[rect(0, 0, 10, 30)]), Some(3));
    assert_eq!([0, 5, 7, 8, 9].map(|x| image[(x, 0)][0]), [255, 255, one, two, 0]);
    // Without a feather, of a square of 32 pixels one is at the border.
    let image = laid(&mask_of(40, 40, &[rect(10, 10, 16, 16)]), None);
    assert_eq!([9, 10, 11].map(|x| image[(x, 15)][0]), [0, 0, 255]);
}

#[test]
fn a_seam_keeps_what_is_painted_and_shows_nothing_of_what_was_masked() {
    // Stripes are painted 40 levels too dark beside a gray, over a white that is to go.
    let mask = mask_of(64, 64, &[rect(16, 16, 32, 32)]);
    let stripe = |y: u32| if y.is_multiple_of(2) { 10 } else { 0 };
    let mut image = RgbImage::from_fn(64, 64, |x, y| {
        Rgb([if mask.contains(x, y) { 255 } else { 100 + stripe(y) }; 3])
    });
    let painted = RgbImage::from_fn(64, 64, |_, y| Rgb([60 + stripe(y); 3]));
    let region = mask.regions(8)[0];
    assert_eq!(region.square, rect(0, 0, 64, 64));
    Seam::new(&mask, Some(6)).lay(&painted, &region, &mut image);
    for (y, x) in (24..40).flat_map(|y| [(y, 16), (y, 47)]) {
        let level = |x| i16::from(image[(x, y)][0]);
        // The border has the mean of the gray's stripes, and what lies within has its own.
        assert!((102..=108).contains(&level(x)), "{x} {y}: {}", level(x));
        let x = if x == 16 { 17 } else { 46 };
        assert!((level(x) - 100 - i16::from(stripe(y))).abs() <= 6, "{x} {y}: {}", level(x));
    }
    assert_eq!(image[(32, 32)], painted[(32, 32)]);
    let rising: Vec<u8> = (17..24).map(|x| image[(x, 32)][0]).collect();
    assert!(rising.is_sorted_by(|one, next| one >= next), "{rising:?}");
    let brightest = image.iter().max();
    assert!(brightest <= Some(&120), "{brightest:?}: white was masked");
}

#[test]
fn a_seam_is_no_wider_than_its_region() {
    let mask = mask_of(60, 30, &[rect(2, 2, 1, 1), rect(10, 10, 11, 11), rect(30, 2, 25, 25)]);
    let regions = mask.regions(1);
    let seam = Seam::new(&mask, Some(9));
    let feathers: Vec<u16> = regions.iter().map(|region| seam.feather(region)).collect();
    let widths: Vec<u32> = regions.iter().map(|region| region.bounds.width).collect();
    assert_eq!((widths, feathers), (vec![1, 25, 11], vec![0, 9, 5]));
    let image = laid(&mask, Some(9));
    assert_eq!([(2, 2), (15, 15), (42, 14)].map(|place| image[place][0]), [255; 3]);
    let row: Vec<u8> = (10..16).map(|x| image[(x, 15)][0]).collect();
    assert_eq!(row, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0].map(risen));
    // Where nothing is left of an image there is no border.
    let all = laid(&mask_of(5, 5, &[rect(0, 0, 5, 5)]), Some(1000));
    assert!(all.iter().all(|&level| level == 255));
    assert_eq!(Seam::new(&mask, Some(0)).feather(&regions[0]), 0);
}
