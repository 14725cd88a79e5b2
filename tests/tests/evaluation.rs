//! What an evaluation asks for, and the numbers that it reports.

use ::judge::{Judge, Prediction, Proportion, Question, Subject};
use claims::hypothesis_tests::Verdict;
use evaluation::diversity::{OPEN_QUESTIONS, open_captions, renderer_entropy};
use evaluation::image_metrics::laplacian_variance;
use evaluation::manipulations::turns_once;
use evaluation::sheets::nearest_scenes;
use evaluation::siblings::{SIBLING_QUESTIONS, Siblings};
use evaluation::statistics::{
    AnswerCounts, Estimate, Median, entropy, entropy_ratio, paired_difference, ratio_of_sums,
};
use evaluation::{AccuracyRow, CaptionSet, CaptionedScene, ImageSource};
use image::{Rgb, RgbImage};
use images::{contact_sheet, cut_sheet};
use scenes::{Labels, Scene, Second, Split};
use tch::{Device, Kind, Tensor};

mod everyday;
mod inpainting;
mod judge;
mod world_captions;
mod world_judge;

fn near(value: f64, wanted: f64) {
    assert!((value - wanted).abs() < 5e-5, "{value} instead of {wanted}");
}

#[test]
fn wilsons_interval_is_that_of_the_tables() {
    // R: prop.test(right, asked, correct = FALSE)$conf.int
    for (right, total, low, high) in [
        (0, 10, 0.0, 0.27753),
        (5, 10, 0.23659, 0.76341),
        (81, 263, 0.25526, 0.36621),
        (500, 500, 0.99238, 1.0),
    ] {
        let interval = Proportion { right, total }.interval();
        near(interval.0, low);
        near(interval.1, high);
    }
    assert_eq!(Proportion::default().interval(), (0.0, 1.0));
    assert_eq!(Proportion::default().value(), None);
}

#[test]
fn entropies_and_their_ratio_are_right_on_constructed_counts() {
    near(entropy(&[5, 5, 5, 5]), 4f64.ln());
    near(entropy(&[3, 0, 0, 0]), 0.0);
    near(entropy(&[]), 0.0);
    near(entropy(&[1, 3]), 0.25 * 4f64.ln() + 0.75 * (4.0 / 3.0f64).ln());
    let ratio = |all: &[(Vec<u64>, u64)]| {
        let answers =
            |(named, none): &(Vec<u64>, u64)| AnswerCounts { named: named.clone(), none: *none };
        let answers: Vec<AnswerCounts> = all.iter().map(answers).collect();
        entropy_ratio(&answers, &vec![4f64.ln(); all.len()]).unwrap()
    };
    near(ratio(&[(vec![5, 5, 5, 5], 0)]), 1.0);
    near(ratio(&[(vec![20, 0, 0, 0], 0)]), 0.0);
    near(ratio(&[(vec![10, 10, 0, 0], 0)]), 0.5);
    near(ratio(&[(vec![5, 5, 5, 5], 0), (vec![20, 0, 0, 0], 0)]), 0.5);
    // Pictures that show none of the answers are not variety.
    near(ratio(&[(vec![5, 5, 5, 5], 20)]), 0.5);
    near(ratio(&[(vec![0, 0, 0, 0], 20)]), 0.0);
    assert_eq!(entropy_ratio(&[AnswerCounts { named: vec![1, 1], none: 0 }], &[0.0]), None);
}

#[test]
fn captions_ask_for_styles_and_for_pairs_from_either_end() {
    for example in CaptionSet::Styles.examples(0..20) {
        let said = example.caption.mentioned;
        assert_eq!(said.style, Some(example.scene.labels().style));
        assert!(said.thing.is_some() && said.colour.is_some() && said.second.is_none());
        assert!(example.is_all_right(&Prediction::of(&example.scene.labels())));
    }
    for example in CaptionSet::Pairs.examples(0..20) {
        let labels = example.scene.labels();
        let own = labels.second.expect("there are two things");
        let said = example.caption.mentioned.second.expect("both are named");
        assert_eq!((said.thing, said.colour), (own.thing, Some(own.colour)));
        // Told from its second thing, it is the same picture; with the relation turned or the colours exchanged it is not.
        let second =
            Second { thing: labels.thing, colour: labels.colour, relation: own.relation.inverse() };
        let from_the_second =
            Labels { thing: own.thing, colour: own.colour, second: Some(second), ..labels };
        let rights = |labels: &Labels| -> Vec<bool> {
            let columns = CaptionSet::Pairs.columns().iter();
            let prediction = Prediction::of(labels);
            let rights =
                columns.map(|c| example.is_right(c.questions, &prediction).expect("asked"));
            rights.collect()
        };
        assert_eq!(rights(&labels), [true; 5]);
        assert_eq!(rights(&from_the_second), [true; 5]);
        let turned =
            Labels { second: Some(Second { relation: own.relation.inverse(), ..own }), ..labels };
        assert_eq!(rights(&turned), [true, true, true, true, false]);
        let alone = Labels { second: None, ..labels };
        assert_eq!(rights(&alone), [false, true, false, false, false]);
        let exchanged = Labels {
            colour: own.colour,
            second: Some(Second { colour: labels.colour, ..own }),
            ..labels
        };
        let same = own.colour == labels.colour;
        assert_eq!(rights(&exchanged), [true, same, same, same, true]);
    }
}

