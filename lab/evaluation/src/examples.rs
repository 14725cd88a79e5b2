//! Examples: fresh scenes with captions from templates that no model trains on.

use std::ops::Range;

use image::RgbImage;
use judge::Question::{Colour, Ground, Place, SecondColour, SecondThing, Sky, Style, Thing};
use judge::{Prediction, Question, Subject};
use noise::Generator;
use scenes::{Aspect, Caption, Pairs, Relation, Scene, Split};
use serde::{Deserialize, Serialize};

use crate::world_examples::WorldCaptionSet;

/// A kind of captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptionSet {
    /// One thing in a colour that training showed it in, and mostly something around it.
    Seen,
    /// One thing in a colour that training never showed it in.
    HeldOut,
    /// One thing in its colour and in a style.
    Styles,
    /// Two things in their colours, and how they stand to each other.
    Pairs,
}

/// The numbers of the first scenes with a style and with two things.
const FIRST_STYLE: u64 = 200_000;
const FIRST_PAIR: u64 = 300_000;

/// A column of a table of accuracy: the images that are right about all of some questions.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// The questions.
    pub questions: &'static [Question],
}

impl Column {
    pub(crate) const fn of(name: &'static str, questions: &'static [Question]) -> Self {
        Self { name, questions }
    }

    /// Those of two things.
    pub(crate) const OF_A_PAIR: &'static [Self] = &[
        Self::of("both things", &[Thing, SecondThing]),
        Self::of("first with its colour", &[Thing, Colour]),
        Self::of("second with its colour", &[SecondThing, SecondColour]),
        Self::of("each with its own colour", &[Thing, Colour, SecondThing, SecondColour]),
        Self::of("relation", &[Thing, SecondThing, Question::Relation]),
    ];
}

const SCENE_COLUMNS: &[Column] = &[
    Column::of("thing", &[Thing]),
    Column::of("colour", &[Colour]),
    Column::of("place", &[Place]),
    Column::of("sky", &[Sky]),
    Column::of("ground", &[Ground]),
];
const STYLE_COLUMNS: &[Column] = &[
    Column::of("thing", &[Thing]),
    Column::of("colour", &[Colour]),
    Column::of("style", &[Style]),
];

impl CaptionSet {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::HeldOut => "held-out",
            Self::Styles => "with a style",
            Self::Pairs => "two things",
        }
    }

    /// The subject of the judge of their images.
    pub const fn subject(self) -> Subject {
        match self {
            Self::Pairs => Subject::Pair,
            _ => Subject::Scene,
        }
    }

    /// The columns of their table of accuracy.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Seen | Self::HeldOut => SCENE_COLUMNS,
            Self::Styles => STYLE_COLUMNS,
            Self::Pairs => Column::OF_A_PAIR,
        }
    }

    /// The examples of these numbers.
    pub fn examples(self, numbers: Range<u64>) -> Vec<Example> {
        let seen = Split::Evaluation(Pairs::Seen);
        let about = |number: u64, scene: Scene, aspects: &[Aspect]| {
            let caption = scene.caption_about(aspects, &mut Generator::new(number));
            Example { number, scene, caption: caption.expect("they have a template") }
        };
        let example = |number: u64| match self {
            Self::Seen => Example::draw(number, Pairs::Seen),
            Self::HeldOut => Example::draw(number, Pairs::HeldOut),
            Self::Styles => {
                let scene = Scene::draw_alone(FIRST_STYLE + number, seen);
                about(number, scene, &[Aspect::Thing, Aspect::Colour, Aspect::Style])
            }
            Self::Pairs => {
                let scene = Scene::draw_pair(FIRST_PAIR + number, seen);
                let second = [Aspect::Second, Aspect::SecondColour];
                about(number, scene, &[&[Aspect::Thing, Aspect::Colour], &second[..]].concat())
            }
        };
        numbers.map(example).collect()
    }
}

/// The captions of a table of accuracy, about scenes or about everyday things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TableCaptions {
    /// Of the crate `scenes`.
    Scenes(CaptionSet),
    /// Of the crate `world`.
    World(WorldCaptionSet),
}

impl From<CaptionSet> for TableCaptions {
    fn from(set: CaptionSet) -> Self {
        Self::Scenes(set)
    }
}

impl From<WorldCaptionSet> for TableCaptions {
    fn from(set: WorldCaptionSet) -> Self {
        Self::World(set)
    }
}

impl TableCaptions {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scenes(set) => set.name(),
            Self::World(set) => set.name(),
        }
    }

    /// The subject of the judge of their images.
    pub const fn subject(self) -> Subject {
        match self {
            Self::Scenes(set) => set.subject(),
            Self::World(_) => Subject::World,
        }
    }

    /// The columns of their table of accuracy.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Scenes(set) => set.columns(),
            Self::World(set) => set.columns(),
        }
    }
}

