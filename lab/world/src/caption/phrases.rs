//! Words of style, and of what things are and do, the usual ones first.

use crate::labels::{Action, Colour, Relation, Size, Texture};

/// Words before a caption that ask for an image.
pub(super) const OF_IMAGES: &[&str] = &[
    "a photo of",
    "photo of",
    "a picture of",
    "picture of",
    "an image of",
    "image of",
    "a drawing of",
    "drawing of",
    "an illustration of",
    "illustration of",
    "a painting of",
    "painting of",
    "a cartoon of",
    "cartoon",
    "a sketch of",
    "a photograph of",
    "an oil painting of",
    "a watercolor of",
    "a watercolour painting of",
    "3d render of",
    "clipart of",
    "draw",
    "draw me",
    "please draw",
    "show me",
    "make",
    "create",
    "i want",
    "can you draw",
    "generate",
    "a cartoon drawing of",
    "a close up of",
    "close-up of",
    "a portrait of",
    "here is",
    "this is",
    "look,",
    "just",
];

/// Words before a caption of one thing on a plain ground.
pub(super) const OF_ICONS: &[&str] = &[
    "emoji",
    "emoji of",
    "an emoji of",
    "icon of",
    "an icon of",
    "a sticker of",
    "clipart of",
    "a logo of",
    "vector art of",
    "a simple drawing of",
];

/// Words behind a caption.
pub(super) const STYLES: &[&str] = &[
    "digital art",
    "cartoon style",
    "cartoon",
    "flat style",
    "vector art",
    "illustration",
    "high quality",
    "4k",
    "hd",
    "realistic",
    "detailed",
    "minimalist",
    "flat design",
    "clipart",
    "simple",
    "colorful",
    "colourful",
    "children's book",
    "emoji style",
    "photo",
    "art",
];

/// Adjectives that say nothing that is drawn.
pub(super) const PRAISE: &[&str] = &[
    "cute",
    "beautiful",
    "happy",
    "lovely",
    "funny",
    "pretty",
    "nice",
    "old",
    "cool",
    "adorable",
    "single",
    "simple",
    "fluffy",
    "new",
    "fancy",
    "silly",
];

pub(super) const BESIDE: &[&str] = &["next to", "beside", "by", "near", "alongside"];

pub(super) const TOGETHER: &[&str] = &["and", "and", "with", ",", "&"];

pub(super) fn relation(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::LeftOf => &["to the left of", "left of", "on the left of", "on the left side of"],
        Relation::RightOf => {
            &["to the right of", "right of", "on the right of", "on the right side of"]
        }
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
        Action::Cycling => {
            &["riding a bike", "riding a bicycle", "on a bike", "on a bicycle", "cycling"]
        }
        Action::Surfing => &["surfing", "on a surfboard", "riding a wave"],
        Action::Skiing => &["skiing", "on skis"],
        Action::Meditating => &["meditating", "doing yoga", "sitting", "sitting down"],
    }
}
