//! The questions that a judge classifies images by, their classes, and targets.

use scenes::{Aspect, Colour, Ground, Labels, Place, Relation, Size, Sky, Style, Thing};
use serde::{Deserialize, Serialize};

use crate::world_labels;

/// A question about an image. Its classes are the values of a label, and 'none of these'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// The largest thing; of the crate `world` the first of two.
    Thing,
    /// Its colour.
    Colour,
    /// Its size.
    Size,
    /// Its place.
    Place,
    /// The sky.
    Sky,
    /// The ground.
    Ground,
    /// The drawing style.
    Style,
    /// The smaller of two things; of the crate `world` the second.
    SecondThing,
    /// The second thing's colour.
    SecondColour,
    /// The place of the first thing, seen from the second.
    Relation,
    /// The number of the first thing.
    Count,
    /// The place around the things, such as a beach.
    Surroundings,
    /// The time of day.
    Time,
    /// The weather.
    Weather,
}

/// The kind of images that a judge classifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The largest thing of a scene, and what is around it.
    Scene,
    /// Two things of a scene.
    Pair,
    /// A place of the crate `world` with up to two things, of which the first is left of the second, above it, on it or in
    /// front of it.
    World,
}

impl Subject {
    /// Its questions, in the order of the network's logits.
    pub const fn questions(self) -> &'static [Question] {
        match self {
            Self::Scene => &Question::OF_A_SCENE,
            Self::Pair => &Question::OF_A_PAIR,
            Self::World => &Question::OF_THE_WORLD,
        }
    }

    /// The names of a question's answers besides 'none of these'; empty where it is none of its questions.
    pub fn names(self, question: Question) -> &'static [&'static str] {
        match self {
            _ if !self.questions().contains(&question) => &[],
            Self::World => world_labels::names(question),
            Self::Scene | Self::Pair => names(question),
        }
    }

    /// The number of a question's answers besides 'none of these'.
    pub fn answers(self, question: Question) -> usize {
        self.names(question).len()
    }

    /// The name of an answer to a question; `None` is 'none of these'.
    pub fn answer_name(self, question: Question, answer: Option<usize>) -> &'static str {
        let name = answer.and_then(|answer| self.names(question).get(answer));
        name.copied().unwrap_or("none of these")
    }

    /// The number of logits of its questions together: their answers and a 'none of these' each.
    pub fn logits(self) -> i64 {
        let logits = |&question: &Question| self.answers(question) as i64 + 1;
        self.questions().iter().map(logits).sum()
    }
}

/// The names of the answers about scenes.
const fn names(question: Question) -> &'static [&'static str] {
    match question {
        Question::Thing | Question::SecondThing => Thing::NAMES,
        Question::Colour | Question::SecondColour => Colour::NAMES,
        Question::Size => Size::NAMES,
        Question::Place => Place::NAMES,
        Question::Sky => Sky::NAMES,
        Question::Ground => Ground::NAMES,
        Question::Style => Style::NAMES,
        Question::Relation => Relation::NAMES,
        Question::Count | Question::Surroundings | Question::Time | Question::Weather => &[],
    }
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Thing,
        Self::Colour,
        Self::Size,
        Self::Place,
        Self::Sky,
        Self::Ground,
        Self::Style,
        Self::SecondThing,
        Self::SecondColour,
        Self::Relation,
        Self::Count,
        Self::Surroundings,
        Self::Time,
        Self::Weather,
    ];

    /// Questions about the largest thing and what is around it.
    pub const OF_A_SCENE: [Self; 7] =
        [Self::Thing, Self::Colour, Self::Size, Self::Place, Self::Sky, Self::Ground, Self::Style];

    /// Questions about two things.
    pub const OF_A_PAIR: [Self; 5] =
        [Self::Thing, Self::Colour, Self::SecondThing, Self::SecondColour, Self::Relation];

    /// Questions about images of the crate `world`.
    pub const OF_THE_WORLD: [Self; 9] = [
        Self::Thing,
        Self::Colour,
        Self::Count,
        Self::SecondThing,
        Self::SecondColour,
        Self::Relation,
        Self::Surroundings,
        Self::Time,
        Self::Weather,
    ];

    /// The question's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thing => "thing",
            Self::Colour => "colour",
            Self::Size => "size",
            Self::Place => "place",
            Self::Sky => "sky",
            Self::Ground => "ground",
            Self::Style => "style",
            Self::SecondThing => "second thing",
            Self::SecondColour => "second colour",
            Self::Relation => "relation",
            Self::Count => "count",
            Self::Surroundings => "surroundings",
            Self::Time => "time",
            Self::Weather => "weather",
        }
    }

    /// The aspect of a scene by whose mention a caption answers the question; none of questions about the crate `world` alone.
    pub const fn aspect(self) -> Option<Aspect> {
        Some(match self {
            Self::Thing => Aspect::Thing,
            Self::Colour => Aspect::Colour,
            Self::Size => Aspect::Size,
            Self::Place => Aspect::Place,
            Self::Sky => Aspect::Sky,
            Self::Ground => Aspect::Ground,
            Self::Style => Aspect::Style,
            Self::SecondThing | Self::Relation => Aspect::Second,
            Self::SecondColour => Aspect::SecondColour,
            Self::Count | Self::Surroundings | Self::Time | Self::Weather => return None,
        })
    }

    /// The answer that labels give; none where there is no second thing, or where the label has no value.
    pub fn truth(self, labels: &impl Answers) -> Option<usize> {
        labels.target(self).answer()
    }
}

