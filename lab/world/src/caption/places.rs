//! Words of places.

use noise::Generator;

use crate::chance::Chance;
use crate::inflection::with_article;
use crate::labels::{Action, Labels, Place};
use crate::things::Home;

/// The place as an adverbial. `%` is where an article or an adjective goes.
pub(super) fn adverbial(
    labels: &Labels,
    afloat: bool,
    adjective: Option<&str>,
    g: &mut Generator,
) -> String {
    let share = match labels.figures.first() {
        Some(first) if first.thing.home() == Home::Sky => 0.85,
        Some(first) if first.thing.home() == Home::Flyer => 0.4,
        Some(first) if first.action == Some(Action::Flying) => 0.4,
        _ => 0.0,
    };
    let flies = g.chance(share);
    let list = match labels.place {
        Place::River if afloat => ON_WATER,
        Place::Sea if afloat => AT_SEA,
        place if flies => over(place).unwrap_or(at(place)),
        place => at(place),
    };
    let text = g.pick(list);
    let article = g.chance(0.7);
    match (text.split_once('%'), adjective) {
        (Some((start, noun)), Some(adjective)) => {
            let noun = format!("{adjective}{noun}");
            match takes_article(&noun) {
                true => format!("{start}{}", with_article(&noun)),
                false => format!("{start}the {noun}"),
            }
        }
        (Some((start, noun)), None) => {
            let noun = noun.trim_start();
            match takes_article(noun) && !article {
                true => format!("{start}{}", with_article(noun)),
                false => format!("{start}the {noun}"),
            }
        }
        (None, Some(adjective)) => format!("{text}, {adjective}"),
        (None, None) => text.to_owned(),
    }
}

/// Whether a noun takes an indefinite article.
pub(super) fn takes_article(noun: &str) -> bool {
    !noun.ends_with('s') && !is_mass(noun)
}

/// Whether a noun stands without any article.
pub(super) fn is_bare(noun: &str) -> bool {
    ["space", "underwater", "town"].iter().any(|word| noun.ends_with(word))
}

/// Whether a noun takes no indefinite article though it is no plural.
fn is_mass(noun: &str) -> bool {
    let words = [
        "snow",
        "sand",
        "grass",
        "water",
        "town",
        "countryside",
        "seaside",
        "space",
        "underwater",
        "woodland",
        "sky",
        "grassland",
        "outer space",
        "coast",
    ];
    words.iter().any(|word| noun.ends_with(word))
}

const ON_WATER: &[&str] =
    &["on % river", "on % lake", "on % pond", "in % lake", "in % pond", "in % river", "in % water"];
const AT_SEA: &[&str] = &[
    "on % sea",
    "at sea",
    "in % sea",
    "in % ocean",
    "on % water",
    "on % ocean",
    "in % water",
    "in the waves",
];

