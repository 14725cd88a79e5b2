//! Examples of the crate `world`: fresh scenes of everyday things with captions of forms that no model trains on.

use std::ops::Range;

use image::RgbImage;
use judge::Question::{
    Colour, Count, Relation, SecondColour, SecondThing, Surroundings, Thing, Time, Weather,
};
use judge::{Prediction, Question, RelationView};
use noise::Generator;
use serde::{Deserialize, Serialize};
use world::{Aspect, Caption, FigureMention, Novelty, RelationMention, Scene, Split};

use crate::examples::{CaptionedScene, Column};

/// A kind of captions about everyday things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorldCaptionSet {
    /// One thing, mostly somewhere, or a place alone; nothing that training held out.
    World,
    /// One thing in a colour that training never showed it in.
    WorldHeldOut,
    /// Two things in their colours, and how they stand to each other.
    WorldPairs,
}

/// Of so many captions one is about a place alone.
const PLACES: u64 = 8;

/// The number of the first scene with two things.
const FIRST_PAIR: u64 = 300_000;

const WORLD_COLUMNS: &[Column] = &[
    Column::of("thing", &[Thing]),
    Column::of("colour", &[Colour]),
    Column::of("count", &[Count]),
    Column::of("place", &[Surroundings]),
    Column::of("time", &[Time]),
    Column::of("weather", &[Weather]),
];

impl WorldCaptionSet {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::World => "world, seen",
            Self::WorldHeldOut => "world, held-out",
            Self::WorldPairs => "world, two things",
        }
    }

    /// The columns of their table of accuracy.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::World | Self::WorldHeldOut => WORLD_COLUMNS,
            Self::WorldPairs => Column::OF_A_PAIR,
        }
    }

    /// The examples of these numbers.
    pub fn examples(self, numbers: Range<u64>) -> Vec<WorldExample> {
        numbers.map(|number| self.example(number)).collect()
    }

    fn example(self, number: u64) -> WorldExample {
        let (things, seed, novelty) = match self {
            Self::World => (usize::from(number % PLACES != PLACES - 1), number, Novelty::Seen),
            Self::WorldHeldOut => (1, number, Novelty::Colour),
            Self::WorldPairs => (2, FIRST_PAIR + number, Novelty::Seen),
        };
        let aspects: &[Aspect] = match self {
            Self::World => &[Aspect::Thing],
            Self::WorldHeldOut => &[Aspect::Thing, Aspect::Colour],
            Self::WorldPairs => &[
                Aspect::Thing,
                Aspect::Colour,
                Aspect::Second,
                Aspect::SecondColour,
                Aspect::Relation,
            ],
        };
        let scene = Scene::draw_of(things, seed, Split::Evaluation(novelty));
        let caption = scene.caption_about(aspects, &mut Generator::new(number));
        WorldExample { number, scene, caption }
    }
}

/// A caption and the scene it was written about.
#[derive(Clone, Debug)]
pub struct WorldExample {
    /// The number of the example, which counts up the noise's seeds.
    pub number: u64,
    /// The scene.
    pub scene: Scene,
    /// Its caption.
    pub caption: Caption,
}

impl WorldExample {
    /// How the caption's things stand to each other, if it says so: side by side in any order are the left one and the right
    /// one.
    fn relation(&self) -> Option<RelationView> {
        match self.caption.mentioned.relation? {
            RelationMention::Exactly(relation) => Some(RelationView::of(relation)),
            RelationMention::Beside => Some(RelationView::of(world::Relation::LeftOf)),
        }
    }

    /// Whether the prediction is to be read from its second thing: where the caption's things are then those that it says and
    /// else are not, or where both orders are as wrong and the caption's own is that one.
    fn is_exchanged(&self, prediction: &Prediction) -> bool {
        let figures = &self.caption.mentioned.figures;
        let shows = |order: [Question; 2]| {
            let mut mentioned = figures.iter().zip(order);
            mentioned.all(|(figure, question)| is_shown(figure, prediction.answer(question)))
        };
        match (shows([Thing, SecondThing]), shows([SecondThing, Thing])) {
            (false, true) => true,
            (true, false) => false,
            _ => self.relation().is_some_and(|relation| relation.is_exchanged),
        }
    }

    /// Whether a prediction is what the caption says on a question; none where the caption does not mention it.
    fn is_said(&self, question: Question, prediction: &Prediction) -> Option<bool> {
        let said = &self.caption.mentioned;
        let is_exchanged = self.is_exchanged(prediction);
        let order = match is_exchanged {
            false => [(Thing, Colour), (SecondThing, SecondColour)],
            true => [(SecondThing, SecondColour), (Thing, Colour)],
        };
        let answer = |question| prediction.answer(question);
        let is = |answer: Option<usize>, label: usize| answer == Some(label);
        let figure = |index: usize| said.figures.get(index);
        Some(match question {
            Thing => is_shown(figure(0)?, answer(order[0].0)),
            SecondThing => is_shown(figure(1)?, answer(order[1].0)),
            Colour => is(answer(order[0].1), figure(0)?.colour?.index()),
            SecondColour => is(answer(order[1].1), figure(1)?.colour?.index()),
            Count => {
                let count = number(figure(0)?)?;
                !is_exchanged && is(answer(Count), count - 1)
            }
            Relation => {
                let relation = self.relation()?;
                let any = said.relation == Some(RelationMention::Beside);
                let ordered = any || is_exchanged == relation.is_exchanged;
                ordered && is(answer(Relation), relation.answer)
            }
            Surroundings => is(answer(Surroundings), said.place?.index()),
            Time => is(answer(Time), said.time?.index()),
            Weather => is(answer(Weather), said.weather?.index()),
            Question::Size
            | Question::Place
            | Question::Sky
            | Question::Ground
            | Question::Style => return None,
        })
    }
}

impl CaptionedScene for WorldExample {
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
        let said = questions.iter().map(|&question| self.is_said(question, prediction));
        let said: Vec<bool> = said.collect::<Option<_>>()?;
        Some(said.into_iter().all(|right| right))
    }

    fn is_all_right(&self, prediction: &Prediction) -> bool {
        let said = |&question: &Question| self.is_said(question, prediction);
        Question::OF_THE_WORLD.iter().filter_map(said).all(|right| right)
    }
}

/// The number of a thing that a caption says: two or three.
fn number(figure: &FigureMention) -> Option<usize> {
    match figure.count {
        world::Count::Exactly(count @ 2..) => Some(usize::from(count)),
        world::Count::Exactly(_) | world::Count::Several => None,
    }
}

/// Whether the thing of an answer is one that the caption's word names: a child may be a boy or a girl.
fn is_shown(figure: &FigureMention, answer: Option<usize>) -> bool {
    let thing = answer.and_then(|answer| world::Thing::all().get(answer));
    thing.is_some_and(|thing| thing.words().any(|word| word == figure.word))
}
