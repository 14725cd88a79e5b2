//! The questions that a judge classifies images by, their classes, and targets.

use scenes::{Aspect, Colour, Ground, Labels, Place, Relation, Size, Sky, Style, Thing};
use serde::{Deserialize, Serialize};

/// A question about an image. Its classes are the values of a label, and 'none of these'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// The largest thing.
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
    /// The smaller of two things.
    SecondThing,
    /// The smaller thing's colour.
    SecondColour,
    /// The place of the larger thing, seen from the smaller.
    Relation,
}

/// The kind of images that a judge classifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The largest thing, and what is around it.
    Scene,
    /// Two things.
    Pair,
}

impl Subject {
    /// Its questions, in the order of the network's logits.
    pub const fn questions(self) -> &'static [Question] {
        match self {
            Self::Scene => &Question::OF_A_SCENE,
            Self::Pair => &Question::OF_A_PAIR,
        }
    }

    /// The number of logits of its questions together: their answers and a 'none of these' each.
    pub fn logits(self) -> i64 {
        let logits = |question: &Question| question.answers() as i64 + 1;
        self.questions().iter().map(logits).sum()
    }
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 10] = [
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
    ];

    /// Questions about the largest thing and what is around it.
    pub const OF_A_SCENE: [Self; 7] =
        [Self::Thing, Self::Colour, Self::Size, Self::Place, Self::Sky, Self::Ground, Self::Style];

    /// Questions about two things.
    pub const OF_A_PAIR: [Self; 5] =
        [Self::Thing, Self::Colour, Self::SecondThing, Self::SecondColour, Self::Relation];

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
        }
    }

    /// The aspect of a scene by whose mention a caption answers the question.
    pub const fn aspect(self) -> Aspect {
        match self {
            Self::Thing => Aspect::Thing,
            Self::Colour => Aspect::Colour,
            Self::Size => Aspect::Size,
            Self::Place => Aspect::Place,
            Self::Sky => Aspect::Sky,
            Self::Ground => Aspect::Ground,
            Self::Style => Aspect::Style,
            Self::SecondThing | Self::Relation => Aspect::Second,
            Self::SecondColour => Aspect::SecondColour,
        }
    }

    /// The names of its answers besides 'none of these'.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Thing | Self::SecondThing => Thing::NAMES,
            Self::Colour | Self::SecondColour => Colour::NAMES,
            Self::Size => Size::NAMES,
            Self::Place => Place::NAMES,
            Self::Sky => Sky::NAMES,
            Self::Ground => Ground::NAMES,
            Self::Style => Style::NAMES,
            Self::Relation => Relation::NAMES,
        }
    }

    /// The number of answers besides 'none of these'.
    pub const fn answers(self) -> usize {
        self.names().len()
    }

    /// The name of an answer; `None` is 'none of these'.
    pub fn answer_name(self, answer: Option<usize>) -> &'static str {
        answer.map_or("none of these", |answer| self.names()[answer])
    }

    /// The answer that a scene's labels give; none where there is no second thing.
    pub fn truth(self, labels: &Labels) -> Option<usize> {
        let answer = match self {
            Self::Thing => labels.thing.index(),
            Self::Colour => labels.colour.index(),
            Self::Size => labels.size.index(),
            Self::Place => labels.place.index(),
            Self::Sky => labels.sky.index(),
            Self::Ground => labels.ground.index(),
            Self::Style => labels.style.index(),
            Self::SecondThing => labels.second?.thing.index(),
            Self::SecondColour => labels.second?.colour.index(),
            Self::Relation => labels.second?.relation.index(),
        };
        Some(answer)
    }
}

/// The class that an image should be given for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This answer.
    Answer(usize),
    /// 'None of these': the image shows no answer, or two that conflict.
    None,
    /// Ignored in the loss: a corruption leaves the answer open.
    Open,
}

/// The targets of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets([Target; Question::ALL.len()]);

impl Targets {
    /// A clean scene's: every label.
    pub fn of(labels: &Labels) -> Self {
        let mut targets = Self::none();
        for question in Question::ALL {
            if let Some(answer) = question.truth(labels) {
                targets.set(&[question], Target::Answer(answer));
            }
        }
        targets
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

    /// The targets of two images in one: where both agree their answer, elsewhere `conflict`.
    pub fn merge(&self, other: &Self, conflict: Target) -> Self {
        let mut merged = *self;
        for (own, theirs) in merged.0.iter_mut().zip(other.0) {
            if *own != theirs {
                *own = conflict;
            }
        }
        merged
    }
}
