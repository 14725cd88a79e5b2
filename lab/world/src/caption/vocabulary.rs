//! The words that captions use, and for others the nearest of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::{phrases, places, skies};
use crate::labels::{Action, Colour, Place, Relation, Season, Size, Texture, Time, Weather};
use crate::things::Thing;

/// Words that look or mean alike and cannot be drawn, after the nearest that can: `known: word, word`, a line each.
pub(crate) const NEAR: &str = include_str!("../../data/near.txt");

static WORDS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(collect);

/// Every word that captions use, but for slips of the finger.
pub fn words() -> &'static BTreeSet<&'static str> {
    &WORDS
}

/// The known word that is nearest to an unknown one: of the same meaning, of the same kind, or spelled nearly alike; none
/// where no word is near, or where it is known.
pub fn nearest_word(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    if WORDS.contains(word.as_str()) {
        return None;
    }
    let near = NEAR.lines().filter(|line| !line.starts_with('#'));
    let near = near.filter_map(|line| line.split_once(':'));
    let by_meaning = |word: &str| {
        let mut found = near.clone();
        found.find_map(|(known, unknown)| {
            unknown.split(',').any(|one| one.trim() == word).then_some(known.trim())
        })
    };
    let singular = word.strip_suffix('s').unwrap_or(&word);
    by_meaning(&word)
        .or_else(|| by_meaning(singular))
        .or_else(|| clip::nearest_spelling(WORDS.iter().copied(), &word))
}

fn collect() -> BTreeSet<&'static str> {
    let mut texts: Vec<&'static str> = vec![
        "a an the one two three 2 3 some my group pair of and with there is are that in wearing dressed shirt t-shirt top",
        "dress gown flying swimming just emoji",
    ];
    for &thing in Thing::all() {
        let entry = thing.entry();
        let words = entry.words.iter().chain(&entry.kinds);
        texts.extend(words.flat_map(|(singular, plural)| [singular.as_str(), plural.as_str()]));
    }
    for list in [phrases::OF_IMAGES, phrases::OF_ICONS, phrases::STYLES, phrases::PRAISE] {
        texts.extend(list);
    }
    texts.extend(phrases::BESIDE.iter().chain(phrases::TOGETHER));
    let each = |texts: &mut Vec<&'static str>, list: &'static [&'static str]| texts.extend(list);
    Relation::ALL.iter().for_each(|&value| each(&mut texts, phrases::relation(value)));
    Size::ALL.iter().for_each(|&value| each(&mut texts, phrases::size(value)));
    Colour::ALL.iter().for_each(|&value| each(&mut texts, phrases::colour(value)));
    for &value in Texture::ALL {
        each(&mut texts, phrases::texture(value));
        each(&mut texts, phrases::with_texture(value));
    }
    for &value in Action::ALL {
        each(&mut texts, phrases::participles(value));
        each(&mut texts, phrases::doing(value));
    }
    for &value in Place::ALL {
        each(&mut texts, places::nouns(value));
        places::adverbials(value).for_each(|list| each(&mut texts, list));
    }
    let mut skies = Vec::new();
    Time::ALL.iter().for_each(|&value| skies.extend(skies::of_time(value)));
    Season::ALL.iter().for_each(|&value| skies.extend(skies::of_season(value)));
    for &weather in Weather::ALL {
        Time::ALL.iter().for_each(|&time| skies.extend(skies::of_weather(weather, time)));
    }
    texts.extend(skies.into_iter().flat_map(|&(whole, bare, adjective)| [whole, bare, adjective]));
    let words = texts.into_iter().flat_map(|text| text.split([' ', ',', '%']));
    words.filter(|word| !word.is_empty()).collect()
}
