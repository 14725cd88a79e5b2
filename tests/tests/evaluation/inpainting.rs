//! Masks that cover things, the difference across their borders, and what images that no model painted are measured as.

use ::judge::{Judge, Question, Subject};
use evaluation::edit_examples::{EditExample, edit_examples, originals, truths};
use evaluation::edit_masks::{EditMask, MaskShape, SIZES};
use evaluation::inpainting::{EmptyCaptionRow, InpaintingReport, InpaintingRow, paint};
use evaluation::statistics::Estimate;
use evaluation::{EvaluationSettings, Evaluator, Example, Report};
use image::{Rgb, RgbImage};
use noise::Generator;
use pipeline::{Edit, Request, Settings, Silent};
use scenes::{Pairs, Scene, Split};

use crate::pipeline::{few_steps, open};

const SIDE: u32 = 96;

/// A thing of an ellipse's form.
fn oval(side: u32, [x, y]: [f32; 2], [width, height]: [f32; 2]) -> Vec<bool> {
    let pixels = (0..side * side).map(|at| [at % side, at / side].map(|n| n as f32 / side as f32));
    pixels.map(|[px, py]| ((px - x) / width).powi(2) + ((py - y) / height).powi(2) < 0.25).collect()
}

/// The mask that paints these pixels anew.
fn mask(side: u32, paint: impl Fn(u32, u32) -> bool) -> EditMask {
    let pixels = (0..side * side).map(|at| paint(at % side, at / side));
    EditMask::new(side, pixels.collect()).unwrap()
}

#[test]
fn masks_have_their_size_and_cover_the_thing() {
    let thing = oval(SIDE, [0.35, 0.6], [0.26, 0.3]);
    for shape in MaskShape::ALL {
        for size in SIZES {
            let draw = |seed| EditMask::draw(&thing, SIDE, shape, size, &mut Generator::new(seed));
            let masks: Vec<EditMask> = (0..20).filter_map(draw).collect();
            assert!(masks.len() >= 10, "{} of {}", masks.len(), shape.name());
            for mask in &masks {
                assert!((size[0]..size[1]).contains(&mask.share()), "{}", mask.share());
                assert!(mask.covers(&thing), "{}", shape.name());
            }
            assert_eq!(draw(3), draw(3));
            assert!(masks.iter().any(|mask| *mask != masks[0]), "one mask for all seeds");
        }
    }
    // A mask leaves a margin around the thing, and nothing is found for what it cannot cover.
    let inside = |mask: &EditMask| {
        let beside = (1..thing.len()).map(|at| thing[at] || thing[at - 1]);
        mask.covers(&[false].into_iter().chain(beside).collect::<Vec<_>>())
    };
    let draw =
        |seed| EditMask::draw(&thing, SIDE, MaskShape::Free, SIZES[0], &mut Generator::new(seed));
    assert!((0..20).filter_map(draw).all(|mask| inside(&mask)));
    let large = oval(SIDE, [0.5, 0.5], [0.9, 0.9]);
    for shape in MaskShape::ALL {
        assert_eq!(EditMask::draw(&large, SIDE, shape, SIZES[2], &mut Generator::new(1)), None);
    }
    let nothing = vec![false; thing.len()];
    let shape = MaskShape::Rectangle;
    assert_eq!(EditMask::draw(&nothing, SIDE, shape, SIZES[2], &mut Generator::new(1)), None);
}

#[test]
fn rectangles_are_rectangles_and_free_shapes_are_none() {
    let thing = oval(SIDE, [0.5, 0.5], [0.3, 0.3]);
    let is_rectangle = |mask: &EditMask| {
        // Of a rectangle, as many neighbours differ as its rows and columns have ends.
        let white = RgbImage::from_pixel(SIDE, SIDE, Rgb([255; 3]));
        let image = mask.paste(&RgbImage::new(SIDE, SIDE), &white);
        let at = |x: u32, y: u32| image[(x, y)][0] > 0;
        let rows: Vec<Vec<u32>> =
            (0..SIDE).map(|y| (0..SIDE).filter(|&x| at(x, y)).collect()).collect();
        let filled: Vec<&Vec<u32>> = rows.iter().filter(|row| !row.is_empty()).collect();
        filled.iter().all(|row| *row == filled[0])
    };
    for (shape, expected) in [(MaskShape::Rectangle, true), (MaskShape::Free, false)] {
        let draw = |seed| EditMask::draw(&thing, SIDE, shape, SIZES[2], &mut Generator::new(seed));
        let masks: Vec<EditMask> = (0..12).filter_map(draw).collect();
        assert!(masks.len() > 6, "{}", masks.len());
        assert!(masks.iter().all(|mask| is_rectangle(mask) == expected), "{}", shape.name());
    }
}

