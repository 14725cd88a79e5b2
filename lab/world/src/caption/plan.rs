//! The choice of labels that a caption mentions.

use noise::Generator;

use crate::chance::Chance;
use crate::labels::{Action, Labels, Place, Relation, Size, Time, Weather};

/// A label that a caption can mention, and that a hard negative can differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The first thing.
    Thing,
    /// The first thing's colour.
    Colour,
    /// The pattern on the first thing.
    Texture,
    /// The number of the first thing.
    Count,
    /// The first thing's size.
    Size,
    /// The first thing's action.
    Action,
    /// The second thing.
    Second,
    /// The second thing's colour.
    SecondColour,
    /// The relation of two things.
    Relation,
    /// The place.
    Place,
    /// The time of day.
    Time,
    /// The weather.
    Weather,
    /// The season.
    Season,
}

/// The labels that a caption mentions, and how it is written.
pub(super) struct Plan {
    pub colours: [bool; 3],
    pub texture: bool,
    pub actions: [bool; 3],
    pub size: bool,
    /// Whether the relation is said by its own words.
    pub relation: bool,
    pub place: bool,
    pub time: bool,
    pub weather: bool,
    pub season: bool,
    /// Whether numbers are said, and things by their own names.
    pub exact: bool,
    pub prefixed: bool,
    pub suffixed: bool,
    pub misspelled: bool,
}

impl Plan {
    /// Leaves out one more thing; false where nothing is left to leave out.
    pub(super) fn shorten(&mut self) -> bool {
        let extras = [
            &mut self.suffixed,
            &mut self.prefixed,
            &mut self.season,
            &mut self.weather,
            &mut self.time,
            &mut self.place,
            &mut self.texture,
        ];
        let next = extras.into_iter().find(|extra| **extra);
        next.map(|extra| *extra = false).is_some()
    }

    pub(super) fn draw(labels: &Labels, aspects: &[Aspect], g: &mut Generator) -> Self {
        let says = |aspect| aspects.contains(&aspect);
        let mut colours = [false; 3];
        let mut actions = [false; 3];
        for (index, figure) in labels.figures.iter().enumerate().take(3) {
            let natural = figure.colour == figure.thing.natural_colour();
            let likely = if natural { 0.3 } else { 0.95 };
            let asked = match index {
                0 => says(Aspect::Colour),
                _ => says(Aspect::SecondColour),
            };
            colours[index] = (g.chance(likely) || asked) && figure.colour.is_some();
            let likely = if figure.action == Some(Action::Walking) { 0.45 } else { 0.94 };
            actions[index] = (g.chance(likely) || (index == 0 && says(Aspect::Action)))
                && figure.action.is_some();
        }
        let (time, weather) = (labels.time, labels.weather);
        let place = match labels.place {
            Place::Plain => 0.06,
            _ => 0.90,
        };
        let of_time = if time == Some(Time::Day) { 0.06 } else { 0.86 };
        let of_weather = match (time, weather) {
            (_, Some(Weather::Clear)) => 0.12,
            _ => 0.88,
        };
        let of_relation = match labels.relation {
            Some(Relation::LeftOf | Relation::RightOf) => 0.30,
            _ => 0.90,
        };
        Self {
            colours,
            texture: g.chance(0.95) || says(Aspect::Texture),
            actions,
            size: (g.chance(0.6) || says(Aspect::Size)) && labels.size != Size::Medium,
            relation: g.chance(of_relation) || says(Aspect::Relation),
            place: g.chance(place) || says(Aspect::Place) || labels.figures.is_empty(),
            time: (g.chance(of_time) || says(Aspect::Time)) && time.is_some(),
            weather: (g.chance(of_weather) || says(Aspect::Weather)) && weather.is_some(),
            season: (g.chance(0.86) || says(Aspect::Season)) && labels.season.is_some(),
            exact: [Aspect::Thing, Aspect::Second, Aspect::Count].into_iter().any(says),
            prefixed: g.chance(0.2),
            suffixed: g.chance(0.05),
            misspelled: g.chance(0.04),
        }
    }
}
