//! The judges and their data set.

use image::RgbImage;
use judge::{
    Corruption, FIRST_TEST_SEED, FloatImage, Judge, Question, SHIPPED_PAIRS_SHA256, SHIPPED_SHA256,
    Sample, Subject, Target, Targets, Warp,
};
use noise::Generator;
use scenes::{Scene, Split};

/// The scene's label for each question.
fn truths(scene: &Scene) -> Targets {
    Targets::of(&scene.labels())
}

fn sample(seed: u64, corruption: Corruption) -> Sample {
    Sample::with_corruption(seed, corruption, Subject::Scene, &mut Generator::new(seed))
}

#[test]
fn the_committed_judges_are_those_that_were_written_down() {
    let page = include_str!("../../../docs/evaluation.md");
    for (subject, sha256) in
        [(Subject::Scene, SHIPPED_SHA256), (Subject::Pair, SHIPPED_PAIRS_SHA256)]
    {
        assert_eq!(Judge::shipped(subject).unwrap().sha256(), sha256);
        assert!(
            page.contains(sha256),
            "docs/evaluation.md does not name the hash of the judge of a {subject:?}"
        );
    }
}

#[test]
fn the_committed_judges_read_fresh_scenes_of_several_sizes() {
    let sides = [64, 96, 128];
    for subject in [Subject::Scene, Subject::Pair] {
        let scenes: Vec<Scene> = (0..240)
            .map(|i| match subject {
                Subject::Scene => Scene::draw(FIRST_TEST_SEED + 90_000 + i, Split::Judge),
                _ => Scene::draw_pair(FIRST_TEST_SEED + 90_000 + i, Split::Judge),
            })
            .collect();
        let pictures: Vec<RgbImage> = scenes
            .iter()
            .zip(sides.into_iter().cycle())
            .map(|(scene, side)| scene.to_image(side))
            .collect();
        let predictions = Judge::shipped(subject).unwrap().predict(&pictures);
        for &question in subject.questions() {
            let right = scenes
                .iter()
                .zip(&predictions)
                .filter(|(scene, prediction)| {
                    prediction.answer(question) == question.truth(&scene.labels())
                })
                .count();
            // 99% of what is undamaged; style and second things are harder.
            let least = match question {
                Question::Style | Question::SecondThing | Question::SecondColour => 230,
                _ => 237,
            };
            assert!(right >= least, "{}: {right} of 240", question.name());
        }
    }
}

#[test]
fn the_committed_judge_sees_nothing_in_noise() {
    let judge = Judge::shipped(Subject::Scene).unwrap();
    let pictures: Vec<RgbImage> = (0..16)
        .map(|seed| {
            RgbImage::from_raw(
                64,
                64,
                sample(FIRST_TEST_SEED + seed, Corruption::Noise).image.to_bytes(),
            )
            .unwrap()
        })
        .collect();
    let predictions = judge.predict(&pictures);
    let seen = predictions
        .iter()
        .filter(|prediction| prediction.answer(Question::Thing).is_some())
        .count();
    assert!(seen <= 1, "things in {seen} of 16 pictures of noise");
}

#[test]
fn light_corruption_keeps_labels_and_heavy_corruption_blanks_them() {
    for seed in 0..6 {
        let scene = truths(&Scene::draw(seed, Split::Judge));
        assert_eq!(sample(seed, Corruption::Clean).targets, scene);
        let light = sample(seed, Corruption::Light).targets;
        for question in
            Question::OF_A_SCENE.into_iter().filter(|&question| question != Question::Style)
        {
            assert_eq!(light.get(question), scene.get(question), "{}", question.name());
        }
        assert_eq!(sample(seed, Corruption::Noise).targets, Targets::none());
        let grey = sample(seed, Corruption::Greyscale).targets;
        assert_eq!(grey.get(Question::Colour), Target::None);
        assert_eq!(grey.get(Question::Thing), scene.get(Question::Thing));
        assert_eq!(sample(seed, Corruption::Blur).targets.get(Question::Thing), Target::None);
        assert_eq!(sample(seed, Corruption::Warp).targets.get(Question::Thing), Target::None);
        let empty = sample(seed, Corruption::Empty).targets;
        for question in [Question::Thing, Question::Colour, Question::Size, Question::Place] {
            assert_eq!(empty.get(question), Target::None, "{}", question.name());
        }
        assert_eq!(sample(seed, Corruption::Halves).targets.get(Question::Thing), Target::None);
        assert!(matches!(
            sample(seed, Corruption::Collage).targets.get(Question::Thing),
            Target::Answer(_)
        ));
    }
}