#[test]
fn a_seam_is_the_difference_across_the_border_alone() {
    let half = mask(8, |x, _| x >= 4);
    let step = |left: u8, right: u8| {
        RgbImage::from_fn(8, 8, |x, _| Rgb([if x < 4 { left } else { right }; 3]))
    };
    assert_eq!(half.seam(&step(10, 10)), 0.0);
    assert_eq!(half.seam(&step(10, 17)), 7.0);
    assert_eq!(half.seam(&step(200, 17)), 183.0);
    // Two columns further on, the same step is none of the mask's border.
    let elsewhere = mask(8, |x, _| x >= 6);
    assert_eq!(elsewhere.seam(&step(10, 17)), 0.0);
    // Pixels further apart lie on both sides of a step that is near: 4 of 256.
    let near = EditMask::new(256, (0..256 * 256).map(|at| at % 256 >= 128).collect()).unwrap();
    let ramp = RgbImage::from_fn(256, 256, |x, _| Rgb([x as u8; 3]));
    assert_eq!((near.seam(&ramp), near.wide_seam(&ramp)), (1.0, 4.0));
    // Both directions count: a single pixel has four neighbours.
    let one = mask(8, |x, y| (x, y) == (3, 3));
    let dot = RgbImage::from_fn(8, 8, |x, y| Rgb([if (x, y) == (3, 3) { 30 } else { 0 }; 3]));
    assert_eq!(one.seam(&dot), 30.0);
    // In the corner it has two, of which one is as bright.
    let corner = mask(8, |x, y| (x, y) == (7, 7));
    let bright = RgbImage::from_fn(8, 8, |x, _| Rgb([if x == 7 { 30 } else { 0 }; 3]));
    assert_eq!(corner.seam(&bright), 15.0);
    assert!(EditMask::new(8, vec![true; 63]).is_none());
}

#[test]
fn what_lies_outside_of_a_mask_stays() {
    let half = mask(8, |x, _| x >= 4);
    let (black, white) = (RgbImage::new(8, 8), RgbImage::from_pixel(8, 8, Rgb([255; 3])));
    let pasted = half.paste(&black, &white);
    assert_eq!((pasted[(3, 5)], pasted[(4, 5)]), (Rgb([0; 3]), Rgb([255; 3])));
    assert_eq!(half.share(), 0.5);
    assert_eq!(half.changes_outside(&black, &pasted), 0);
    assert_eq!(half.changes_outside(&black, &white), 32);
    let mut one = pasted;
    one.put_pixel(0, 0, Rgb([0, 1, 0]));
    assert_eq!(half.changes_outside(&black, &one), 1);
}

#[test]
fn a_things_pixels_are_where_another_colour_shows() {
    for seed in 0..20 {
        let scene = Scene::draw_alone(seed, Split::Evaluation(Pairs::Seen));
        let other =
            scene.sibling(Question::Colour.aspect().unwrap(), &mut Generator::new(seed)).unwrap();
        let pixels = scene.thing_pixels(SIDE);
        let share = pixels.iter().filter(|&&pixel| pixel).count() as f64 / pixels.len() as f64;
        assert!((0.02..0.45).contains(&share), "{seed}: {share}");
        // In another colour it may have a rim.
        let either = pixels.iter().zip(other.thing_pixels(SIDE)).map(|(own, theirs)| own | theirs);
        let own = EditMask::new(SIDE, either.collect()).unwrap();
        let [one, two] = [&scene, &other].map(|scene| scene.to_image(SIDE));
        assert!(own.paste(&one, &two) != one);
        assert_eq!(own.changes_outside(&one, &two), 0, "{seed}");
    }
}

#[test]
fn examples_ask_for_another_thing_or_colour_within_their_masks() {
    let examples = edit_examples(600_000, 40, SIDE);
    assert!(examples.len() >= 36, "{} of 40", examples.len());
    let is_each_there = |is: &dyn Fn(&EditExample, usize) -> bool, count: usize| {
        (0..count).all(|n| examples.iter().any(|example| is(example, n)))
    };
    assert!(is_each_there(&|example, n| example.size == n, SIZES.len()));
    assert!(is_each_there(&|example, n| example.shape == MaskShape::ALL[n], 2));
    for example in &examples {
        let [from, to] = [&example.scene, &example.target.scene].map(Scene::labels);
        let (things, colours) = (from.thing != to.thing, from.colour != to.colour);
        assert_eq!(
            (things, colours),
            match example.question {
                Question::Thing => (true, false),
                _ => (false, true),
            }
        );
        let [low, high] = SIZES[example.size];
        assert!((low..high).contains(&example.mask.share()));
        let [own, other] = [&example.scene, &example.target.scene].map(|s| s.to_image(SIDE));
        assert_eq!(example.mask.changes_outside(&own, &other), 0);
        let said = example.target.caption.mentioned;
        assert_eq!((said.thing, said.colour), (Some(to.thing), Some(to.colour)));
    }
    let same = edit_examples(600_000, 40, SIDE);
    assert!(same.iter().zip(&examples).all(|(one, other)| one.mask == other.mask));
    let first = edit_examples(600_000, 5, SIDE);
    assert!(first.iter().zip(&examples).all(|(one, other)| one.mask == other.mask));
}

