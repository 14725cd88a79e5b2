//! Words for everything but things, the usual ones first.

use noise::Generator;

use super::plan::Plan;
use crate::chance::Chance;
use crate::inflection::with_article;
use crate::labels::{
    Action, Colour, Labels, Place, Relation, Season, Size, Texture, Time, Weather,
};
use crate::things::Home;

/// A time, a weather or a season in words.
pub(super) struct Phrase {
    /// As "at night".
    pub whole: &'static str,
    /// As "night".
    pub bare: &'static str,
    /// As "rainy".
    pub adjective: Option<&'static str>,
}

/// Words before a caption that ask for an image.
pub(super) const OF_IMAGES: &[&str] = &[
    "a photo of", "photo of", "a picture of", "picture of", "an image of", "image of", "a drawing of", "drawing of",
    "an illustration of", "illustration of", "a painting of", "painting of", "a cartoon of", "cartoon", "a sketch of",
    "a photograph of", "an oil painting of", "a watercolor of", "a watercolour painting of", "3d render of", "clipart of",
    "draw", "draw me", "please draw", "show me", "make", "create", "i want", "can you draw", "generate", "a cartoon drawing of",
    "a close up of", "close-up of", "a portrait of", "here is", "this is", "look,", "just",
];

/// Words before a caption of one thing on a plain ground.
pub(super) const OF_ICONS: &[&str] = &[
    "emoji", "emoji of", "an emoji of", "icon of", "an icon of", "a sticker of", "clipart of", "a logo of", "vector art of",
    "a simple drawing of",
];

/// Words behind a caption.
pub(super) const STYLES: &[&str] = &[
    "digital art", "cartoon style", "cartoon", "flat style", "vector art", "illustration", "high quality", "4k", "hd",
    "realistic", "detailed", "minimalist", "flat design", "clipart", "simple", "colorful", "colourful", "children's book",
    "emoji style", "photo", "art",
];

/// Adjectives that say nothing that is drawn.
pub(super) const PRAISE: &[&str] = &[
    "cute", "beautiful", "happy", "lovely", "funny", "pretty", "nice", "old", "cool", "adorable", "single", "simple", "fluffy",
    "new", "fancy", "silly",
];

pub(super) const BESIDE: &[&str] = &["next to", "beside", "by", "near", "alongside"];

pub(super) const TOGETHER: &[&str] = &["and", "and", "with", ",", "&"];

pub(super) fn relation(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::LeftOf => &["to the left of", "left of", "on the left of", "on the left side of"],
        Relation::RightOf => &["to the right of", "right of", "on the right of", "on the right side of"],
        Relation::Above => &["above", "above", "over"],
        Relation::Under => &["under", "below", "beneath", "underneath"],
        Relation::On => &["on", "on", "on top of", "standing on", "sitting on"],
        Relation::InFrontOf => &["in front of", "before"],
        Relation::Behind => &["behind"],
    }
}

pub(super) fn size(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &["small", "small", "little", "tiny"],
        Size::Medium => &["medium"],
        Size::Large => &["big", "large", "huge", "giant", "very big"],
    }
}

pub(super) fn colour(colour: Colour) -> &'static [&'static str] {
    match colour {
        Colour::Red => &["red", "bright red", "scarlet", "crimson"],
        Colour::Orange => &["orange", "bright orange"],
        Colour::Yellow => &["yellow", "golden", "gold", "bright yellow"],
        Colour::Green => &["green", "bright green", "dark green"],
        Colour::Turquoise => &["turquoise", "teal", "cyan", "aqua"],
        Colour::Blue => &["blue", "bright blue", "royal blue"],
        Colour::Purple => &["purple", "violet"],
        Colour::Pink => &["pink", "light pink", "bright pink"],
        Colour::Brown => &["brown", "dark brown"],
        Colour::Black => &["black", "jet black", "dark"],
        Colour::Grey => &["grey", "gray", "silver", "gray"],
        Colour::White => &["white", "snow white"],
    }
}

pub(super) fn texture(texture: Texture) -> &'static [&'static str] {
    match texture {
        Texture::Stripes => &["striped", "stripy"],
        Texture::Dots => &["spotted", "polka dot", "dotted", "spotty"],
        Texture::Checks => &["checkered", "checked", "chequered", "checkerboard"],
    }
}

