//! What the evaluation asks for: fresh scenes, with captions from the templates that training never saw.

use std::ops::Range;

use image::RgbImage;
use noise::Generator;
use scenes::{Aspect, Caption, Pairs, Relation, Scene, Split};
use serde::{Deserialize, Serialize};

use crate::Reading;
use crate::questions::{Question, Subject};

/// What captions ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
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

/// What a table counts: the pictures that are right about all of some questions.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// The questions.
    pub questions: &'static [Question],
}

impl Column {
    const fn of(name: &'static str, questions: &'static [Question]) -> Self {
        Self { name, questions }
    }
}

impl Asked {
    /// How tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::HeldOut => "held-out",
            Self::Styles => "with a style",
            Self::Pairs => "two things",
        }
    }

    /// What the judge of their pictures looks at.
    pub const fn subject(self) -> Subject {
        match self {
            Self::Pairs => Subject::Pair,
            _ => Subject::Scene,
        }
    }

    /// What is counted.
    pub const fn columns(self) -> &'static [Column] {
        use Question::{
            Colour, Ground, Place, Relation, SecondColour, SecondThing, Sky, Style, Thing,
        };
        match self {
            Self::Seen | Self::HeldOut => {
                &const {
                    [
                        Column::of("thing", &[Thing]),
                        Column::of("colour", &[Colour]),
                        Column::of("place", &[Place]),
                        Column::of("sky", &[Sky]),
                        Column::of("ground", &[Ground]),
                    ]
                }
            }
            Self::Styles => {
                &const {
                    [
                        Column::of("thing", &[Thing]),
                        Column::of("colour", &[Colour]),
                        Column::of("style", &[Style]),
                    ]
                }
            }
            Self::Pairs => {
                &const {
                    [
                        Column::of("both things", &[Thing, SecondThing]),
                        Column::of("first with its colour", &[Thing, Colour]),
                        Column::of("second with its colour", &[SecondThing, SecondColour]),
                        Column::of(
                            "each with its own colour",
                            &[Thing, Colour, SecondThing, SecondColour],
                        ),
                        Column::of("relation", &[Thing, SecondThing, Relation]),
                    ]
                }
            }
        }
    }

    /// The examples of these numbers.
    pub fn examples(self, numbers: Range<u64>) -> Vec<Example> {
        let seen = Split::Evaluation(Pairs::Seen);
        let about = |number: u64, scene: Scene, aspects: &[Aspect]| {
            let caption = scene.caption_about(aspects, &mut Generator::new(number));
            Example { number, scene, caption: caption.expect("a template is kept for them") }
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
    pub fn asked(&self) -> Vec<(Question, usize)> {
        asked(&self.caption)
    }

    /// Whether what was read is what the caption says on all of some questions; `None` unless it mentions all of them.
    /// A pair is told from whichever end it was drawn.
    pub fn right(&self, questions: &[Question], reading: &Reading) -> Option<bool> {
        let asked = self.asked();
        let wanted = |question: &Question| {
            let answer = asked.iter().find(|(own, _)| own == question);
            answer.map(|(_, answer)| Some(*answer))
        };
        let wanted: Vec<Option<usize>> = questions.iter().map(wanted).collect::<Option<_>>()?;
        let swapped = self.caption.mentioned.second.is_some_and(|second| {
            let first = self.caption.mentioned.thing.map(|thing| thing.index());
            reading.answer(Question::Thing) == Some(second.thing.index())
                && reading.answer(Question::SecondThing) == first
        });
        let read = |&question: &Question| match swapped {
            true => from_the_second(reading, question),
            false => reading.answer(question),
        };
        Some(questions.iter().map(read).eq(wanted))
    }

    /// Whether every label that the caption mentions is what was read.
    pub fn all_right(&self, reading: &Reading) -> bool {
        let questions: Vec<Question> = self.asked().iter().map(|(question, _)| *question).collect();
        self.right(&questions, reading) == Some(true)
    }
}

/// The answer to a question about a pair that is told from its second thing.
fn from_the_second(reading: &Reading, question: Question) -> Option<usize> {
    match question {
        Question::Thing => reading.answer(Question::SecondThing),
        Question::Colour => reading.answer(Question::SecondColour),
        Question::SecondThing => reading.answer(Question::Thing),
        Question::SecondColour => reading.answer(Question::Colour),
        Question::Relation => {
            let relation = reading.answer(question)?;
            Some(Relation::ALL[relation].inverse().index())
        }
        _ => reading.answer(question),
    }
}

/// A scene as a picture of `side` pixels.
pub fn render(scene: &Scene, side: u32) -> RgbImage {
    RgbImage::from_raw(side, side, scene.render(side)).expect("a scene has three bytes a pixel")
}

/// The questions that a caption answers, with its answers.
pub fn asked(caption: &Caption) -> Vec<(Question, usize)> {
    let said = &caption.mentioned;
    let answers = [
        (Question::Thing, said.thing.map(|label| label.index())),
        (Question::Colour, said.colour.map(|label| label.index())),
        (Question::Size, said.size.map(|label| label.index())),
        (Question::Place, said.place.map(|label| label.index())),
        (Question::Sky, said.sky.map(|label| label.index())),
        (Question::Ground, said.ground.map(|label| label.index())),
        (Question::Style, said.style.map(|label| label.index())),
        (Question::SecondThing, said.second.map(|s| s.thing.index())),
        (Question::SecondColour, said.second.and_then(|s| Some(s.colour?.index()))),
        (Question::Relation, said.second.map(|s| s.relation.index())),
    ];
    answers.into_iter().filter_map(|(question, answer)| Some((question, answer?))).collect()
}