#[test]
fn a_scene_is_painted_as_an_edit_of_it_is() {
    let (pipeline, judge) = (open("deep"), Judge::shipped(Subject::Scene).unwrap());
    let drawing = Settings { resample: Some(2), ..few_steps() };
    let (samples, part) = (None, (0, 1));
    let settings = EvaluationSettings { at_most: None, batch: 2, seed: 5, drawing, samples, part };
    let evaluator = Evaluator {
        pipeline: &pipeline,
        judge: &judge,
        settings: &settings,
        progress: &|_, _, _| {},
    };
    let side = pipeline.side().unwrap();
    for example in edit_examples(600_000, 4, side) {
        let captions = [&*example.target.caption.text];
        let painted = paint(&evaluator, std::slice::from_ref(&example), &captions).unwrap();
        let scene = example.scene.to_image(side);
        let edit = Edit::new(scene.clone(), example.mask.to_paint_mask()).unwrap();
        let seed = settings.seed + example.target.number;
        let request = Request::new(captions[0], seed, settings.drawing.clone());
        assert!(painted == pipeline.inpaint(&edit, &[request], &mut Silent).unwrap());
        assert_eq!(example.mask.changes_outside(&scene, &painted[0]), 0);
        assert!(painted[0] != scene, "nothing is painted");
    }
}

/// Another scene of each example's caption.
fn fresh(examples: &[EditExample]) -> Vec<RgbImage> {
    let other = |example: &EditExample| {
        let said = example.target.caption.mentioned;
        let scenes = (0..).map(|number| Example::draw(number, Pairs::Seen).scene);
        scenes.into_iter().find(|scene| said.describes(&scene.labels())).unwrap().to_image(SIDE)
    };
    examples.iter().map(other).collect()
}

#[test]
fn floors_fail_and_true_pictures_pass() {
    let judge = &Judge::shipped(Subject::Scene).unwrap();
    let examples = edit_examples(600_000, 60, SIDE);
    let row =
        |name: &str, images: &[RgbImage]| InpaintingRow::measure(name, judge, &examples, images);
    let untouched = row("the pictures untouched", &originals(&examples, SIDE));
    let count = examples.len() as u64;
    assert!(untouched.both.right <= 1 && untouched.both.total == count, "{}", untouched.both);
    assert_eq!(untouched.unchanged.right, count);

    let truth = row("true pictures", &truths(&examples, SIDE));
    assert!(truth.both.right + 3 >= count, "{}", truth.both);
    assert_eq!(truth.unchanged.right, count);
    let same = Estimate { value: 1.0, interval: (1.0, 1.0) };
    assert_eq!([truth.seam, truth.wide_seam, untouched.seam, untouched.wide_seam], [same; 4]);

    let fresh = fresh(&examples);
    let scenes = originals(&examples, SIDE);
    let pasted = examples.iter().zip(&scenes).zip(&fresh);
    let pasted: Vec<RgbImage> =
        pasted.map(|((example, own), other)| example.mask.paste(own, other)).collect();
    let pasted = row("fresh pictures pasted in", &pasted);
    assert!(pasted.seam.interval.0 > 1.15, "{}", pasted.seam);
    assert!(pasted.wide_seam.interval.0 > 1.15, "{}", pasted.wide_seam);
    assert_eq!(pasted.unchanged.right, count);
    let whole = row("fresh pictures", &fresh);
    assert_eq!(whole.unchanged.right, 0);

    let empty =
        EmptyCaptionRow { name: "painted".to_owned(), images: 3, seam: pasted.seam, fid_j: None };
    let report = InpaintingReport {
        method: "by RePaint".to_owned(),
        settings: Settings::of_family(&families::karlo()),
        seed: 0,
        rows: vec![pasted],
        references: vec![untouched, truth],
        empty_captions: vec![empty],
    };
    let text = report.to_markdown();
    for part in
        ["inpainting by RePaint |", "| fresh pictures pasted in |", "| 1.00 (1.00 to 1.00) |"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("without a caption |") && text.contains("| painted | 3 |"), "{text}");
}