pub(super) fn with_texture(texture: Texture) -> &'static [&'static str] {
    match texture {
        Texture::Stripes => &["with stripes", "with white stripes"],
        Texture::Dots => &["with dots", "with polka dots", "with spots"],
        Texture::Checks => &["with checks", "with squares", "with a checkered pattern"],
    }
}

/// Words of an action that stand before a noun.
pub(super) fn participles(action: Action) -> &'static [&'static str] {
    match action {
        Action::Flying => &["flying"],
        Action::Sleeping => &["sleeping", "sleepy"],
        Action::Jumping => &["jumping", "leaping"],
        Action::Swimming => &["swimming"],
        Action::Walking => &["walking"],
        Action::Running => &["running"],
        Action::Dancing => &["dancing"],
        Action::Surfing => &["surfing"],
        Action::Skiing => &["skiing"],
        _ => &[],
    }
}

/// Words of an action that stand behind a noun.
pub(super) fn doing(action: Action) -> &'static [&'static str] {
    match action {
        Action::Flying => &["flying", "flying", "in flight", "that flies"],
        Action::Sleeping => &["sleeping", "sleeping", "asleep", "taking a nap", "napping"],
        Action::Jumping => &["jumping", "jumping", "leaping", "jumping up"],
        Action::Swimming => &["swimming", "having a swim"],
        Action::WearingHat => {
            &["wearing a hat", "with a hat", "in a hat", "wearing a top hat", "with a hat on"]
        }
        Action::WearingCrown => &["wearing a crown", "with a crown", "with a crown on"],
        Action::Walking => &["walking", "walking", "going for a walk", "taking a walk"],
        Action::Running => &["running", "running", "jogging", "going for a run"],
        Action::Dancing => &["dancing"],
        Action::Cycling => &["riding a bike", "riding a bicycle", "on a bike", "on a bicycle", "cycling"],
        Action::Surfing => &["surfing", "on a surfboard", "riding a wave"],
        Action::Skiing => &["skiing", "on skis"],
        Action::Meditating => &["meditating", "doing yoga", "sitting", "sitting down"],
    }
}

/// The place as an adverbial. `%` is where an article or an adjective goes.
pub(super) fn place(
    labels: &Labels,
    afloat: bool,
    adjective: Option<&str>,
    g: &mut Generator,
) -> String {
    let flies = labels.figures.first().is_some_and(|first| {
        first.thing.home() == Home::Flyer || first.action == Some(Action::Flying)
    });
    let share = g.uniform();
    let list = match labels.place {
        Place::River if afloat => ON_WATER,
        Place::Sea if afloat => AT_SEA,
        place if flies && share < 0.4 => over(place).unwrap_or(at(place)),
        place => at(place),
    };
    let text = g.pick(list);
    let article = g.chance(0.7);
    match (text.split_once('%'), adjective) {
        (Some((start, noun)), Some(adjective)) => {
            let noun = format!("{adjective}{noun}");
            let plural = noun.ends_with('s') || is_mass(&noun);
            match plural {
                true => format!("{start}the {noun}"),
                false => format!("{start}{}", with_article(&noun)),
            }
        }
        (Some((start, noun)), None) => {
            let noun = noun.trim_start();
            let definite = article || noun.ends_with('s') || is_mass(noun);
            match definite {
                true => format!("{start}the {noun}"),
                false => format!("{start}{}", with_article(noun)),
            }
        }
        (None, Some(adjective)) => format!("{text}, {adjective}"),
        (None, None) => text.to_owned(),
    }
}

/// Whether a noun takes no indefinite article.
pub(super) fn is_mass(noun: &str) -> bool {
    let words = [
        "snow", "sand", "grass", "water", "town", "countryside", "seaside", "space", "underwater", "woodland", "sky",
        "grassland", "outer space", "coast",
    ];
    words.iter().any(|word| noun.ends_with(word))
}

const ON_WATER: &[&str] =
    &["on % river", "on % lake", "on % pond", "in % lake", "in % pond", "in % river", "in % water"];
