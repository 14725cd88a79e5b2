//! Random labels: what is likely to be where.

use noise::Generator;

use crate::chance::Chance;
use crate::labels::{
    Action, Colour, Figure, Labels, Place, Relation, Season, Size, Texture, Time, Weather,
};
use crate::layout::seat;
use crate::splits::{Novelty, Split, held_out_colour};
use crate::things::{Home, Thing};

/// Labels of a scene of the split, with this number of things where there is one: 3 at most, and 1 at least where the split
/// shows what is held out.
pub(crate) fn labels(split: Split, things: Option<usize>, g: &mut Generator) -> Labels {
    let least = match split {
        Split::Evaluation(Novelty::Colour | Novelty::Composition) => 1,
        _ => 0,
    };
    let things = things.map(|count| count.clamp(least, 3));
    loop {
        let labels = draw(split, g);
        let counts = things.is_none_or(|count| labels.figures.len() == count);
        if counts && split.allows(&labels) && is_possible(&labels) {
            return labels;
        }
    }
}

fn draw(split: Split, g: &mut Generator) -> Labels {
    let share = g.uniform();
    let count = match share {
        _ if split == Split::Evaluation(Novelty::Colour) && share < 0.08 => 1,
        share if share < 0.08 => 0,
        share if share < 0.60 => 1,
        share if share < 0.94 => 2,
        _ => 3,
    };
    let mut things: Vec<Thing> = Vec::new();
    while things.len() < count {
        let thing = pick_thing(g);
        // Two things of the sky would stand for two skies.
        let clashes = |other: &Thing| {
            *other == thing || (other.home() == Home::Sky && thing.home() == Home::Sky)
        };
        if !things.iter().any(clashes) {
            things.push(thing);
        }
    }
    let place = pick_place(&things, g);
    let mut figures: Vec<Figure> = things
        .iter()
        .map(|&thing| Figure {
            thing,
            colour: pick_colour(thing, split, g),
            texture: None,
            count: 1,
            action: None,
        })
        .collect();
    if split == Split::Evaluation(Novelty::Colour) {
        figures[0].colour = held_out_colour(figures[0].thing).or(figures[0].colour);
    }
    if let [figure] = figures.as_mut_slice() {
        let several = match figure.thing.home() {
            Home::Sky => figure.thing.name() == "star",
            _ => figure.thing.is_countable(),
        };
        if g.chance(0.26) && several {
            figure.count = 1 + g.below(3) as u8;
        }
        if g.chance(0.35) {
            figure.action = action(figure.thing, place, g);
        }
    } else if g.chance(0.12) && !figures.is_empty() {
        figures[0].action = action(figures[0].thing, place, g);
    }
    for figure in &mut figures {
        let textured = g.chance(0.12) && count == 1 && figure.count == 1;
        if figure.colour.is_some() && figure.thing.takes_textures() && textured {
            figure.texture = Some(g.pick(Texture::ALL));
        }
        settle_person(figure, place, count);
    }
    let relation = (count == 2).then(|| pick_relation(&figures, g));
    let (time, weather, season) = pick_sky(place, &things, g);
    let textured = figures.iter().any(|figure| figure.texture.is_some());
    let size = match count {
        1 if g.chance(0.3) && !textured && figures[0].count == 1 => {
            g.pick(&[Size::Small, Size::Large])
        }
        _ => Size::Medium,
    };
    Labels { figures, size, relation, place, time, weather, season }
}

/// A person is a face on a plain ground, and else a figure that does something. Clothes for sports are as they are.
pub(crate) fn settle_person(figure: &mut Figure, place: Place, count: usize) {
    use Action::{Cycling, Meditating, Skiing, Surfing};
    if figure.thing.home() != Home::Person {
        return;
    }
    let natural = figure.thing.natural_colour();
    let is_usual = figure.colour.is_none() || figure.colour == natural;
    match figure.action {
        None if place == Place::Plain && count == 1 && is_usual => figure.colour = None,
        None => {
            figure.action = Some(Action::Walking);
            figure.colour = figure.colour.or(natural);
        }
        Some(Cycling | Meditating | Skiing | Surfing) => figure.colour = None,
        Some(_) => figure.colour = figure.colour.or(natural),
    }
}

fn pick_thing(g: &mut Generator) -> Thing {
    let weight = |thing: Thing| u64::from(thing.entry().weight);
    let mut left = g.below(Thing::all().iter().copied().map(weight).sum());
    for &thing in Thing::all() {
        match left.checked_sub(weight(thing)) {
            Some(rest) => left = rest,
            None => return thing,
        }
    }
    Thing::all()[0]
}

/// A colour of a thing: its natural one in half of the scenes.
pub(crate) fn pick_colour(thing: Thing, split: Split, g: &mut Generator) -> Option<Colour> {
    let manufactured = matches!(thing.home(), Home::Large | Home::Object | Home::Floats);
    let usual = if manufactured { 0.4 } else { 0.52 };
    let as_usual = g.chance(usual);
    let colour = g.pick(&colours(thing, split));
    match as_usual || !thing.takes_colours() {
        true => thing.natural_colour(),
        false => Some(colour),
    }
}

