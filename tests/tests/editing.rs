//! Edits of images of any size, by a tiny model that was trained to inpaint.

use std::ops::ControlFlow;
use std::path::Path;

use ::images::{Margins, PaintMask, Rect};
use ::pipeline::{Edit, EditError, Error, ErrorKind, Pipeline, Request, Settings, Silent, Step};
use diffusion::TimestepRespacing;
use families::ModelFolders;
use image::{Rgb, RgbImage};
use tch::{Device, Kind};
use weights::Folder;

/// The side of the tiny model's images.
const SIDE: u32 = 32;

fn open() -> Pipeline {
    tch::set_num_threads(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/glide/model");
    let folders = ModelFolders::new(Folder::open(folder).unwrap());
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

fn request(seed: u64) -> Request {
    let mut settings = Settings::of_family(&families::glide());
    settings.stages.iter_mut().for_each(|stage| stage.steps = TimestepRespacing::Count(2));
    Request::new("a green tree", seed, settings)
}

fn rect(x: i64, y: i64, width: u32, height: u32) -> Rect {
    Rect { x, y, width, height }
}

fn image(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([2 * x as u8, 3 * y as u8, 90]))
}

fn edit(image: &RgbImage, rects: &[Rect]) -> Edit {
    let mut mask = PaintMask::new(image.width(), image.height());
    rects.iter().for_each(|&rect| mask.fill(rect));
    Edit::new(image.clone(), mask).unwrap()
}

fn inpaint(pipeline: &Pipeline, edit: &Edit, seed: u64) -> RgbImage {
    pipeline.inpaint(edit, &[request(seed)], &mut Silent).unwrap().remove(0)
}

/// How many pixels differ inside the mask; no other one may.
fn differing(edit: &Edit, before: &RgbImage, after: &RgbImage) -> usize {
    assert_eq!(after.dimensions(), before.dimensions());
    let pixels = before.enumerate_pixels().zip(after.pixels());
    let differing =
        pixels.filter(|((.., before), after)| before != after).map(|(before, _)| before);
    let differing = differing.inspect(|(x, y, _)| assert!(edit.mask().contains(*x, *y), "{x} {y}"));
    differing.count()
}

#[test]
fn pixels_outside_the_mask_stay_and_those_inside_are_painted() {
    let pipeline = open();
    assert_eq!(pipeline.inpainting_side().unwrap(), SIDE);
    let sizes = [(100, 70), (70, 100), (SIDE, SIDE), (20, 9), (120, 5)];
    for (width, height) in sizes {
        let before = image(width, height);
        let edit = edit(&before, &[rect(3, 1, width / 3, height / 2)]);
        let after = inpaint(&pipeline, &edit, 1);
        let painted = edit.mask().count();
        let differing = differing(&edit, &before, &after);
        assert!(differing * 10 > painted * 9, "{differing} of {painted} in {width} x {height}");
        assert!(after == inpaint(&pipeline, &edit, 1), "a seed paints the same again");
        assert!(after != inpaint(&pipeline, &edit, 2));
    }
}

#[test]
fn a_small_region_is_painted_in_a_square_that_the_base_does_not_reduce() {
    let pipeline = open();
    let base_side = pipeline.inpainting_base_side().unwrap();
    assert!(base_side < SIDE, "{base_side}");
    let small = rect(50, 30, 4, 4);
    let before = image(100, 70);
    let edit_of = |image: &RgbImage| edit(image, &[small]);
    let square = edit_of(&before).regions(base_side).unwrap()[0].square;
    assert_eq!(square.width, base_side);
    let after = inpaint(&pipeline, &edit_of(&before), 1);
    assert!(differing(&edit_of(&before), &before, &after) > 0);
    let painted = |image: &RgbImage| ::images::canvas::crop(image, small);
    // Beyond the square nothing is seen.
    let mut other = RgbImage::from_pixel(100, 70, Rgb([200, 10, 90]));
    let inside = ::images::canvas::crop(&before, square);
    image::imageops::replace(&mut other, &inside, square.x, square.y);
    assert!(painted(&inpaint(&pipeline, &edit_of(&other), 1)) == painted(&after));
}

#[test]
fn several_edits_are_painted_as_each_alone() {
    let pipeline = open();
    let one = edit(&image(60, 40), &[rect(2, 3, 6, 6), rect(40, 20, 8, 8)]);
    let other = edit(&image(50, 44), &[rect(20, 10, 15, 12)]);
    let base_side = pipeline.inpainting_base_side().unwrap();
    let counts = [&one, &other].map(|edit| edit.regions(base_side).unwrap().len());
    assert_eq!(counts, [2, 1]);
    let requests = [[request(1)], [request(2)]];
    let edits = [(&one, &requests[0][..]), (&other, &requests[1][..])];
    let together = pipeline.inpaint_all(&edits, &mut Silent).unwrap();
    let alone = [inpaint(&pipeline, &one, 1), inpaint(&pipeline, &other, 2)];
    for (one, other) in together.iter().zip(&alone) {
        assert_eq!(one.dimensions(), other.dimensions());
        let far = one.iter().zip(other.iter()).filter(|(one, other)| one.abs_diff(**other) > 4);
        assert!(far.count() * 1000 <= one.len());
    }
}

#[test]
fn a_single_pixel_and_all_pixels_are_painted() {
    let pipeline = open();
    for (width, height) in [(1, 1), (40, 30)] {
        let before = image(width, height);
        let edit = edit(&before, &[Rect::of_image((width, height))]);
        let after = inpaint(&pipeline, &edit, 1);
        assert!(differing(&edit, &before, &after) > 0);
        // Nothing of the image is seen.
        let other = RgbImage::from_pixel(width, height, Rgb([7, 8, 9]));
        let other = Edit::new(other, edit.mask().clone()).unwrap();
        assert!(inpaint(&pipeline, &other, 1) == after);
    }
}

#[test]
fn regions_are_painted_one_by_one_in_sight_of_those_before() {
    let pipeline = open();
    let before = image(100, 70);
    let (one, other) = (rect(15, 5, 10, 10), rect(36, 10, 34, 34));
    let both = edit(&before, &[one, other]);
    assert_eq!(both.regions(pipeline.inpainting_base_side().unwrap()).unwrap().len(), 2);
    let mut seen = Vec::new();
    let mut observer = |step: Step<'_>| {
        if step.index == 0 {
            seen.push((step.done, step.steps));
        }
        ControlFlow::Continue(())
    };
    let after = pipeline.inpaint(&both, &[request(1)], &mut observer).unwrap().remove(0);
    assert_eq!(seen, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert!(differing(&both, &before, &after) > 1000);
    // The first square holds nothing of the second region, and the second a part of the first, as it was painted.
    let first_alone = edit(&before, &[one]);
    let first = inpaint(&pipeline, &first_alone, 1);
    let second = edit(&first, &[other]);
    let of_second = |image: &RgbImage| ::images::canvas::crop(image, other);
    assert!(of_second(&after) == of_second(&inpaint(&pipeline, &second, 1)));
    let unseen = inpaint(&pipeline, &edit(&before, &[other]), 1);
    assert!(of_second(&after) != of_second(&unseen));
}

#[test]
fn an_image_does_not_depend_on_those_beside_it() {
    let pipeline = open();
    let edit = edit(&image(60, 40), &[rect(20, 10, 15, 12)]);
    let requests: Vec<Request> = (4..7).map(request).collect();
    let together = pipeline.inpaint(&edit, &requests, &mut Silent).unwrap();
    assert_eq!(together.len(), 3);
    for (seed, together) in (4..7).zip(&together) {
        let alone = inpaint(&pipeline, &edit, seed);
        let levels = alone.iter().zip(together.iter());
        let far = levels.filter(|(one, other)| one.abs_diff(**other) > 4).count();
        assert!(far * 1000 <= alone.len(), "{seed}: {far} values are far off");
    }
}

#[test]
fn a_larger_canvas_is_painted_around_the_image() {
    let pipeline = open();
    let before = image(50, 40);
    let margins = Margins { left: 6, top: 0, right: 20, bottom: 3 };
    let edit = edit(&before, &[]).outpaint(margins).unwrap();
    let after = inpaint(&pipeline, &edit, 1);
    assert_eq!(after.dimensions(), (76, 43));
    assert!(::images::canvas::crop(&after, rect(6, 0, 50, 40)) == before);
    let unpainted = ::images::canvas::extend(&before, margins);
    assert!(differing(&edit, &unpainted, &after) > 1000);
}

#[test]
fn a_feathered_seam_lies_inside_the_mask() {
    let pipeline = open();
    let before = image(60, 40);
    let sharp = edit(&before, &[rect(20, 10, 15, 12)]).with_feather(0);
    let soft = sharp.clone().with_feather(3);
    let [hard, faded] = [&sharp, &soft].map(|edit| inpaint(&pipeline, edit, 1));
    differing(&soft, &before, &faded);
    // On both sides of the seam the levels are the same on average.
    let sum = |image: &RgbImage, columns: [u32; 2]| -> i32 {
        let pixels = (10..22).flat_map(|y| columns.map(|x| image[(x, y)].0));
        pixels.flatten().map(i32::from).sum()
    };
    let off = |image: &RgbImage| (sum(image, [20, 34]) - sum(image, [19, 35])).abs();
    assert!(5 * off(&faded) < off(&hard), "{} {}", off(&faded), off(&hard));
    assert_eq!(hard[(27, 15)], faded[(27, 15)]);
}

#[test]
fn edits_of_nothing_and_of_too_much_are_refused() {
    let pipeline = open();
    let before = image(50, 40);
    let nothing = edit(&before, &[]);
    let error = pipeline.inpaint(&nothing, &[request(1)], &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Edit(EditError::NothingToPaint((50, 40)))), "{error}");
    assert_eq!(error.kind(), ErrorKind::User);
    let other = Edit::new(before.clone(), PaintMask::new(40, 50)).unwrap_err().to_string();
    assert!(other.contains("40 x 50") && other.contains("50 x 40"), "{other}");
    let margins = Margins { left: u32::MAX, top: u32::MAX, right: u32::MAX, bottom: u32::MAX };
    let error = nothing.clone().outpaint(margins).unwrap_err();
    assert!(matches!(error, EditError::TooLarge { .. }), "{error}");
    // As few pixels as an image may have, and a square around them that has more.
    let long = edit(&RgbImage::new(11_000, 1), &[rect(0, 0, 11_000, 1)]);
    let error = long.regions(SIDE).unwrap_err().to_string();
    assert!(error.contains("11000 x 11000"), "{error}");
}
