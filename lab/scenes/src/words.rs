//! Synonyms of the labels, the usual one first, and templates of captions.

use crate::labels::{Ground, Place, Relation, Sky, Style};

pub(crate) fn place(place: Place) -> &'static [&'static str] {
    match place {
        Place::Left => &["on the left", "on the left side"],
        Place::Middle => &["in the middle", "in the centre"],
        Place::Right => &["on the right", "on the right side"],
    }
}

pub(crate) fn sky(sky: Sky) -> &'static [&'static str] {
    match sky {
        Sky::Clear => {
            &["on a clear day", "under a clear sky", "on a sunny day", "under a blue sky"]
        }
        Sky::Sunset => &["at sunset", "at dusk", "in the evening", "under a sunset sky"],
        Sky::Night => &["at night", "under the stars", "in the dark", "under a starry sky"],
        Sky::Rain => &["in the rain", "on a rainy day", "under rain clouds", "under a grey sky"],
    }
}

pub(crate) fn sky_noun(sky: Sky) -> &'static [&'static str] {
    match sky {
        Sky::Clear => &["a clear sky", "a blue sky", "a sunny sky"],
        Sky::Sunset => &["a sunset sky", "an evening sky"],
        Sky::Night => &["a night sky", "a starry sky"],
        Sky::Rain => &["a rainy sky", "a grey sky", "rain clouds"],
    }
}

/// Where the thing is: `on` the ground, or else over it.
pub(crate) fn ground(ground: Ground, on: bool) -> &'static [&'static str] {
    match (ground, on) {
        (Ground::Grass, true) => &["on the grass", "in a meadow", "on a grassy field"],
        (Ground::Sand, true) => &["on the sand", "on a beach", "on a sandy beach"],
        (Ground::Snow, true) => &["in the snow", "on the snow", "on a snowy field"],
        (Ground::Sea, true) => &["on the sea", "on the water", "at sea"],
        (Ground::Grass, false) => &["over the grass", "over a meadow", "over a grassy field"],
        (Ground::Sand, false) => &["over the sand", "over a beach", "over a sandy beach"],
        (Ground::Snow, false) => &["over the snow", "over a snowy field"],
        (Ground::Sea, false) => &["over the sea", "over the water"],
    }
}

pub(crate) fn ground_noun(ground: Ground) -> &'static [&'static str] {
    match ground {
        Ground::Grass => &["grass", "a meadow", "a grassy field"],
        Ground::Sand => &["sand", "a beach", "a sandy beach"],
        Ground::Snow => &["snow", "a snowy field"],
        Ground::Sea => &["the sea", "water"],
    }
}

pub(crate) fn style_of(style: Style) -> &'static [&'static str] {
    match style {
        Style::Flat => &["a flat picture of", "a flat drawing of"],
        Style::Outlined => &["an outlined picture of", "an ink drawing of"],
        Style::Paper => &["a paper cut-out of", "a paper collage of"],
    }
}

pub(crate) fn style_in(style: Style) -> &'static [&'static str] {
    match style {
        Style::Flat => &["in flat colours", "without outlines"],
        Style::Outlined => &["with dark outlines", "drawn in ink"],
        Style::Paper => &["cut from paper", "made of paper"],
    }
}

pub(crate) fn relation(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::LeftOf => &["left of", "to the left of"],
        Relation::RightOf => &["right of", "to the right of"],
        Relation::Above => &["above", "higher than"],
        Relation::Below => &["below", "under"],
    }
}

/// Templates of captions of every split. A slot in braces is filled; `the` and `bare`
/// replace its article.
pub(crate) const TEMPLATES: &[&str] = &[
    // The thing alone, in its colour and size.
    "{thing}",
    "{colour thing}",
    "{colour thing}",
    "{bare colour thing}",
    "{size thing}",
    "{size colour thing}",
    "{bare size colour thing}",
    "a picture of {colour thing}",
    "a drawing of {thing}",
    "a drawing of {colour thing}",
    "here is {thing}",
    "there is {colour thing}",
    "{the colour thing} is {size}",
    "{the thing} is {colour}",
    // Its place.
    "{thing} {place}",
    "{colour thing} {place}",
    "{size thing} {place}",
    "{size colour thing} {place}",
    "{the colour thing} is {place}",
    "{place} is {colour thing}",
    "{place} there is {size colour thing}",
    "look, {thing} {place}",
    // Its ground.
    "{thing} {ground}",
    "{colour thing} {ground}",
    "{bare colour thing} {ground}",
    "a picture of {size colour thing} {ground}",
    "{ground} there is {colour thing}",
    "{place}, {colour thing} {ground}",
    // Its sky.
    "{thing} {sky}",
    "{colour thing} {sky}",
    "{sky}, {size colour thing}",
    "{colour thing} and {sky noun}",
    "look, {colour thing} {sky}",
    "{colour thing} {place} {sky}",
    // Both.
    "{thing} {ground} {sky}",
    "{colour thing} {ground} {sky}",
    "{colour thing} {ground} {sky}",
    "{bare colour thing} {ground}, {sky noun}",
    "{sky} there is {colour thing} {ground}",
    "{size colour thing} {ground} {sky}",
    "{ground noun}, {sky noun} and {colour thing}",
    "a drawing of {colour thing} with {sky noun} and {ground noun}",
    "{sky noun} over {ground noun}",
    // Everything.
    "{colour thing} {place}, {ground} {sky}",
    "{size colour thing} {place}, {ground} {sky}",
    "{sky}, {colour thing} is {place} {ground}",
    "{colour thing} {place} with {ground noun} and {sky noun}",
    "here is {size colour thing} {ground}, {place}, {sky}",
    // The style.
    "{style of} {thing}",
    "{style of} {colour thing}",
    "{colour thing}, {style in}",
    "{style of} {size colour thing} {ground}",
    "{style of} {colour thing} {ground} {sky}",
    "{colour thing} {sky}, {style in}",
];

/// Templates of captions of two things.
pub(crate) const PAIR_TEMPLATES: &[&str] = &[
    "{thing} {relation} {second}",
    "{colour thing} {relation} {second}",
    "{colour thing} {relation} {colour second}",
    "{colour thing} {relation} {colour second}",
    "a picture of {colour thing} {relation} {colour second}",
    "{the colour thing} is {relation} {the colour second}",
    "{colour thing} {relation} {colour second} {sky}",
    "{ground}, {colour thing} {relation} {colour second}",
    "{style of} {colour thing} {relation} {colour second}",
];

/// Templates that only evaluation uses; every word of theirs is one that training knows.
pub(crate) const RESERVED: &[&str] = &[
    "here is a picture of {colour thing}",
    "look, {place} there is {colour thing}",
    "a drawing of {colour thing} {ground}",
    "{bare colour thing} {sky}",
    "{place} is {colour thing} {ground} {sky}",
    "{sky}, look, {colour thing} {ground}",
];

/// Templates of a style that only evaluation uses, where it asks for one.
pub(crate) const RESERVED_STYLES: &[&str] =
    &["look, {colour thing} {style in}", "here is {style of} {colour thing}"];

/// Templates of two things that only evaluation uses.
pub(crate) const RESERVED_PAIRS: &[&str] = &["there is {colour thing} {relation} {colour second}"];