/// The colours that a split may paint a thing in.
pub(crate) fn colours(thing: Thing, split: Split) -> Vec<Colour> {
    let allowed = Colour::ALL.iter().copied();
    allowed.filter(|&colour| split.allows_colour(thing, colour)).collect()
}

fn pick_place(things: &[Thing], g: &mut Generator) -> Place {
    if let [first, ..] = things {
        let haunts = &first.entry().haunts;
        let share = g.uniform();
        match share {
            share if share < 0.36 => return Place::Plain,
            share if share < 0.60 && !haunts.is_empty() => return g.pick(haunts),
            _ => {}
        }
    }
    g.pick(Place::ALL)
}

/// The actions that can be seen at a place.
pub(crate) fn actions(thing: Thing, place: Place) -> Vec<Action> {
    let actions = thing.actions().iter().copied();
    actions.filter(|&action| is_done_at(action, place)).collect()
}

fn action(thing: Thing, place: Place, g: &mut Generator) -> Option<Action> {
    let actions = actions(thing, place);
    (!actions.is_empty()).then(|| g.pick(&actions))
}

fn is_done_at(action: Action, place: Place) -> bool {
    match action {
        Action::Swimming => matches!(place, Place::Sea | Place::River),
        Action::Surfing => matches!(place, Place::Sea | Place::Plain),
        Action::Skiing => matches!(place, Place::Snow | Place::Plain),
        Action::Flying => place.has_sky() || place == Place::Plain,
        Action::Sleeping | Action::Jumping => {
            !matches!(place, Place::Sea | Place::Underwater | Place::Space | Place::Sky)
        }
        Action::WearingHat | Action::WearingCrown => true,
        _ => !matches!(
            place,
            Place::Sea
                | Place::River
                | Place::Underwater
                | Place::Space
                | Place::Sky
                | Place::Table
        ),
    }
}

/// Whether an image can show the labels, and the backdrop does not show the same thing by itself.
pub(crate) fn is_possible(labels: &Labels) -> bool {
    let Labels { figures, place, time, weather, .. } = labels;
    let sky = (*place, *time, *weather);
    let fits = figures.iter().all(|figure| {
        let actions = figure.action.is_none_or(|action| is_done_at(action, *place));
        actions && is_at(figure.thing, sky) && !is_scenery(figure.thing.name(), labels)
    });
    let seen = match (*time, *weather) {
        (Some(time), Some(weather)) => can_be(*place, time, weather, labels.season),
        _ => true,
    };
    fits && seen
        && (!figures.is_empty() || is_worth_seeing(*place))
        && labels.relation.is_none_or(|relation| fits_relation(figures, relation, *place))
}

fn is_worth_seeing(place: Place) -> bool {
    !matches!(place, Place::Plain | Place::Table)
}

/// Whether a thing can be seen at a place under such a sky.
fn is_at(thing: Thing, (place, time, weather): (Place, Option<Time>, Option<Weather>)) -> bool {
    use Place::{Plain, River, Sea, Space, Table, Underwater};
    let day = time == Some(Time::Day);
    match (thing.home(), place) {
        (_, Plain) => true,
        (Home::Sky, place) => match thing.name() {
            "planet" => place == Space,
            "star" => {
                place == Space || (time == Some(Time::Night) && weather == Some(Weather::Clear))
            }
            "moon" => place == Space || (time == Some(Time::Night)),
            "sun" => place == Space || (day && weather == Some(Weather::Clear)),
            "rainbow" | "cloud" => day && weather == Some(Weather::Clear),
            "lightning" => matches!(weather, Some(Weather::Rain | Weather::Storm)),
            _ => place.has_sky(),
        },
        (Home::Fish, place) => matches!(place, Sea | Underwater | River | Space | Place::Sky),
        (Home::Floats, place) => matches!(place, Sea | River | Place::Beach),
        (Home::Large, place) => !matches!(place, Table | Underwater | Place::Sky),
        (Home::Flyer, place) => !matches!(place, Underwater | Table),
        (Home::Object, place) => !matches!(place, Sea | Place::Sky | Underwater | Space),
        (Home::Person, place) => {
            !matches!(place, Table | Sea | River | Underwater | Place::Sky | Space)
        }
        (Home::Land | Home::Bird | Home::Role, _) => true,
    }
}

