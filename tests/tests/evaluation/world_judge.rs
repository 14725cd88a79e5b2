//! The judge of everyday things: its questions, its data set, and that it learns from it.

use std::fs;

use image::RgbImage;
use judge::{
    Corruption, FIRST_TEST_SEED, Judge, JudgeRecipe, JudgeScene, Question, RelationView,
    SHIPPED_WORLD_SHA256, Sample, Subject, Target, Targets, train, validate,
};
use noise::Generator;
use training::{Observer, TrainingStep};
use world::{Labels, Novelty, Relation, Scene, Split, Thing};

const ALL: &[Question] = Subject::World.questions();

fn draw(seed: u64) -> Scene {
    <Scene as JudgeScene>::draw(seed)
}

fn sample(seed: u64, corruption: Corruption) -> Sample {
    Sample::with_corruption(seed, corruption, Subject::World, &mut Generator::new(seed))
}

fn is_answer(target: Target) -> bool {
    matches!(target, Target::Answer(_))
}

/// The labels of the first scene from a seed on that fit.
fn labels(fits: impl Fn(&Labels) -> bool) -> Labels {
    (0..).map(|seed| draw(seed).labels().clone()).find(|labels| fits(labels)).unwrap()
}

#[test]
fn a_judge_of_everyday_things_ships_as_written_down_or_says_that_there_is_none() {
    match (SHIPPED_WORLD_SHA256, Judge::shipped(Subject::World)) {
        (None, Err(error)) => assert!(error.to_string().contains("no judge of everyday things")),
        (Some(sha256), Ok(judge)) => {
            assert_eq!(judge.sha256(), sha256);
            assert!(include_str!("../../../docs/evaluation.md").contains(sha256));
        }
        (sha256, judge) => panic!("{sha256:?} is written down, and {:?}", judge.map(|_| ())),
    }
}

#[test]
fn every_answer_has_a_name_and_the_shares_of_corruptions_are_a_whole() {
    for subject in [Subject::Scene, Subject::Pair, Subject::World] {
        let shares = Corruption::shares(subject).iter().map(|(_, share)| share).sum::<f64>();
        assert!((shares - 1.0).abs() < 1e-9, "{subject:?}: {shares}");
        let answers = subject.questions().iter().map(|&question| subject.answers(question) + 1);
        assert_eq!(subject.logits(), answers.sum::<usize>() as i64);
        assert!(subject.questions().iter().all(|&question| subject.answers(question) > 1));
    }
    assert_eq!(Subject::World.answers(Question::Thing), Thing::all().len());
    assert_eq!(Subject::Pair.answers(Question::Relation), 4);
    assert_eq!(Subject::World.answers(Question::Relation), 4);
    let cat = Thing::named("cat").map(Thing::index);
    assert_eq!(Subject::World.answer_name(Question::SecondThing, cat), "cat");
    assert_eq!(Subject::World.answer_name(Question::Time, None), "none of these");
    // No question of its own has no answers.
    assert_eq!(Subject::World.answers(Question::Sky), 0);
    assert_eq!(Subject::Scene.answers(Question::Weather), 0);
}

#[test]
fn two_things_have_one_description_from_either_end() {
    let mut seen = Vec::new();
    for seed in 0..400 {
        let labels = draw(seed).labels().clone();
        let Some(relation) = labels.relation else { continue };
        let view = RelationView::of(relation);
        let targets = Targets::of(&labels);
        let first = labels.figures[usize::from(view.is_exchanged)];
        assert_eq!(targets.get(Question::Thing), Target::Answer(first.thing.index()));
        if let Some(inverse) = relation.inverse() {
            let figures = labels.figures.iter().rev().copied().collect();
            let turned = Labels { figures, relation: Some(inverse), ..labels.clone() };
            assert_eq!(Targets::of(&turned), targets, "{relation} and {inverse}");
            assert_ne!(RelationView::of(inverse).is_exchanged, view.is_exchanged);
        }
        seen.push(view.answer);
    }
    assert!((0..4).all(|answer| seen.contains(&answer)));
    let name = |relation| {
        let view = RelationView::of(relation);
        Subject::World.answer_name(Question::Relation, Some(view.answer))
    };
    assert_eq!(
        Relation::ALL.iter().map(|&relation| name(relation)).collect::<Vec<_>>(),
        ["left-of", "left-of", "above", "above", "on", "in-front-of", "in-front-of"]
    );
}

