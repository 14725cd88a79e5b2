//! Captions: templates with synonyms that mention part of a scene's labels.

use noise::Generator;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::labels::{Colour, Ground, Labels, Place, Relation, Second, Size, Sky, Style, Thing};
use crate::words;

/// A caption and the labels that it mentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// The words, in lower case and without a full stop; at most 22 of them.
    pub text: String,
    /// The labels that the words name.
    pub mentioned: Mentions,
}

/// The labels that a caption names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mentions {
    /// The thing.
    pub thing: Option<Thing>,
    /// The thing's colour.
    pub colour: Option<Colour>,
    /// The thing's size.
    pub size: Option<Size>,
    /// The thing's place.
    pub place: Option<Place>,
    /// The sky.
    pub sky: Option<Sky>,
    /// The ground.
    pub ground: Option<Ground>,
    /// The drawing style.
    pub style: Option<Style>,
    /// The second thing.
    pub second: Option<SecondMention>,
}

/// The labels that a caption names of a second thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecondMention {
    /// The thing.
    pub thing: Thing,
    /// Its colour.
    pub colour: Option<Colour>,
    /// Where the first thing is, seen from it.
    pub relation: Relation,
}

/// A label that a caption can mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The thing.
    Thing,
    /// The thing's colour.
    Colour,
    /// The thing's size.
    Size,
    /// The thing's place.
    Place,
    /// The sky.
    Sky,
    /// The ground.
    Ground,
    /// The drawing style.
    Style,
    /// The second thing and the relation to it.
    Second,
    /// The second thing's colour.
    SecondColour,
}

/// The scene that a caption is written about.
pub(crate) struct Context {
    pub labels: Labels,
    /// Whether only the reserved templates are used.
    pub reserved: bool,
    /// Whether the thing is on the ground rather than over it.
    pub on: bool,
}

impl Aspect {
    /// The sets of aspects, each sorted, that the captions of one thing can mention: in
    /// evaluation scenes (`reserved` true) or in all others.
    pub fn offered(reserved: bool) -> Vec<Vec<Self>> {
        let list = if reserved {
            [words::RESERVED, words::RESERVED_STYLES].concat()
        } else {
            words::TEMPLATES.to_vec()
        };
        sets(&list)
    }

    /// The sets of aspects, each sorted, that captions of two things can mention in training.
    pub fn offered_of_two() -> Vec<Vec<Self>> {
        sets(words::PAIR_TEMPLATES)
    }
}

/// The aspects that templates mention, each set once.
fn sets(templates: &[&'static str]) -> Vec<Vec<Aspect>> {
    let mut sets: Vec<_> = templates.iter().copied().map(aspects).collect();
    sets.sort();
    sets.dedup();
    sets
}

impl Caption {
    pub(crate) fn write(context: &Context, generator: &mut Generator) -> Self {
        let pair = context.labels.second.is_some() && generator.chance(0.8);
        let template = generator.pick(templates(context.reserved, pair));
        fill(template, context, generator)
    }

    pub(crate) fn write_about(
        context: &Context,
        mentioned: &[Aspect],
        generator: &mut Generator,
    ) -> Option<Self> {
        let mut mentioned = mentioned.to_vec();
        mentioned.sort();
        mentioned.dedup();
        let pair = mentioned.contains(&Aspect::Second);
        if pair && context.labels.second.is_none() {
            return None;
        }
        let styles = match context.reserved {
            true => words::RESERVED_STYLES,
            false => &[],
        };
        let fitting = templates(context.reserved, pair).iter().chain(styles).copied();
        let fitting: Vec<_> = fitting.filter(|template| aspects(template) == mentioned).collect();
        (!fitting.is_empty()).then(|| fill(generator.pick(&fitting), context, generator))
    }
}

impl Mentions {
    /// Whether the caption is true of an image with these labels, in the widest sense: a caption of
    /// one thing may mean the second thing too (which is small, and at no named place), and a
    /// relation may start at either end. Contrastive training masks such an image, a false
    /// negative, from the caption's negatives.
    pub fn describes(&self, labels: &Labels) -> bool {
        let scenery = fits(self.sky, labels.sky)
            && fits(self.ground, labels.ground)
            && fits(self.style, labels.style);
        scenery && (self.describes_first(labels) || self.describes_second(labels))
    }

    fn describes_first(&self, labels: &Labels) -> bool {
        let second =
            self.second.is_none_or(|own| labels.second.is_some_and(|second| own.fits(second)));
        second
            && fits(self.thing, labels.thing)
            && fits(self.colour, labels.colour)
            && fits(self.size, labels.size)
            && fits(self.place, labels.place)
    }

    /// Whether the caption is true of the image with the second thing in the place of the first.
    fn describes_second(&self, labels: &Labels) -> bool {
        let Some(second) = labels.second else {
            return false;
        };
        let first = Second {
            thing: labels.thing,
            colour: labels.colour,
            relation: second.relation.inverse(),
        };
        self.second.is_none_or(|own| own.fits(first))
            && fits(self.thing, second.thing)
            && fits(self.colour, second.colour)
            && fits(self.size, Size::Small)
    }
}

impl SecondMention {
    fn fits(&self, second: Second) -> bool {
        self.thing == second.thing
            && self.relation == second.relation
            && fits(self.colour, second.colour)
    }
}

/// Whether a label that may be mentioned is the image's.
fn fits<T: PartialEq>(mentioned: Option<T>, label: T) -> bool {
    mentioned.is_none_or(|mentioned| mentioned == label)
}

fn templates(reserved: bool, pair: bool) -> &'static [&'static str] {
    match (reserved, pair) {
        (false, false) => words::TEMPLATES,
        (false, true) => words::PAIR_TEMPLATES,
        (true, false) => words::RESERVED,
        (true, true) => words::RESERVED_PAIRS,
    }
}

