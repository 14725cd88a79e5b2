//! The labels of the crate `world` as answers.
//!
//! A caption says "a cat under a bird" or "a bird above a cat", and the image is one: a judge calls the left, upper or nearer
//! of two things the first, and one that is on the other.

use std::sync::LazyLock;

use world::{Colour, Figure, Labels, Place, Relation, Thing, Time, Weather};

use crate::questions::{Answers, Question, Target};

/// The most of a kind that are counted.
const COUNTS: &[&str] = &["one", "two", "three"];

/// The relations of a judge's first thing to its second.
const RELATIONS: [Relation; 4] =
    [Relation::LeftOf, Relation::Above, Relation::On, Relation::InFrontOf];

static THINGS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Thing::all().iter().map(|thing| thing.name()).collect());

static RELATION_NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| RELATIONS.iter().map(|relation| relation.name()).collect());

/// A relation as a judge sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationView {
    /// The answer to [`Question::Relation`].
    pub answer: usize,
    /// Whether the second thing of the labels or the caption is the judge's first.
    pub is_exchanged: bool,
}

impl RelationView {
    /// The view of a relation of one thing to another.
    pub fn of(relation: Relation) -> Self {
        let answer = |relation| RELATIONS.iter().position(|&own| own == relation);
        let straight = answer(relation).map(|answer| Self { answer, is_exchanged: false });
        let exchanged = || {
            let answer = answer(relation.inverse()?)?;
            Some(Self { answer, is_exchanged: true })
        };
        straight.or_else(exchanged).expect("a relation or its inverse is among the answers")
    }
}

/// The names of a question's answers.
pub(crate) fn names(question: Question) -> &'static [&'static str] {
    match question {
        Question::Thing | Question::SecondThing => &THINGS,
        Question::Colour | Question::SecondColour => Colour::NAMES,
        Question::Count => COUNTS,
        Question::Relation => &RELATION_NAMES,
        Question::Surroundings => Place::NAMES,
        Question::Time => Time::NAMES,
        Question::Weather => Weather::NAMES,
        Question::Size | Question::Place | Question::Sky | Question::Ground | Question::Style => {
            &[]
        }
    }
}

impl Answers for Labels {
    /// Labels without a value, such as the time where no sky is seen, are open. Three things stand in a row, of which the last
    /// is not asked about.
    fn target(&self, question: Question) -> Target {
        let relation = RelationView::of(self.relation.unwrap_or(Relation::LeftOf));
        let (mut first, mut second) = (self.figures.first(), self.figures.get(1));
        if relation.is_exchanged {
            (first, second) = (second, first);
        }
        let thing = |figure: &Figure| Target::Answer(figure.thing.index());
        let colour = |figure: &Figure| named(figure.colour.map(Colour::index));
        let count = |figure: &Figure| named(usize::from(figure.count).checked_sub(1));
        match question {
            Question::Thing => first.map_or(Target::None, thing),
            Question::Colour => first.map_or(Target::None, colour),
            Question::Count => first.map_or(Target::None, count),
            Question::SecondThing => second.map_or(Target::None, thing),
            Question::SecondColour => second.map_or(Target::None, colour),
            Question::Relation => second.map_or(Target::None, |_| Target::Answer(relation.answer)),
            Question::Surroundings => Target::Answer(self.place.index()),
            Question::Time => named(self.time.map(Time::index)),
            Question::Weather => named(self.weather.map(Weather::index)),
            Question::Size
            | Question::Place
            | Question::Sky
            | Question::Ground
            | Question::Style => Target::Open,
        }
    }
}

fn named(label: Option<usize>) -> Target {
    label.map_or(Target::Open, Target::Answer)
}