#[test]
fn only_what_a_picture_has_is_asked() {
    let indoors = Targets::of(&labels(|labels| labels.time.is_none()));
    assert_eq!([indoors.get(Question::Time), indoors.get(Question::Weather)], [Target::Open; 2]);
    let outdoors = Targets::of(&labels(|labels| labels.time.is_some()));
    assert!(is_answer(outdoors.get(Question::Time)) && is_answer(outdoors.get(Question::Weather)));
    let natural = labels(|labels| labels.figures.first().is_some_and(|one| one.colour.is_none()));
    let natural = Targets::of(&Labels { relation: None, ..natural });
    assert_eq!(natural.get(Question::Colour), Target::Open);
    let group = Targets::of(&labels(|labels| labels.figures.iter().any(|one| one.count == 3)));
    assert_eq!(group.get(Question::Count), Target::Answer(2));
    let place = Targets::of(&labels(|labels| labels.figures.is_empty()));
    for question in [Question::Thing, Question::Colour, Question::Count, Question::Relation] {
        assert_eq!(place.get(question), Target::None, "{}", question.name());
    }
    assert!(is_answer(place.get(Question::Surroundings)));
    // An open target says nothing about another picture's.
    let merged = indoors.merge(&outdoors, Target::None);
    assert_eq!(merged.get(Question::Time), Target::Open);
}

#[test]
fn scenes_have_the_number_of_things_that_is_asked_for_and_keep_their_place_alone() {
    for split in [Split::Judge, Split::Evaluation(Novelty::Seen)] {
        for (things, seed) in (0..4).flat_map(|things| (0..6).map(move |seed| (things, seed))) {
            let scene = Scene::draw_of(things, seed, split);
            assert_eq!(scene.labels().figures.len(), things);
            assert_eq!(scene, Scene::draw_of(things, seed, split));
        }
    }
    let held_out = Scene::draw_of(0, 1, Split::Evaluation(Novelty::Colour));
    assert_eq!(held_out.labels().figures.len(), 1);
    assert_eq!(Scene::draw_of(9, 1, Split::Judge).labels().figures.len(), 3);
    let pair = Scene::draw_of(2, 7, Split::Judge);
    assert_eq!(pair.with_only(&[0, 1]), pair);
    let (boxes, second) = (pair.boxes(), pair.with_only(&[1]));
    assert_eq!(second.labels().figures, pair.labels().figures[1..]);
    assert_eq!(second.labels().relation, None);
    let own = boxes.iter().find(|(figure, _)| *figure == 1).unwrap();
    assert_eq!(second.boxes(), [(0, own.1)]);
    let none = pair.with_only(&[]);
    assert!(none.boxes().is_empty() && none.render(32) != pair.render(32));
}

#[test]
fn a_sample_of_everyday_things_is_fixed_by_its_seed() {
    for seed in [3, FIRST_TEST_SEED + 3, FIRST_TEST_SEED + 70_001] {
        let (one, again) = (Sample::draw(seed, Subject::World), Sample::draw(seed, Subject::World));
        assert_eq!((one.image.values(), one.targets), (again.image.values(), again.targets));
        assert_ne!(one.image, Sample::draw(seed + 1, Subject::World).image);
        assert_ne!(one.image, Sample::draw(seed, Subject::Pair).image);
    }
}

#[test]
fn corruptions_of_everyday_scenes_leave_what_can_still_be_told() {
    for seed in 0..10 {
        let clean = Targets::of(draw(seed).labels());
        let target = |corruption, question| sample(seed, corruption).targets.get(question);
        for &question in ALL {
            for same in [Corruption::Clean, Corruption::Light] {
                assert_eq!(target(same, question), clean.get(question), "{}", question.name());
            }
            assert_eq!(target(Corruption::Noise, question), Target::None);
        }
        // Grey is a colour, so that a picture without colours leaves it open.
        assert!(!is_answer(target(Corruption::Greyscale, Question::Colour)));
        assert_eq!(target(Corruption::Greyscale, Question::Thing), clean.get(Question::Thing));
        for corruption in [Corruption::Blur, Corruption::Warp] {
            assert_eq!(target(corruption, Question::Thing), Target::None);
            assert_eq!(target(corruption, Question::Surroundings), Target::Open);
        }
        for question in [Question::Thing, Question::Colour, Question::Count, Question::SecondThing]
        {
            assert_eq!(target(Corruption::Empty, question), Target::None, "{}", question.name());
        }
        assert_eq!(target(Corruption::Halves, Question::Thing), Target::None);
        assert_eq!(target(Corruption::Halves, Question::Count), Target::Open);
        assert!(is_answer(target(Corruption::Collage, Question::Thing)));
        assert_eq!(target(Corruption::Collage, Question::SecondThing), Target::None);
        for corruption in [Corruption::BlurSecond, Corruption::BlendSecond] {
            assert!(is_answer(target(corruption, Question::Thing)));
            assert_eq!(target(corruption, Question::SecondThing), Target::None);
            assert_eq!(target(corruption, Question::Relation), Target::Open);
        }
    }
}