#[test]
fn differences_hold_where_their_interval_says_so() {
    // 100 pairs: 60 right in the first alone, 20 in the second alone; the difference's deviation is 0.089.
    let one: Vec<f64> = (0..100).map(|n| f64::from(n < 60)).collect();
    let other: Vec<f64> = (0..100).map(|n| f64::from(n >= 80)).collect();
    let found = paired_difference(&one, &other);
    near(found.value, 0.4);
    let (low, high) = found.interval;
    let half = 1.96 * (0.8f64 - 0.16).sqrt() / 10.0;
    assert!((low - (0.4 - half)).abs() < 0.02 && (high - (0.4 + half)).abs() < 0.02, "{found}");
    assert_eq!(Verdict::of(&found, 0.0), Verdict::Holds);
    assert_eq!(Verdict::of(&found, 0.4), Verdict::Inconclusive);
    assert_eq!(Verdict::of(&found, 0.6), Verdict::DoesNotHold);
    let undefined = Estimate { value: f64::NAN, interval: (f64::NAN, f64::NAN) };
    assert_eq!(Verdict::of(&undefined, 0.0), Verdict::Inconclusive);
    // A pair that is always the same leaves nothing open.
    assert_eq!(paired_difference(&one, &one).interval, (0.0, 0.0));
}

#[test]
fn a_ratio_of_sums_weighs_large_values_most() {
    let others: Vec<f64> = (1..=400).map(f64::from).collect();
    let values: Vec<f64> = others.iter().map(|&x| if x > 200.0 { 1.5 * x } else { x }).collect();
    let found = ratio_of_sums(&values, &others);
    // The numbers from 201 on are 60,100 of 80,200.
    near(found.value, 1.0 + 0.5 * 60_100.0 / 80_200.0);
    let (low, high) = found.interval;
    // Each number's residual, by the delta method: their root mean square over the mean's root of n.
    let residuals = values.iter().zip(&others).map(|(v, o)| (v - found.value * o).powi(2));
    let deviation = (residuals.sum::<f64>() / 400.0).sqrt() / 200.5 / 20.0;
    let half = 1.96 * deviation;
    assert!((low - (found.value - half)).abs() < 0.1 * half, "{found}");
    assert!((high - (found.value + half)).abs() < 0.1 * half, "{found}");
    let exact = ratio_of_sums(&others, &others);
    assert_eq!(format!("{exact}"), "1.00 (1.00 to 1.00)");
    assert_eq!(format!("{exact:+}"), "+1.00 (+1.00 to +1.00)");
}

#[test]
fn sharpness_is_the_laplacians_variance() {
    // A board of black and white pixels: each is 4 x 255 off its neighbours' sum, half of them up and half down.
    let row = |first: f32| [first, -first].repeat(4);
    let board = [row(1.0), row(-1.0)].concat().repeat(4);
    let board = Tensor::from_slice(&board).view([1, 1, 8, 8]);
    let plain = Tensor::full([1, 1, 8, 8], 0.3, (Kind::Float, Device::Cpu));
    let both = Tensor::cat(&[board, plain], 0).expand([2, 3, 8, 8], false);
    let found = laplacian_variance(&both);
    assert!((found[0] / 1020f64.powi(2) - 36.0 / 35.0).abs() < 1e-3, "{found:?}");
    assert!(found[1] < 1e-3, "{found:?}");
}

#[test]
fn rows_count_only_what_captions_mention() {
    let judge = Judge::shipped(Subject::Scene).unwrap();
    let examples = CaptionSet::HeldOut.examples(0..12);
    let pictures: Vec<RgbImage> =
        examples.iter().map(|example| example.scene.to_image(96)).collect();
    let mut row = AccuracyRow::new(ImageSource::True, CaptionSet::HeldOut);
    for example in &examples {
        assert!(scenes::held_out(example.scene.labels().thing, example.scene.labels().colour));
    }
    row.count(&examples, &judge.predict(&pictures));
    let mentions = |question| {
        examples.iter().filter(|e| e.answers().iter().any(|(q, _)| *q == question)).count() as u64
    };
    for question in
        [Question::Thing, Question::Colour, Question::Place, Question::Sky, Question::Ground]
    {
        let tally = row.cell(question.name()).unwrap();
        assert_eq!(tally.total, mentions(question), "{}", question.name());
        assert!(tally.right + 1 >= tally.total, "{}: {tally:?}", question.name());
    }
    assert_eq!(row.everything.total, 12);
    assert!(mentions(Question::Sky) < 12, "captions that mention everything leave nothing out");
}