/// The template as text and slots by turns, text first.
fn parts(template: &'static str) -> impl Iterator<Item = (bool, &'static str)> {
    let pieces = template.split(['{', '}']).enumerate();
    pieces.map(|(index, piece)| (index % 2 == 1, piece))
}

/// The aspects that a template mentions, sorted.
fn aspects(template: &'static str) -> Vec<Aspect> {
    let slots = parts(template).filter(|&(slot, _)| slot).map(|(_, slot)| slot);
    let mut found: Vec<_> = slots.flat_map(slot_aspects).collect();
    found.sort();
    found.dedup();
    found
}

fn slot_aspects(slot: &'static str) -> Vec<Aspect> {
    let second = slot.ends_with("second");
    let words = slot.split(' ').filter_map(move |word| match word {
        "thing" => Some(Aspect::Thing),
        "colour" if second => Some(Aspect::SecondColour),
        "colour" => Some(Aspect::Colour),
        "size" => Some(Aspect::Size),
        "place" => Some(Aspect::Place),
        "sky" => Some(Aspect::Sky),
        "ground" => Some(Aspect::Ground),
        "style" => Some(Aspect::Style),
        "second" => Some(Aspect::Second),
        _ => None,
    });
    words.collect()
}

fn fill(template: &'static str, context: &Context, generator: &mut Generator) -> Caption {
    let mut text = String::new();
    for (slot, piece) in parts(template) {
        if slot {
            text.push_str(&fill_slot(piece, context, generator));
        } else {
            text.push_str(piece);
        }
    }
    let labels = &context.labels;
    let found = aspects(template);
    let says = |aspect| found.contains(&aspect);
    let second = labels.second.filter(|_| says(Aspect::Second));
    let mentioned = Mentions {
        thing: says(Aspect::Thing).then_some(labels.thing),
        colour: says(Aspect::Colour).then_some(labels.colour),
        size: says(Aspect::Size).then_some(labels.size),
        place: says(Aspect::Place).then_some(labels.place),
        sky: says(Aspect::Sky).then_some(labels.sky),
        ground: says(Aspect::Ground).then_some(labels.ground),
        style: says(Aspect::Style).then_some(labels.style),
        second: second.map(|second| SecondMention {
            thing: second.thing,
            colour: says(Aspect::SecondColour).then_some(second.colour),
            relation: second.relation,
        }),
    };
    Caption { text, mentioned }
}

fn fill_slot(slot: &str, context: &Context, g: &mut Generator) -> String {
    let labels = &context.labels;
    let scenery = match slot {
        "place" => words::place(labels.place),
        "sky" => words::sky(labels.sky),
        "sky noun" => words::sky_noun(labels.sky),
        "ground" => words::ground(labels.ground, context.on),
        "ground noun" => words::ground_noun(labels.ground),
        "style of" => words::style_of(labels.style),
        "style in" => words::style_in(labels.style),
        "relation" => words::relation(second(labels).relation),
        _ => return noun_phrase(slot, labels, g),
    };
    g.pick(scenery).to_owned()
}

/// Such as "a small red house" for `size colour thing`.
fn noun_phrase(slot: &str, labels: &Labels, g: &mut Generator) -> String {
    let of_second = slot.ends_with("second");
    let mut article = true;
    let mut phrase: Vec<&str> = Vec::new();
    for word in slot.split(' ') {
        match word {
            "bare" => article = false,
            "the" => {
                article = false;
                phrase.push("the");
            }
            "size" => phrase.push(g.pick(labels.size.words())),
            "colour" => {
                let colour = if of_second { second(labels).colour } else { labels.colour };
                phrase.push(usual(colour.words(), g));
            }
            "thing" => phrase.push(usual(labels.thing.words(), g)),
            "second" => phrase.push(usual(second(labels).thing.words(), g)),
            _ => unreachable!("templates have no slot {slot}"),
        }
    }
    let phrase = phrase.join(" ");
    // "the house is red": an adjective alone takes no article.
    let adjective = !of_second && !slot.ends_with("thing");
    match phrase.starts_with(['a', 'e', 'i', 'o', 'u']) {
        _ if adjective || !article => phrase,
        true => format!("an {phrase}"),
        false => format!("a {phrase}"),
    }
}

/// The usual word three times in four, else a synonym.
fn usual(synonyms: &[&'static str], g: &mut Generator) -> &'static str {
    if g.chance(0.75) { synonyms[0] } else { g.pick(synonyms) }
}

fn second(labels: &Labels) -> Second {
    labels.second.expect("templates of two things are for scenes of two things")
}