#[test]
fn samples_of_pairs_blank_a_ruined_second_thing_and_keep_the_first() {
    for seed in 0..6 {
        for corruption in [Corruption::BlurSecond, Corruption::BlendSecond] {
            let targets = sample(seed, corruption).targets;
            assert_eq!(targets.get(Question::SecondThing), Target::None);
            assert_eq!(targets.get(Question::Relation), Target::Open);
            for question in [Question::Thing, Question::Colour] {
                assert!(matches!(targets.get(question), Target::Answer(_)));
            }
        }
        let alone = truths(&Scene::draw_alone(seed, Split::Judge));
        let pair = truths(&Scene::draw_pair(seed, Split::Judge));
        for question in [Question::SecondThing, Question::SecondColour, Question::Relation] {
            assert_eq!(alone.get(question), Target::None);
            assert!(matches!(pair.get(question), Target::Answer(_)));
        }
    }
}

#[test]
fn two_scenes_in_one_picture_keep_only_what_they_agree_on() {
    let (mut one, mut other) = (Targets::none(), Targets::none());
    one.set(&[Question::Thing, Question::Sky], Target::Answer(1));
    other.set(&[Question::Thing], Target::Answer(2));
    other.set(&[Question::Sky], Target::Answer(1));
    let merged = one.merge(&other, Target::None);
    assert_eq!(merged.get(Question::Thing), Target::None);
    assert_eq!(merged.get(Question::Sky), Target::Answer(1));
    assert_eq!(one.merge(&other, Target::Open).get(Question::Thing), Target::Open);
}

#[test]
fn corruptions_do_to_pixels_what_they_say() {
    let plain = FloatImage::solid(96, [0.2, 0.5, 0.8]);
    let same = |picture: &FloatImage| {
        let off = picture
            .values()
            .iter()
            .zip(plain.values())
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(off < 1e-5, "a plain picture moved by {off}");
    };
    same(&plain.blur(2.0));
    same(&plain.lower_resolution(11));
    same(&plain.warp(Warp { reach: 0.2, waves: 2.0, phases: [0.1, 0.2, 0.3, 0.4] }));
    same(&plain.jitter_colour(1.0, [1.0; 3], [0.0; 3]));
    let grey = plain.jitter_colour(0.0, [1.0; 3], [0.0; 3]);
    assert!((grey.values()[0] - grey.values()[2]).abs() < 1e-6);
    let noisy = plain.noise(0.05, &mut Generator::new(1));
    let spread = |picture: &FloatImage| {
        let squares =
            picture.values().iter().zip(plain.values()).map(|(a, b)| f64::from((a - b).powi(2)));
        (squares.sum::<f64>() / plain.values().len() as f64).sqrt()
    };
    assert!((spread(&noisy) - 0.05).abs() < 0.005, "{}", spread(&noisy));
    // An independent value's spread under a Gaussian blur of deviation s falls to about 1 / (2 s sqrt(pi)).
    let calm = spread(&noisy.blur(2.0)) / spread(&noisy);
    assert!((calm - 0.141).abs() < 0.03, "{calm}");
    let half = plain.blend(&FloatImage::solid(96, [1.0; 3]), |x, _| f32::from(x > 0.5));
    assert_eq!((half.values()[0], half.values()[95 * 3]), (0.2, 1.0));
    assert_eq!(plain.halve(), FloatImage::solid(48, [0.2, 0.5, 0.8]));
}

#[test]
fn a_sample_is_fixed_by_its_seed() {
    let (one, again) = (
        Sample::draw(FIRST_TEST_SEED + 3, Subject::Scene),
        Sample::draw(FIRST_TEST_SEED + 3, Subject::Scene),
    );
    assert_eq!((one.image.values(), one.targets), (again.image.values(), again.targets));
    assert_ne!(one.image, Sample::draw(3, Subject::Scene).image);
}