#[test]
fn of_two_things_of_which_one_is_spoilt_the_other_is_the_first() {
    let mut halves = [0; 2];
    for seed in 0..600 {
        let scene = draw(seed);
        let Some(half) = scene.second_half() else { continue };
        halves[usize::from(half.right)] += 1;
        let beside = scene.labels().relation.is_some_and(Relation::is_beside);
        assert!(beside, "{seed}: only things side by side are in different halves");
        let second = half.targets.get(Question::SecondThing);
        let centre = |[left, _, right, _]: [f32; 4]| (left + right) / 2.0;
        for (figure, place) in scene.boxes() {
            let thing = Target::Answer(scene.labels().figures[figure].thing.index());
            assert_eq!(thing == second, (centre(place) > 0.5) == half.right, "{seed}");
        }
    }
    assert!(halves.iter().all(|&half| half > 10), "{halves:?}");
}

#[test]
fn lonely_things_leave_the_other_half_as_it_is_without_them() {
    for seed in 0..6 {
        let generator = &mut Generator::new(seed);
        let [left, right] = <Scene as JudgeScene>::draw_lonely([false, true], seed, generator);
        for (scene, empty) in [(&left, 34..64), (&right, 0..30)] {
            assert_eq!(scene.labels().figures.len(), 1);
            let (own, without) = (scene.render(64), scene.with_only(&[]).render(64));
            let row =
                |image: &[u8], y: usize| image[y * 192..][empty.start * 3..empty.end * 3].to_vec();
            // Rain and flakes fall in front of all, at the same places.
            let differing = (0..64).filter(|&y| row(&own, y) != row(&without, y)).count();
            assert!(differing <= 12, "seed {seed}: {differing} rows of the empty half differ");
        }
    }
}

/// The losses of a run.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn step(&mut self, step: &TrainingStep) {
        self.0.push(step.loss);
    }
}

#[test]
fn a_tiny_judge_learns_from_everyday_scenes_and_stops_where_it_is_told() {
    struct Stop;
    impl Observer for Stop {
        fn before_step(&mut self) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Break(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("judge.safetensors"));
    let mut recipe = JudgeRecipe::of(Subject::World);
    recipe.run.steps = 60;
    recipe.run.batch = 16;
    recipe.run.warmup = 5;
    recipe.run.optimizer.ema_decay = 0.9;
    assert!(!train(&recipe, Subject::World, &run, &out, &mut Stop).unwrap());
    assert!(!out.exists(), "a judge that is not trained is not written");
    let mut losses = Losses::default();
    assert!(train(&recipe, Subject::World, &run, &out, &mut losses).unwrap());
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (before, after) = (mean(&losses.0[..5]), mean(&losses.0[50..]));
    assert!(after < 0.85 * before, "a loss of {before:.3} became {after:.3}");
    let judge = Judge::open(&out, Subject::World).unwrap();
    assert!(fs::metadata(&out).unwrap().len() < 4_000_000);
    let validation = validate(&judge, 0, 60);
    let (time, accuracy) = validation.clean[7];
    assert_eq!((time, accuracy.total < 60), (Question::Time, true), "few scenes have no sky");
    let images: Vec<RgbImage> = (0..4).map(|seed| draw(seed).to_image(96)).collect();
    let predictions = judge.predict(&images);
    let named = |question| {
        predictions[0]
            .answer(question)
            .is_none_or(|answer| answer < Subject::World.answers(question))
    };
    assert!(predictions.len() == 4 && ALL.iter().all(|&question| named(question)));
    assert!(Judge::open(&out, Subject::Scene).is_err(), "it is a judge of other questions");
}
