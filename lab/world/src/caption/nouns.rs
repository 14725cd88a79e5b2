//! Phrases for things: number, size, pattern, colour, noun and action.

use noise::Generator;

use super::mentions::{Count, FigureMention, Mentions, RelationMention};
use super::phrases;
use super::plan::Plan;
use crate::chance::Chance;
use crate::inflection::with_article;
use crate::labels::{Action, Colour, Figure, Labels, Relation, Size};
use crate::things::{Home, Thing};

/// All things of a scene as one phrase, and what it mentions.
pub(super) fn subject(labels: &Labels, plan: &Plan, g: &mut Generator) -> (String, Mentions) {
    let mut mentioned = Mentions::default();
    let mut texts = Vec::new();
    for (index, figure) in labels.figures.iter().enumerate() {
        let size = (index == 0 && plan.size).then_some(labels.size);
        let (text, mention) = noun_phrase(figure, index, size, plan, g);
        texts.push(text);
        mentioned.figures.push(mention);
    }
    mentioned.size = Some(labels.size).filter(|_| plan.size && !labels.figures.is_empty());
    let text = match (texts.as_slice(), labels.relation) {
        ([first, second], Some(relation)) => {
            let (words, mention) = relation_words(relation, plan, g);
            mentioned.relation = mention;
            match words {
                "," => format!("{first}, {second}"),
                words => format!("{first} {words} {second}"),
            }
        }
        ([first, second, third], _) => match g.chance(0.7) {
            true => format!("{first}, {second} and {third}"),
            false => format!("{first}, {second}, {third}"),
        },
        (texts, _) => texts.join(" and "),
    };
    (text, mentioned)
}

/// The words between two things.
fn relation_words(
    relation: Relation,
    plan: &Plan,
    g: &mut Generator,
) -> (&'static str, Option<RelationMention>) {
    if plan.relation {
        return (g.pick(phrases::relation(relation)), Some(RelationMention::Exactly(relation)));
    }
    match relation.is_beside() && g.chance(0.5) {
        true => (g.pick(phrases::BESIDE), Some(RelationMention::Beside)),
        false => (g.pick(phrases::TOGETHER), None),
    }
}

/// One figure, such as "two small striped red cats sleeping".
fn noun_phrase(
    figure: &Figure,
    index: usize,
    size: Option<Size>,
    plan: &Plan,
    g: &mut Generator,
) -> (String, FigureMention) {
    let thing = figure.thing;
    let (colour, texture, action) = (
        figure.colour.filter(|_| plan.colours[index]),
        figure.texture.filter(|_| plan.texture),
        figure.action.filter(|_| plan.actions[index]),
    );
    let (singular, plural) = noun(thing, plan, g);
    let several = figure.count > 1;
    let noun = if several { plural } else { singular };
    let person = thing.home() == Home::Person;
    let mut before: Vec<&str> = Vec::new();
    let mut after: Vec<String> = Vec::new();
    if let Some(size) = size {
        before.push(g.pick(phrases::size(size)));
    }
    if g.chance(0.06) {
        before.push(g.pick(phrases::PRAISE));
    }
    match texture {
        Some(texture) if g.chance(0.75) => before.push(g.pick(phrases::texture(texture))),
        Some(texture) => after.push(g.pick(phrases::with_texture(texture)).to_owned()),
        None => {}
    }
    match colour {
        Some(colour) if person => after.push(clothes(colour, figure, g)),
        Some(colour) if after.is_empty() && g.chance(0.03) && !several => {
            after.push(format!("that is {}", colour_word(colour, g)));
        }
        Some(colour) => before.push(colour_word(colour, g)),
        None => {}
    }
    match action {
        Some(action) => {
            let participles = phrases::participles(action);
            match !participles.is_empty() && g.chance(0.35) {
                true => before.push(g.pick(participles)),
                false => after.push(g.pick(phrases::doing(action)).to_owned()),
            }
        }
        None if g.chance(0.08) => {
            if let Some(word) = always(thing, figure) {
                after.push(word.to_owned());
            }
        }
        None => {}
    }
    before.push(noun);
    let phrase = before.join(" ");
    let (phrase, count) = match several {
        true => counted(&phrase, figure.count, plan, g),
        false => (determined(phrase, singular == plural, thing, g), Count::Exactly(1)),
    };
    let text = [vec![phrase], after].concat().join(" ");
    let mention = FigureMention { thing, word: singular, colour, texture, count, action };
    (text, mention)
}

