//! Siblings: scenes that differ in one label, and else as little as it allows.

use noise::Generator;

use crate::caption::Aspect;
use crate::chance::Chance;
use crate::draw;
use crate::labels::{
    Action, Figure, Labels, Place, Relation, Season, Size, Texture, Time, Weather,
};
use crate::scene::Scene;
use crate::splits::Split;
use crate::things::Thing;

/// Random labels that are tried before a scene counts as one without such a sibling.
const TRIES: usize = 24;

impl Scene {
    /// The scene of the same seed in which one label has another value, drawn by `generator` among those that the split and
    /// an image allow; none where no other is found, as for the second thing of a scene of one.
    pub fn sibling(&self, aspect: Aspect, generator: &mut Generator) -> Option<Self> {
        let labels = (0..TRIES).find_map(|_| {
            let mut labels = altered(self.labels(), aspect, self.split(), generator)?;
            settle(&mut labels);
            self.allows(&labels).then_some(labels)
        })?;
        Some(self.relabelled(labels))
    }

    /// The scene of the same seed in which two things have each other's colours; none where these are the same, or where
    /// the split does not allow it.
    pub fn with_colours_exchanged(&self) -> Option<Self> {
        let mut labels = self.labels().clone();
        let [first, second] = labels.figures.as_mut_slice() else { return None };
        if !first.thing.takes_colours() || !second.thing.takes_colours() {
            return None;
        }
        let (one, other) = (first.colour?, second.colour?);
        (first.colour, second.colour) = (Some(other), Some(one));
        self.allows(&labels).then(|| self.relabelled(labels))
    }

    fn allows(&self, labels: &Labels) -> bool {
        labels != self.labels() && self.split().allows(labels) && draw::is_possible(labels)
    }
}

/// These labels with a random value of one of them.
fn altered(labels: &Labels, aspect: Aspect, split: Split, g: &mut Generator) -> Option<Labels> {
    let mut labels = labels.clone();
    let place = labels.place;
    match aspect {
        Aspect::Thing => exchange(labels.figures.first_mut()?, split, place, g),
        Aspect::Second => exchange(labels.figures.get_mut(1)?, split, place, g),
        Aspect::Colour => repaint(labels.figures.first_mut()?, split, g)?,
        Aspect::SecondColour => repaint(labels.figures.get_mut(1)?, split, g)?,
        Aspect::Texture => {
            let figure = labels.figures.first_mut().filter(|figure| figure.colour.is_some())?;
            let textures: Vec<_> = Texture::ALL.iter().copied().map(Some).chain([None]).collect();
            figure.texture = Some(g.pick(&textures)).filter(|_| figure.thing.takes_textures())?;
        }
        Aspect::Count => {
            let [figure] = labels.figures.as_mut_slice() else { return None };
            figure.count = Some(1 + g.below(3) as u8).filter(|_| figure.thing.is_countable())?;
            if figure.count > 1 {
                labels.size = Size::Medium;
            }
        }
        Aspect::Size => match labels.size {
            Size::Small => labels.size = Size::Large,
            Size::Large => labels.size = Size::Small,
            Size::Medium => return None,
        },
        Aspect::Action => {
            let figure = labels.figures.first_mut()?;
            let actions = draw::actions(figure.thing, place).into_iter().map(Some);
            let actions: Vec<Option<Action>> = actions.chain([None]).collect();
            figure.action = g.pick(&actions);
        }
        Aspect::Relation => labels.relation = Some(labels.relation.map(|_| g.pick(Relation::ALL))?),
        Aspect::Place => labels.place = g.pick(Place::ALL),
        Aspect::Time => labels.time = Some(labels.time.map(|_| g.pick(Time::ALL))?),
        Aspect::Weather => labels.weather = Some(labels.weather.map(|_| g.pick(Weather::ALL))?),
        Aspect::Season => {
            let seasons: Vec<_> = Season::ALL.iter().copied().map(Some).chain([None]).collect();
            labels.season = Some(g.pick(&seasons)).filter(|_| place.has_season())?;
        }
    }
    Some(labels)
}

/// Another kind of thing in the place of a figure's: as often in its natural colour.
fn exchange(figure: &mut Figure, split: Split, place: Place, g: &mut Generator) {
    let natural = figure.colour == figure.thing.natural_colour();
    let thing = g.pick(Thing::all());
    figure.thing = thing;
    let keeps = thing.takes_colours()
        && !natural
        && figure.colour.is_some_and(|colour| split.allows_colour(thing, colour));
    if !keeps {
        figure.colour = thing.natural_colour();
    }
    figure.texture = figure.texture.filter(|_| thing.takes_textures() && figure.colour.is_some());
    figure.action = figure.action.filter(|action| draw::actions(thing, place).contains(action));
    figure.count = if thing.is_countable() { figure.count } else { 1 };
}

fn repaint(figure: &mut Figure, split: Split, g: &mut Generator) -> Option<()> {
    let colours = draw::colours(figure.thing, split);
    figure.colour = Some(g.pick(&colours)).filter(|_| figure.thing.takes_colours());
    figure.colour.map(|_| ())
}

/// Makes labels agree that hang on each other: a sky, seasons, and what people do.
fn settle(labels: &mut Labels) {
    let place = labels.place;
    match place.has_sky() {
        true => {
            labels.time = labels.time.or(Some(Time::Day));
            labels.weather = labels.weather.or(Some(Weather::Clear));
        }
        false => (labels.time, labels.weather) = (None, None),
    }
    labels.season = labels.season.filter(|_| place.has_season());
    let count = labels.figures.len();
    for figure in &mut labels.figures {
        draw::settle_person(figure, place, count);
    }
}