/// Labels that answer questions.
pub trait Answers {
    /// The class of an image with these labels.
    fn target(&self, question: Question) -> Target;
}

impl Answers for Labels {
    fn target(&self, question: Question) -> Target {
        let second = self.second;
        let answer = match question {
            Question::Thing => Some(self.thing.index()),
            Question::Colour => Some(self.colour.index()),
            Question::Size => Some(self.size.index()),
            Question::Place => Some(self.place.index()),
            Question::Sky => Some(self.sky.index()),
            Question::Ground => Some(self.ground.index()),
            Question::Style => Some(self.style.index()),
            Question::SecondThing => second.map(|second| second.thing.index()),
            Question::SecondColour => second.map(|second| second.colour.index()),
            Question::Relation => second.map(|second| second.relation.index()),
            Question::Count | Question::Surroundings | Question::Time | Question::Weather => None,
        };
        answer.map_or(Target::None, Target::Answer)
    }
}

/// The class that an image should be given for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This answer.
    Answer(usize),
    /// 'None of these': the image shows no answer, or two that conflict.
    None,
    /// Ignored in the loss: a corruption leaves the answer open, or the image has no such label.
    Open,
}

impl Target {
    /// The answer, if it is one.
    pub const fn answer(self) -> Option<usize> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::None | Self::Open => None,
        }
    }
}

/// The targets of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets([Target; Question::ALL.len()]);

impl Targets {
    /// A clean scene's: every label.
    pub fn of(labels: &impl Answers) -> Self {
        Self(Question::ALL.map(|question| labels.target(question)))
    }

    /// Those of an image in which nothing can be seen.
    pub fn none() -> Self {
        Self([Target::None; Question::ALL.len()])
    }

    /// The target of one question.
    pub fn get(&self, question: Question) -> Target {
        self.0[question as usize]
    }

    /// Sets the target of some questions.
    pub fn set(&mut self, questions: &[Question], target: Target) {
        for &question in questions {
            self.0[question as usize] = target;
        }
    }

    /// Those of the image in which the two things are the other way round.
    pub fn with_things_exchanged(mut self) -> Self {
        for (one, other) in
            [(Question::Thing, Question::SecondThing), (Question::Colour, Question::SecondColour)]
        {
            self.0.swap(one as usize, other as usize);
        }
        self
    }

    /// The targets of two images in one: where both agree their answer, open where one of them is, elsewhere `conflict`.
    pub fn merge(&self, other: &Self, conflict: Target) -> Self {
        let mut merged = *self;
        for (own, theirs) in merged.0.iter_mut().zip(other.0) {
            if *own == Target::Open || theirs == Target::Open {
                *own = Target::Open;
            } else if *own != theirs {
                *own = conflict;
            }
        }
        merged
    }
}
