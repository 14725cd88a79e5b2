//! What is asked about a picture, and the answers there are.

use scenes::{Aspect, Colour, Ground, Labels, Place, Size, Sky, Style, Thing};
use serde::{Deserialize, Serialize};

/// One question about a picture. Each has the answers of its label and 'none of these'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// What is the picture of?
    Thing,
    /// Which colour has the thing?
    Colour,
    /// How large is the thing?
    Size,
    /// Where is the thing?
    Place,
    /// What is the sky like?
    Sky,
    /// What is the ground?
    Ground,
    /// How is it drawn?
    Style,
}

impl Question {
    /// Every question, in the order of the network's logits.
    pub const ALL: [Self; 7] = [
        Self::Thing,
        Self::Colour,
        Self::Size,
        Self::Place,
        Self::Sky,
        Self::Ground,
        Self::Style,
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
        }
    }

    /// What a caption mentions that answers the question.
    pub const fn aspect(self) -> Aspect {
        match self {
            Self::Thing => Aspect::Thing,
            Self::Colour => Aspect::Colour,
            Self::Size => Aspect::Size,
            Self::Place => Aspect::Place,
            Self::Sky => Aspect::Sky,
            Self::Ground => Aspect::Ground,
            Self::Style => Aspect::Style,
        }
    }

    /// How many answers there are besides 'none of these'.
    pub const fn answers(self) -> usize {
        match self {
            Self::Thing => Thing::COUNT,
            Self::Colour => Colour::COUNT,
            Self::Size => Size::COUNT,
            Self::Place => Place::COUNT,
            Self::Sky => Sky::COUNT,
            Self::Ground => Ground::COUNT,
            Self::Style => Style::COUNT,
        }
    }

    /// The name of an answer; `None` is 'none of these'.
    pub fn answer_name(self, answer: Option<usize>) -> &'static str {
        let Some(answer) = answer else {
            return "none of these";
        };
        match self {
            Self::Thing => Thing::ALL[answer].name(),
            Self::Colour => Colour::ALL[answer].name(),
            Self::Size => Size::ALL[answer].name(),
            Self::Place => Place::ALL[answer].name(),
            Self::Sky => Sky::ALL[answer].name(),
            Self::Ground => Ground::ALL[answer].name(),
            Self::Style => Style::ALL[answer].name(),
        }
    }

    /// The answer that a scene's labels give.
    pub fn truth(self, labels: &Labels) -> usize {
        match self {
            Self::Thing => labels.thing.index(),
            Self::Colour => labels.colour.index(),
            Self::Size => labels.size.index(),
            Self::Place => labels.place.index(),
            Self::Sky => labels.sky.index(),
            Self::Ground => labels.ground.index(),
            Self::Style => labels.style.index(),
        }
    }

    /// How many logits all questions have together: their answers and a 'none of these' each.
    pub fn logits() -> usize {
        Self::ALL.iter().map(|q| q.answers() + 1).sum()
    }
}

/// What a picture should be taken for, one for each question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This answer.
    Answer(usize),
    /// 'None of these': the picture shows no answer, or two that conflict.
    None,
    /// The damage leaves it open, so nobody is asked.
    Open,
}

/// The targets of one picture, in the order of [`Question::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets(pub [Target; Question::ALL.len()]);

impl Targets {
    /// An undamaged scene: every label.
    pub fn of(labels: &Labels) -> Self {
        Self(Question::ALL.map(|q| Target::Answer(q.truth(labels))))
    }

    /// A picture in which nothing can be seen.
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

    /// What two pictures in one show: where both agree their answer, elsewhere `conflict`.
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