/// A scene with a caption, and whether a prediction of a judge is what the caption says.
pub trait CaptionedScene {
    /// The number of the example, which counts up the noise's seeds.
    fn number(&self) -> u64;

    /// The caption.
    fn text(&self) -> &str;

    /// The scene as an image of `side` pixels.
    fn to_image(&self, side: u32) -> RgbImage;

    /// Whether a prediction is what the caption says on all of some questions; `None` unless it mentions all of them. Two
    /// things may be drawn from either end.
    fn is_right(&self, questions: &[Question], prediction: &Prediction) -> Option<bool>;

    /// Whether a prediction is what the caption says in every label that it mentions.
    fn is_all_right(&self, prediction: &Prediction) -> bool;
}

/// A caption and the scene it was written about.
#[derive(Clone, Debug)]
pub struct Example {
    /// The number of the example, which counts up the noise's seeds.
    pub number: u64,
    /// The scene.
    pub scene: Scene,
    /// Its caption.
    pub caption: Caption,
}

impl Example {
    /// The example of this number, of seen, held-out or all pairs.
    pub fn draw(number: u64, pairs: Pairs) -> Self {
        let scene = Scene::draw_alone(number, Split::Evaluation(pairs));
        let caption = scene.own_caption();
        Self { number, scene, caption }
    }

    /// The questions that the caption answers, with its answers.
    pub fn answers(&self) -> Vec<(Question, usize)> {
        answers(&self.caption)
    }
}

impl CaptionedScene for Example {
    fn number(&self) -> u64 {
        self.number
    }

    fn text(&self) -> &str {
        &self.caption.text
    }

    fn to_image(&self, side: u32) -> RgbImage {
        self.scene.to_image(side)
    }

    fn is_right(&self, questions: &[Question], prediction: &Prediction) -> Option<bool> {
        let answers = self.answers();
        let answer = |question: &Question| {
            let answer = answers.iter().find(|(own, _)| own == question);
            answer.map(|(_, answer)| Some(*answer))
        };
        let answers: Vec<Option<usize>> = questions.iter().map(answer).collect::<Option<_>>()?;
        let swapped = self.caption.mentioned.second.is_some_and(|second| {
            let first = self.caption.mentioned.thing.map(|thing| thing.index());
            prediction.answer(Thing) == Some(second.thing.index())
                && prediction.answer(SecondThing) == first
        });
        let predicted = |&question: &Question| match swapped {
            true => from_the_second(prediction, question),
            false => prediction.answer(question),
        };
        Some(questions.iter().map(predicted).eq(answers))
    }

    fn is_all_right(&self, prediction: &Prediction) -> bool {
        let questions: Vec<Question> =
            self.answers().iter().map(|(question, _)| *question).collect();
        self.is_right(&questions, prediction) == Some(true)
    }
}

/// The answer to a question about a pair whose first thing is the judge's second.
fn from_the_second(prediction: &Prediction, question: Question) -> Option<usize> {
    match question {
        Thing => prediction.answer(SecondThing),
        Colour => prediction.answer(SecondColour),
        SecondThing => prediction.answer(Thing),
        SecondColour => prediction.answer(Colour),
        Question::Relation => {
            let relation = prediction.answer(question)?;
            Some(Relation::ALL[relation].inverse().index())
        }
        _ => prediction.answer(question),
    }
}

/// The captions of examples.
pub fn captions(examples: &[impl CaptionedScene]) -> Vec<&str> {
    examples.iter().map(CaptionedScene::text).collect()
}

/// The scenes of examples as images of `side` pixels.
pub fn true_images(examples: &[impl CaptionedScene], side: u32) -> Vec<RgbImage> {
    examples.iter().map(|example| example.to_image(side)).collect()
}

/// The questions that a caption answers, with its answers.
pub fn answers(caption: &Caption) -> Vec<(Question, usize)> {
    let said = &caption.mentioned;
    let answers = [
        (Thing, said.thing.map(|label| label.index())),
        (Colour, said.colour.map(|label| label.index())),
        (Question::Size, said.size.map(|label| label.index())),
        (Place, said.place.map(|label| label.index())),
        (Sky, said.sky.map(|label| label.index())),
        (Ground, said.ground.map(|label| label.index())),
        (Style, said.style.map(|label| label.index())),
        (SecondThing, said.second.map(|s| s.thing.index())),
        (SecondColour, said.second.and_then(|s| Some(s.colour?.index()))),
        (Question::Relation, said.second.map(|s| s.relation.index())),
    ];
    answers.into_iter().filter_map(|(question, answer)| Some((question, answer?))).collect()
}
