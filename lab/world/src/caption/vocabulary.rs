//! The words that captions use, and for others the nearest of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::{phrases, places, skies};
use crate::labels::{Action, Colour, Place, Relation, Season, Size, Texture, Time, Weather};
use crate::things::Thing;

/// Words that look or mean alike and cannot be drawn, with the nearest that can: `word known`, a line each.
const NEAR: &str = include_str!("../../data/near.txt");

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
    by_meaning(&word).or_else(|| by_meaning(singular)).or_else(|| nearest_spelling(&word))
}

/// The word with the fewest letters changed, where those are few.
fn nearest_spelling(word: &str) -> Option<&'static str> {
    let most = match word.chars().count() {
        0..=3 => return None,
        4..=6 => 1,
        _ => 2,
    };
    let of_length = |known: &&&str| known.len() >= 4 && known.len().abs_diff(word.len()) <= most;
    let distances = WORDS.iter().filter(of_length).map(|known| (distance(word, known), *known));
    distances.min().filter(|(distance, _)| *distance <= most).map(|(_, known)| known)
}

/// The number of letters to insert, leave out, replace or exchange with the next one that turns a word into another.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let same = usize::from(one[i - 1] != other[j - 1]);
                    let mut least =
                        (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
                    if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                        least = least.min(rows[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    rows[one.len()][other.len()]
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