#[test]
fn captions_for_diversity_leave_something_out_that_the_renderer_varies() {
    let pool: Vec<_> =
        (0..4000).map(|seed| Scene::draw_alone(seed, Split::Training).labels()).collect();
    let captions = open_captions(10);
    let mut compared = 0;
    for caption in &captions {
        let said = &caption.mentioned;
        for (question, said) in OPEN_QUESTIONS.into_iter().zip([
            said.colour.is_some(),
            said.sky.is_some(),
            said.ground.is_some(),
        ]) {
            let Some(found) = renderer_entropy(&pool, caption, question, 10) else {
                continue;
            };
            if said {
                assert_eq!(found, 0.0, "{}: {}", caption.text, question.name());
            } else {
                let all = (Subject::Scene.answers(question) as f64).ln();
                assert!(found > 0.6 * all && found <= all, "{}: {found} of {all}", caption.text);
                compared += 1;
            }
        }
    }
    assert!(compared > 5, "only {compared} comparisons");
}

#[test]
fn the_nearest_training_scene_to_a_training_scene_is_itself() {
    let picture =
        |seed| RgbImage::from_raw(32, 32, Scene::draw(seed, Split::Training).render(32)).unwrap();
    let found = nearest_scenes(&[picture(700), picture(3)], 0..1000);
    assert_eq!((found[0].seed, found[1].seed), (700, 3));
    assert!(found[0].distance < 2e-3, "{}", found[0].distance);
}

#[test]
fn a_contact_sheet_shows_pictures_row_by_row() {
    let plain = |level| RgbImage::from_pixel(8, 8, Rgb([level; 3]));
    let sheet = contact_sheet(&[plain(10), plain(20), plain(30)], 2);
    assert_eq!(sheet.dimensions(), (28, 28));
    assert_eq!(
        (sheet[(4, 4)][0], sheet[(16, 4)][0], sheet[(4, 16)][0], sheet[(16, 16)][0]),
        (10, 20, 30, 255)
    );
    for count in [1, 2, 3, 5] {
        let pictures: Vec<RgbImage> = (0..count).map(|n| plain(10 * n as u8)).collect();
        let (side, sheet) = (pictures[0].width(), contact_sheet(&pictures, 2));
        assert_eq!(cut_sheet(&sheet, side, count, 2), Some(pictures));
        assert_eq!(cut_sheet(&sheet, side, count + 2, 2), None);
        assert_eq!(cut_sheet(&sheet, side + 1, count, 2), None);
    }
}

#[test]
fn a_median_has_the_interval_of_its_ranks() {
    let median = Median::of((1..=50).rev().map(f64::from).collect());
    // Ranks 18 and 33 of 50 (Conover, Practical Nonparametric Statistics).
    assert_eq!((median.value, median.interval), (25.5, Some((18.0, 33.0))));
    assert_eq!(Median::of(vec![3.0; 5]).interval, None);
}

#[test]
fn a_way_turns_once_or_not_at_all() {
    let read = |way: &str| -> Vec<Option<usize>> {
        way.chars().map(|c| "abc".find(c)).collect() // '-' is none of these
    };
    for way in ["aabb", "ab", "aa-cbb", "a--b"] {
        assert!(turns_once(&read(way), 0, 1), "{way}");
    }
    for way in ["aaaa", "bbbb", "abab", "aabc", "ab-b", "-aab", "caab", "aab-", "a-ab", ""] {
        assert!(!turns_once(&read(way), 0, 1), "{way}");
    }
}

#[test]
fn captions_of_siblings_differ_in_one_label() {
    let said = [Question::Thing, Question::Colour, Question::Place, Question::Sky];
    for number in 0..40 {
        let siblings = Siblings::draw(number, &said);
        let [from, to] = siblings.captions();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (one, other) = (words(&from), words(&to));
        assert_ne!(one, other);
        let same_start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        let same_end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
        // One run of words differs, but for an article.
        assert!(same_start + same_end + 6 >= one.len().min(other.len()), "{from} / {to}");
    }
    assert_eq!(SIBLING_QUESTIONS.len(), 6);
}