/// Whether the place or the sky shows a thing of this name by itself.
pub(crate) fn is_scenery(name: &str, labels: &Labels) -> bool {
    let Labels { place, time, weather, .. } = labels;
    let clear = matches!(weather, Some(Weather::Clear | Weather::Rainbow));
    match name {
        "tree" => matches!(place, Place::Park | Place::Forest | Place::Road | Place::River),
        "fir tree" => matches!(place, Place::Snow | Place::Forest),
        "palm tree" => *place == Place::Beach,
        "cactus" => *place == Place::Desert,
        "flower" => *place == Place::Garden,
        "skyscraper" | "house" => *place == Place::City,
        "table" => *place == Place::Table,
        "sun" => {
            labels.figures.iter().all(|figure| figure.thing.name() != "sun")
                && clear
                && matches!(time, Some(Time::Day | Time::Sunset))
        }
        "moon" => {
            labels.figures.iter().all(|figure| figure.thing.home() != Home::Sky)
                && clear
                && *time == Some(Time::Night)
        }
        "star" => {
            labels.figures.iter().all(|figure| figure.thing.name() != "star")
                && (*place == Place::Space || (clear && *time == Some(Time::Night)))
        }
        "planet" => {
            labels.figures.iter().all(|figure| figure.thing.home() != Home::Sky)
                && *place == Place::Space
        }
        "cloud" => {
            labels.figures.iter().all(|figure| figure.thing.name() != "cloud")
                && matches!(
                    weather,
                    Some(Weather::Cloudy | Weather::Rain | Weather::Storm | Weather::Snowfall)
                )
        }
        "rainbow" => *weather == Some(Weather::Rainbow),
        "lightning" => *weather == Some(Weather::Storm),
        _ => false,
    }
}

/// Whether two figures can stand in a relation at a place.
pub(crate) fn fits_relation(figures: &[Figure], relation: Relation, place: Place) -> bool {
    let [first, second] = figures else { return false };
    let is_up = |figure: &Figure| {
        matches!(figure.thing.home(), Home::Sky | Home::Flyer)
            || figure.action == Some(Action::Flying)
    };
    let swims = matches!(place, Place::Sea | Place::Underwater);
    let (first_up, second_up) = (is_up(first), is_up(second));
    let heavenly = first.thing.home() == Home::Sky || second.thing.home() == Home::Sky;
    match relation {
        Relation::LeftOf | Relation::RightOf => true,
        Relation::Above => !second_up || first.thing.home() == Home::Sky,
        Relation::Under => !first_up || second.thing.home() == Home::Sky,
        Relation::On => {
            let calm = second.action.is_none() && second.thing.home() != Home::Person;
            let can_sit =
                !matches!(first.thing.home(), Home::Large | Home::Fish | Home::Floats | Home::Sky);
            !heavenly && !swims && seat(second.thing).is_some() && calm && can_sit
        }
        Relation::InFrontOf | Relation::Behind => !heavenly,
    }
}

fn pick_relation(figures: &[Figure], g: &mut Generator) -> Relation {
    use Relation::*;
    let seated = figures.get(1).is_some_and(|second| seat(second.thing).is_some());
    match g.uniform() {
        share if share < 0.25 && seated => On,
        share if share < 0.56 => g.pick(&[LeftOf, RightOf]),
        share if share < 0.78 => g.pick(&[Above, Under]),
        _ => g.pick(&[InFrontOf, Behind]),
    }
}

/// Time, weather and season of a place.
fn pick_sky(
    place: Place,
    things: &[Thing],
    g: &mut Generator,
) -> (Option<Time>, Option<Weather>, Option<Season>) {
    let (time, weather, season) = (g.uniform(), g.uniform(), g.uniform());
    let season = match season {
        share if share < 0.12 => Some(Season::Autumn),
        share if share < 0.22 => Some(Season::Winter),
        share if share < 0.32 => Some(Season::Spring),
        share if share < 0.38 => Some(Season::Summer),
        _ => None,
    };
    let season = season.filter(|_| place.has_season());
    if !place.has_sky() {
        return (None, None, season);
    }
    let wants_night = things.iter().any(|thing| matches!(thing.name(), "moon" | "star"));
    let time = match time {
        _ if wants_night => Time::Night,
        share if share < 0.58 => Time::Day,
        share if share < 0.77 => Time::Sunset,
        _ => Time::Night,
    };
    let weather = match weather {
        share if share < 0.60 => Weather::Clear,
        share if share < 0.70 => Weather::Cloudy,
        share if share < 0.80 => Weather::Rain,
        share if share < 0.86 => Weather::Snowfall,
        share if share < 0.91 => Weather::Storm,
        share if share < 0.96 => Weather::Fog,
        _ => Weather::Rainbow,
    };
    let weather = if can_be(place, time, weather, season) { weather } else { Weather::Clear };
    (Some(time), Some(weather), season)
}

/// Whether such weather can be seen at that time and place.
pub(crate) fn can_be(place: Place, time: Time, weather: Weather, season: Option<Season>) -> bool {
    let cold = place == Place::Snow || season == Some(Season::Winter);
    let warm = matches!(place, Place::Desert | Place::Beach)
        || matches!(season, Some(Season::Summer | Season::Spring | Season::Autumn));
    match weather {
        Weather::Clear => true,
        Weather::Cloudy => time != Time::Night,
        Weather::Rain | Weather::Storm => time != Time::Sunset && !cold && place != Place::Desert,
        Weather::Snowfall => {
            time != Time::Sunset && !warm && !matches!(place, Place::Sky | Place::Sea)
        }
        Weather::Fog => time != Time::Sunset && place != Place::Sky,
        Weather::Rainbow => time == Time::Day && !cold && place != Place::Forest,
    }
}