const AT_SEA: &[&str] =
    &["on % sea", "at sea", "in % sea", "in % ocean", "on % water", "on % ocean", "in % water", "in the waves"];

fn at(place: Place) -> &'static [&'static str] {
    match place {
        Place::Plain => &[
            "on a white background", "on white", "on a plain background", "on a simple background",
            "with a white background", "white background",
        ],
        Place::Meadow => {
            &["in % field", "on % grass", "in % meadow", "in % grass", "on % meadow", "in the countryside", "outside"]
        }
        Place::Park => &["in % park", "at % park", "in % park", "outdoors"],
        Place::Garden => &["in % garden", "in % backyard", "in % yard", "in % back garden"],
        Place::Forest => &["in % forest", "in % woods", "in % forest", "in % jungle", "in % wood"],
        Place::Beach => {
            &["on % beach", "at % beach", "on % beach", "on % sand", "by the sea", "at % seaside", "by the ocean"]
        }
        Place::Sea => AT_SEA,
        Place::River => &["by % river", "by % lake", "at % lake", "near % river", "by % pond", "by the water"],
        Place::Underwater => &["underwater", "under water", "under the sea", "in the deep sea", "at the bottom of the sea"],
        Place::Snow => &["in % snow", "on % snow", "in the snow", "in % snowy field"],
        Place::Desert => &["in % desert", "in % desert", "on % sand dunes", "in the sand"],
        Place::Mountains => &["in % mountains", "on % mountain", "in front of % mountains", "near % mountain"],
        Place::City => &["in % city", "in the city", "in % town", "downtown", "in front of % skyline"],
        Place::Road => &["on % road", "on % street", "in % street", "on % highway"],
        Place::Farm => &["on % farm", "at % farm", "in % farmyard", "in front of % barn"],
        Place::Room => &["in % room", "in % living room", "indoors", "inside", "at home", "in the house", "in % bedroom"],
        Place::Table => &["on % table", "on % table", "on % wooden table", "on % kitchen table", "on % desk"],
        Place::Sky => &["in % sky", "in % sky", "in the clouds", "in the air", "high in the sky"],
        Place::Space => &["in space", "in outer space", "in % galaxy", "in space", "among the stars"],
    }
}

/// Where something flies.
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
pub(super) fn place_noun(place: Place, g: &mut Generator) -> &'static str {
    g.pick(place_nouns(place))
}

