//! The labels that a caption names, and whether they are true of another image.

use serde::Serialize;

use crate::draw::is_scenery;
use crate::labels::{
    Action, Colour, Figure, Labels, Place, Relation, Season, Size, Texture, Time, Weather,
};
use crate::things::Thing;

/// The labels that a caption names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mentions {
    /// The things, the first one first.
    pub figures: Vec<FigureMention>,
    /// The first thing's size.
    pub size: Option<Size>,
    /// The relation of the first thing to the second.
    pub relation: Option<RelationMention>,
    /// The place.
    pub place: Option<Place>,
    /// The time of day.
    pub time: Option<Time>,
    /// The weather.
    pub weather: Option<Weather>,
    /// The season.
    pub season: Option<Season>,
}

/// A number of things as a caption says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Count {
    /// That many.
    Exactly(u8),
    /// More than one.
    Several,
}

/// A relation as a caption says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum RelationMention {
    /// That one.
    Exactly(Relation),
    /// Side by side, in any order.
    Beside,
}

/// The labels that a caption names of a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FigureMention {
    /// The thing that the caption was written about.
    pub thing: Thing,
    /// The word for it, in the singular; other things may have it too.
    pub word: &'static str,
    /// Its colour.
    pub colour: Option<Colour>,
    /// The pattern on it.
    pub texture: Option<Texture>,
    /// The number of them.
    pub count: Count,
    /// Its action.
    pub action: Option<Action>,
}

impl Mentions {
    /// Whether the caption is true of an image with these labels, in the widest sense. Contrastive training masks such an
    /// image, a false negative, from the caption's negatives.
    pub fn describes(&self, labels: &Labels) -> bool {
        let scenery = fits(self.place, Some(labels.place))
            && fits(self.time, labels.time)
            && fits(self.weather, labels.weather)
            && fits(self.season, labels.season);
        scenery && self.describes_things(labels)
    }

    fn describes_things(&self, labels: &Labels) -> bool {
        let figures = &labels.figures;
        let size = |figure: usize| match self.size {
            Some(size) => figure == 0 && size == labels.size,
            None => true,
        };
        match self.figures.as_slice() {
            [] => true,
            [only] => {
                let mut found = figures.iter().enumerate();
                found.any(|(index, figure)| only.fits(figure) && size(index))
                    || only.is_scenery_of(labels)
            }
            [first, second] => (0..figures.len()).any(|one| {
                (0..figures.len()).any(|other| {
                    one != other
                        && first.fits(&figures[one])
                        && second.fits(&figures[other])
                        && size(one)
                        && self.fits_relation(one, other, labels)
                })
            }),
            several => several.iter().all(|mention| figures.iter().any(|one| mention.fits(one))),
        }
    }

    /// Whether the figures of these places have the relation that is mentioned, if any is.
    fn fits_relation(&self, one: usize, other: usize, labels: &Labels) -> bool {
        let Some(mentioned) = self.relation else { return true };
        let relation = match (one, other, labels.relation) {
            (0, 1, Some(relation)) => Some(relation),
            (1, 0, Some(relation)) => relation.inverse(),
            // Three figures stand in a row.
            _ if one < other => Some(Relation::LeftOf),
            _ => Some(Relation::RightOf),
        };
        match mentioned {
            RelationMention::Exactly(wanted) => relation == Some(wanted),
            RelationMention::Beside => relation.is_some_and(Relation::is_beside),
        }
    }
}

impl FigureMention {
    fn fits(&self, figure: &Figure) -> bool {
        let count = match self.count {
            Count::Exactly(count) => count == figure.count,
            Count::Several => figure.count > 1,
        };
        let entry = figure.thing.entry();
        let mut words = entry.words.iter().chain(&entry.kinds);
        count
            && words.any(|(singular, _)| singular == self.word)
            && fits(self.colour, figure.colour)
            && fits(self.texture, figure.texture)
            && fits(self.action, figure.action)
    }

    /// Whether the place or the sky shows such a thing by itself.
    fn is_scenery_of(&self, labels: &Labels) -> bool {
        self.colour.is_none() && self.action.is_none() && is_scenery(self.thing.name(), labels)
    }
}

/// Whether a label that may be mentioned is the image's.
fn fits<T: PartialEq>(mentioned: Option<T>, label: Option<T>) -> bool {
    mentioned.is_none() || mentioned == label
}