fn at(place: Place) -> &'static [&'static str] {
    match place {
        Place::Plain => &[
            "on a white background",
            "on white",
            "on a plain background",
            "on a simple background",
            "with a white background",
            "white background",
        ],
        Place::Meadow => &[
            "in % field",
            "on % grass",
            "in % meadow",
            "in % grass",
            "on % meadow",
            "in the countryside",
            "outside",
        ],
        Place::Park => &["in % park", "at % park", "in % park", "outdoors"],
        Place::Garden => &["in % garden", "in % backyard", "in % yard", "in % back garden"],
        Place::Forest => &["in % forest", "in % woods", "in % forest", "in % jungle", "in % wood"],
        Place::Beach => &[
            "on % beach",
            "at % beach",
            "on % beach",
            "on % sand",
            "by the sea",
            "at % seaside",
            "by the ocean",
        ],
        Place::Sea => AT_SEA,
        Place::River => {
            &["by % river", "by % lake", "at % lake", "near % river", "by % pond", "by the water"]
        }
        Place::Underwater => &[
            "underwater",
            "under water",
            "under the sea",
            "in the deep sea",
            "at the bottom of the sea",
        ],
        Place::Snow => &["in % snow", "on % snow", "in the snow", "in % snowy field"],
        Place::Desert => &["in % desert", "in % desert", "on % sand dunes", "in the sand"],
        Place::Mountains => {
            &["in % mountains", "on % mountain", "in front of % mountains", "near % mountain"]
        }
        Place::City => {
            &["in % city", "in the city", "in % town", "downtown", "in front of % skyline"]
        }
        Place::Road => &["on % road", "on % street", "in % street", "on % highway"],
        Place::Farm => &["on % farm", "at % farm", "in % farmyard", "in front of % barn"],
        Place::Room => &[
            "in % room",
            "in % living room",
            "indoors",
            "inside",
            "at home",
            "in the house",
            "in % bedroom",
        ],
        Place::Table => {
            &["on % table", "on % table", "on % wooden table", "on % kitchen table", "on % desk"]
        }
        Place::Sky => &["in % sky", "in % sky", "in the clouds", "in the air", "high in the sky"],
        Place::Space => {
            &["in space", "in outer space", "in % galaxy", "in space", "among the stars"]
        }
    }
}

/// Adverbials of something that flies there.
fn over(place: Place) -> Option<&'static [&'static str]> {
    Some(match place {
        Place::Meadow => &["over % field", "above % meadow", "over % grass"],
        Place::Park => &["over % park", "above % park"],
        Place::Garden => &["over % garden", "above % garden"],
        Place::Forest => &["over % forest", "above % forest"],
        Place::Beach => &["over % beach", "above % beach"],
        Place::Sea => &["over % sea", "above % sea", "over % ocean", "over % water"],
        Place::River => &["over % river", "above % lake", "over % lake"],
        Place::Snow => &["over % snow", "above % snow"],
        Place::Desert => &["over % desert", "above % desert"],
        Place::Mountains => &["over % mountains", "above % mountains"],
        Place::City => &["over % city", "above % city"],
        Place::Road => &["over % road", "above % street"],
        Place::Farm => &["over % farm", "above % farm"],
        _ => return None,
    })
}

/// Every way to say where something is at a place.
pub(super) fn adverbials(place: Place) -> impl Iterator<Item = &'static [&'static str]> {
    let water = match place {
        Place::River => Some(ON_WATER),
        _ => None,
    };
    [at(place)].into_iter().chain(over(place)).chain(water)
}

/// The place as a noun alone.
pub(super) fn noun(place: Place, g: &mut Generator) -> &'static str {
    g.pick(nouns(place))
}

pub(super) fn nouns(place: Place) -> &'static [&'static str] {
    match place {
        Place::Plain => &["white background", "plain background"],
        Place::Meadow => {
            &["field", "meadow", "grass", "green field", "countryside", "grassland", "hills"]
        }
        Place::Park => &["park"],
        Place::Garden => &["garden", "backyard"],
        Place::Forest => &["forest", "woods", "jungle", "woodland"],
        Place::Beach => &["beach", "seaside", "sandy beach", "coast"],
        Place::Sea => &["sea", "ocean", "water", "waves"],
        Place::River => &["river", "lake", "pond"],
        Place::Underwater => &["underwater", "underwater scene"],
        Place::Snow => &["snow", "snowy field", "snowy landscape"],
        Place::Desert => &["desert", "sand dunes"],
        Place::Mountains => &["mountains", "mountain landscape", "mountain"],
        Place::City => &["city", "town", "city skyline", "skyline", "cityscape"],
        Place::Road => &["road", "street", "highway"],
        Place::Farm => &["farm", "barn"],
        Place::Room => &["room", "living room", "bedroom"],
        Place::Table => &["table", "kitchen table"],
        Place::Sky => &["sky", "clouds"],
        Place::Space => &["space", "outer space", "galaxy"],
    }
}
