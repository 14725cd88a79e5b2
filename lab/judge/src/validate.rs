//! Validation of a judge on scenes that it did not learn from, clean and corrupted.

use serde::{Deserialize, Serialize};

use crate::dataset::{FIRST_TEST_SEED, Sample};
use crate::judge::{Judge, Prediction};
use crate::judge_scene::JudgeScene;
use crate::markdown::table;
use crate::network::{SIDE, images_to_tensor};
use crate::proportion::Proportion;
use crate::questions::{Question, Subject, Target, Targets};

/// Images that are classified at once.
const BATCH: usize = 50;

/// The accuracy of a judge for each question, on scenes of the test half of its seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Validation {
    /// On clean scenes, where they have such a label.
    pub clean: Vec<(Question, Proportion)>,
    /// On those of them that show one thing or none.
    pub alone: Vec<(Question, Proportion)>,
    /// On the others, which show two.
    pub together: Vec<(Question, Proportion)>,
    /// On every kind of sample that it learns from, 'none of these' among the answers.
    pub damaged: Vec<(Question, Proportion)>,
}

impl Validation {
    /// A markdown table, a row a question, with 95% intervals.
    pub fn to_markdown(&self) -> String {
        let header = "label | undamaged | those with one thing | those with two | all kinds of damage, where asked";
        let row = |(n, (question, clean)): (usize, &(Question, Proportion))| {
            let others = [&self.alone, &self.together, &self.damaged].map(|all| all[n].1);
            let cells = [*clean].into_iter().chain(others).map(|cell| format!("{cell:.2}"));
            [question.name().to_owned()].into_iter().chain(cells).collect()
        };
        table(header, self.clean.iter().enumerate().map(row))
    }
}

/// Validates `judge` on `count` clean test scenes, from number `first` of the test half of its seeds on, and on as many
/// further samples with every corruption.
pub fn validate(judge: &Judge, first: u64, count: u64) -> Validation {
    let none = || -> Vec<(Question, Proportion)> {
        let questions = judge.subject().questions().iter();
        questions.map(|&question| (question, Proportion::default())).collect()
    };
    let mut validation =
        Validation { clean: none(), alone: none(), together: none(), damaged: none() };
    let first = FIRST_TEST_SEED + first;
    let seeds: Vec<u64> = (first..first + count).collect();
    for seeds in seeds.chunks(BATCH) {
        match judge.subject() {
            Subject::Scene | Subject::Pair => {
                validate_clean::<scenes::Scene>(judge, seeds, &mut validation);
            }
            Subject::World => validate_clean::<world::Scene>(judge, seeds, &mut validation),
        }
        // Other seeds than the clean ones, so that the two halves are independent.
        let samples = seeds.iter().map(|seed| Sample::draw(seed + count, judge.subject()));
        validate_corrupted(judge, &samples.collect::<Vec<_>>(), &mut validation.damaged);
    }
    validation
}

fn validate_clean<S: JudgeScene>(judge: &Judge, seeds: &[u64], validation: &mut Validation) {
    let scenes: Vec<S> = seeds.iter().map(|&seed| S::draw(seed)).collect();
    let images = images_to_tensor(scenes.iter().map(|scene| scene.render(SIDE)));
    for (scene, prediction) in scenes.iter().zip(judge.predict_batch(&images)) {
        let of_as_many = match scene.things() {
            0 | 1 => &mut validation.alone,
            _ => &mut validation.together,
        };
        let targets = scene.targets();
        count(&mut validation.clean, &targets, &prediction);
        count(of_as_many, &targets, &prediction);
    }
}

fn validate_corrupted(
    judge: &Judge,
    samples: &[Sample],
    accuracies: &mut [(Question, Proportion)],
) {
    let images = images_to_tensor(samples.iter().map(|sample| sample.image.to_bytes()));
    for (sample, prediction) in samples.iter().zip(judge.predict_batch(&images)) {
        count(accuracies, &sample.targets, &prediction);
    }
}

/// Counts the answers of a prediction to the questions that have a target.
fn count(accuracies: &mut [(Question, Proportion)], targets: &Targets, prediction: &Prediction) {
    for (question, accuracy) in accuracies {
        let answer = prediction.answer(*question);
        match targets.get(*question) {
            Target::Answer(wanted) => accuracy.add(answer == Some(wanted)),
            Target::None => accuracy.add(answer.is_none()),
            Target::Open => {}
        }
    }
}
