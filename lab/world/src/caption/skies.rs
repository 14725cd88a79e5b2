//! Words of times, weathers and seasons.

use noise::Generator;

use super::plan::Plan;
use crate::chance::Chance;
use crate::labels::{Labels, Season, Time, Weather};

/// A time, a weather or a season in words.
pub(super) struct Phrase {
    /// A phrase like "at night".
    pub whole: &'static str,
    /// A noun or an adjective like "night".
    pub bare: &'static str,
    /// An adjective like "rainy".
    pub adjective: Option<&'static str>,
}

impl Phrase {
    /// Whether it is a noun that can be over a place: "sunset over the sea".
    pub(super) fn is_over(&self) -> bool {
        let nouns = [
            "sunset",
            "sunrise",
            "rainbow",
            "storm",
            "thunderstorm",
            "fog",
            "mist",
            "starry sky",
            "night sky",
            "blue sky",
            "cloudy sky",
            "clouds",
            "lightning",
            "moonlight",
        ];
        nouns.contains(&self.bare)
    }
}

/// The words for time, weather and season that the plan asks for, in any order.
pub(super) fn phrases(labels: &Labels, plan: &Plan, g: &mut Generator) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    if let Some(time) = labels.time.filter(|_| plan.time) {
        let clear = labels.weather == Some(Weather::Clear);
        let list = of_time(time);
        // The last two of the night are for stars and a moon.
        let count = if time == Time::Night && !clear { list.len() - 2 } else { list.len() };
        phrases.push(phrase(g.pick(&list[..count])));
    }
    if let (Some(weather), Some(time)) = (labels.weather.filter(|_| plan.weather), labels.time) {
        phrases.push(phrase(g.pick(of_weather(weather, time))));
    }
    if let Some(season) = labels.season.filter(|_| plan.season) {
        phrases.push(phrase(g.pick(of_season(season))));
    }
    g.shuffle(&mut phrases);
    phrases
}

/// Whole, bare and, unless empty, adjective.
type Words = (&'static str, &'static str, &'static str);

fn phrase((whole, bare, adjective): Words) -> Phrase {
    Phrase { whole, bare, adjective: (!adjective.is_empty()).then_some(adjective) }
}

pub(super) fn of_time(time: Time) -> &'static [Words] {
    match time {
        Time::Day => &[
            ("during the day", "day", ""),
            ("in the daytime", "daytime", ""),
            ("by day", "daylight", ""),
        ],
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

pub(super) fn of_weather(weather: Weather, time: Time) -> &'static [Words] {
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
        (Weather::Clear, Time::Sunset) => {
            &[("under a red sky", "red sky", ""), ("with the sun low", "low sun", "")]
        }
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
            ("under the rain", "rain falling", ""),
            ("in bad weather", "bad weather", ""),
        ],
        (Weather::Rain, _) => {
            &[("in the rain", "rain", "rainy"), ("while it rains", "raining", "")]
        }
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

pub(super) fn of_season(season: Season) -> &'static [Words] {
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