/// The singular and plural of a word for the thing: the usual one, a synonym, or what it is one of.
fn noun(thing: Thing, plan: &Plan, g: &mut Generator) -> (&'static str, &'static str) {
    let entry = thing.entry();
    let share = g.uniform();
    let list = match share {
        share if share < 0.025 && !plan.exact && !entry.kinds.is_empty() => &entry.kinds,
        share if share < 0.62 => return (&entry.words[0].0, &entry.words[0].1),
        _ => &entry.words,
    };
    let index = g.below(list.len() as u64) as usize;
    (&list[index].0, &list[index].1)
}

/// One of a kind with its article, or without.
fn determined(phrase: String, uncountable: bool, thing: Thing, g: &mut Generator) -> String {
    let animal = matches!(thing.home(), Home::Land | Home::Fish | Home::Bird);
    let unique = matches!(thing.name(), "sun" | "moon");
    match g.uniform() {
        share if uncountable && !animal => match share {
            share if share < 0.12 => format!("the {phrase}"),
            share if share < 0.3 => format!("some {phrase}"),
            _ => phrase,
        },
        share if unique && share < 0.5 => format!("the {phrase}"),
        share if share < 0.36 => phrase,
        share if share < 0.41 => format!("the {phrase}"),
        share if share < 0.44 => format!("one {phrase}"),
        share if share < 0.45 => format!("my {phrase}"),
        _ => with_article(&phrase),
    }
}

/// Several of a kind with their number, or without.
fn counted(phrase: &str, count: u8, plan: &Plan, g: &mut Generator) -> (String, Count) {
    let (word, digit) = if count == 2 { ("two", "2") } else { ("three", "3") };
    let exactly = Count::Exactly(count);
    match g.uniform() {
        share if share < 0.58 || plan.exact => (format!("{word} {phrase}"), exactly),
        share if share < 0.76 => (format!("{digit} {phrase}"), exactly),
        share if share < 0.81 && count == 2 => (format!("a pair of {phrase}"), exactly),
        share if share < 0.81 => (format!("a group of {phrase}"), Count::Several),
        share if share < 0.85 => (format!("some {phrase}"), Count::Several),
        _ => (phrase.to_owned(), Count::Several),
    }
}

/// The clothes of a person in a colour.
fn clothes(colour: Colour, figure: &Figure, g: &mut Generator) -> String {
    let word = colour_word(colour, g);
    let dress = figure.thing.is_female() && figure.action == Some(Action::Dancing);
    let garments: &[&str] = if dress { &["dress", "gown"] } else { &["shirt", "t-shirt", "top"] };
    let garment = g.pick(garments);
    match g.below(6) {
        0 => format!("in {word}"),
        1 => format!("wearing {word}"),
        2 => format!("wearing {}", with_article(&format!("{word} {garment}"))),
        3 => format!("with {}", with_article(&format!("{word} {garment}"))),
        4 if figure.count == 1 => format!("dressed in {word}"),
        _ => format!("in {}", with_article(&format!("{word} {garment}"))),
    }
}

fn colour_word(colour: Colour, g: &mut Generator) -> &'static str {
    let words = phrases::colour(colour);
    if g.chance(0.8) { words[0] } else { g.pick(words) }
}

/// A word for what a thing does at all times.
fn always(thing: Thing, figure: &Figure) -> Option<&'static str> {
    match thing.home() {
        Home::Flyer if figure.action.is_none() => Some("flying"),
        Home::Fish => Some("swimming"),
        _ => None,
    }
}