pub(super) fn place_nouns(place: Place) -> &'static [&'static str] {
    match place {
        Place::Plain => &["white background", "plain background"],
        Place::Meadow => &["field", "meadow", "grass", "green field", "countryside", "grassland", "hills"],
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

/// What the plan says of the time, the weather and the season, in any order.
pub(super) fn sky(labels: &Labels, plan: &Plan, g: &mut Generator) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    if let Some(time) = labels.time.filter(|_| plan.time) {
        let clear = labels.weather == Some(Weather::Clear);
        let list = time_phrases(time);
        // The last two of the night are for stars and a moon.
        let count = if time == Time::Night && !clear { list.len() - 2 } else { list.len() };
        phrases.push(phrase(g.pick(&list[..count])));
    }
    if let (Some(weather), Some(time)) = (labels.weather.filter(|_| plan.weather), labels.time) {
        phrases.push(phrase(g.pick(weather_phrases(weather, time))));
    }
    if let Some(season) = labels.season.filter(|_| plan.season) {
        phrases.push(phrase(g.pick(season_phrases(season))));
    }
    g.shuffle(&mut phrases);
    phrases
}

/// Whole, bare and, unless empty, adjective.
type Words = (&'static str, &'static str, &'static str);

fn phrase((whole, bare, adjective): Words) -> Phrase {
    Phrase { whole, bare, adjective: (!adjective.is_empty()).then_some(adjective) }
}

pub(super) fn time_phrases(time: Time) -> &'static [Words] {
    match time {
        Time::Day => &[("during the day", "day", ""), ("in the daytime", "daytime", ""), ("by day", "daylight", "")],
        Time::Sunset => &[
            ("at sunset", "sunset", "sunset"),
            ("at sunset", "sunset", ""),
            ("at sunrise", "sunrise", ""),
            ("in the evening", "evening", ""),
            ("at dusk", "dusk", ""),
            ("at dawn", "dawn", ""),
            ("in the morning", "morning", ""),
            ("with a sunset", "sun setting", ""),
        ],
        Time::Night => &[
            ("at night", "night", ""),
            ("at night", "night", "dark"),
            ("at night", "night time", ""),
            ("in the dark", "dark", "dark"),
            ("at nighttime", "nighttime", ""),
            ("at midnight", "midnight", ""),
            ("during the night", "night", ""),
            ("under the stars", "night sky", ""),
            ("in the moonlight", "moonlight", "moonlit"),
        ],
    }
}

pub(super) fn weather_phrases(weather: Weather, time: Time) -> &'static [Words] {
    let day = time == Time::Day;
    match (weather, time) {
        (Weather::Clear, Time::Day) => &[
            ("on a sunny day", "sunny", "sunny"),
            ("in the sun", "sunny day", "sunny"),
            ("under a blue sky", "blue sky", ""),
            ("in the sunshine", "sunshine", ""),
            ("on a clear day", "clear sky", ""),
        ],
        (Weather::Clear, Time::Night) => &[
            ("under a starry sky", "starry sky", "starry"),
            ("with stars in the sky", "starry night", ""),
            ("with the moon and stars", "full of stars", ""),
            ("on a clear night", "clear night", ""),
        ],
        (Weather::Clear, Time::Sunset) => &[("under a red sky", "red sky", ""), ("with the sun low", "low sun", "")],
        (Weather::Cloudy, _) => &[
            ("under a cloudy sky", "cloudy", "cloudy"),
            ("under clouds", "clouds", "cloudy"),
            ("with clouds", "cloudy sky", ""),
            ("with a cloudy sky", "overcast", ""),
        ],
        (Weather::Rain, _) if day => &[
            ("in the rain", "rain", "rainy"),
            ("in the rain", "raining", ""),
            ("on a rainy day", "rainy day", "rainy"),
            ("while it is raining", "rainy", ""),
            ("in bad weather", "bad weather", ""),
        ],
        (Weather::Rain, _) => &[("in the rain", "rain", "rainy"), ("while it rains", "raining", "")],
        (Weather::Snowfall, _) => &[
            ("while it is snowing", "snowing", ""),
            ("in a snowstorm", "snowstorm", ""),
            ("with falling snow", "falling snow", ""),
            ("in the falling snow", "snowfall", ""),
            ("while it snows", "snowing", ""),
        ],
        (Weather::Storm, _) => &[
            ("in a storm", "storm", "stormy"),
            ("in a thunderstorm", "thunderstorm", "stormy"),
            ("during a thunderstorm", "stormy", ""),
            ("with lightning", "lightning", ""),
            ("in a lightning storm", "stormy weather", ""),
        ],
        (Weather::Fog, _) => &[
            ("in the fog", "fog", "foggy"),
            ("in the mist", "mist", "misty"),
            ("in fog", "foggy", ""),
            ("in thick fog", "misty", ""),
        ],
        (Weather::Rainbow, _) => &[
            ("under a rainbow", "rainbow", ""),
            ("with a rainbow", "rainbow", ""),
            ("with a rainbow in the sky", "rainbow sky", ""),
        ],
    }
}

pub(super) fn season_phrases(season: Season) -> &'static [Words] {
    match season {
        Season::Spring => &[
            ("in spring", "spring", "spring"),
            ("in the spring", "springtime", ""),
            ("with cherry blossoms", "blossoms", ""),
        ],
        Season::Summer => &[
            ("in summer", "summer", "summer"),
            ("in the summer", "summertime", ""),
            ("on a summer day", "summer day", ""),
        ],
        Season::Autumn => &[
            ("in autumn", "autumn", "autumn"),
            ("in fall", "fall", ""),
            ("in the autumn", "autumn leaves", "autumn"),
            ("in the fall", "fall leaves", ""),
            ("with falling leaves", "falling leaves", ""),
        ],
        Season::Winter => &[
            ("in winter", "winter", "snowy"),
            ("in the winter", "wintertime", "winter"),
            ("covered in snow", "snowy", "snowy"),
        ],
    }
}
