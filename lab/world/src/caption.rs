//! Captions as people type them: whole phrases and fragments that mention part of a scene's labels.

mod mentions;
mod nouns;
mod phrases;
mod plan;
mod spelling;
mod vocabulary;

use noise::Generator;

use crate::chance::Chance;
use crate::inflection::with_article;
use crate::labels::{Labels, Place};
use crate::scene::Scene;
use crate::splits::Split;
use phrases::Phrase;
use plan::Plan;

pub use mentions::{Count, FigureMention, Mentions, RelationMention};
pub use plan::Aspect;
pub use vocabulary::{nearest_word, words};

/// A caption and the labels that it mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// The words, in lower case and without a full stop; at most [`Caption::MOST_WORDS`] of them.
    pub text: String,
    /// The labels that the words name.
    pub mentioned: Mentions,
}

/// The parts of a caption, before they are put in an order.
struct Parts {
    /// The things, as "a red cat" or "two dogs and a cat".
    subject: String,
    /// The place, as "on the beach".
    place: Option<String>,
    /// The place as a noun alone, as "beach".
    place_noun: Option<&'static str>,
    /// Time, weather and season: "at night" and "night".
    sky: Vec<Phrase>,
}

impl Caption {
    /// The most words that a caption has.
    pub const MOST_WORDS: usize = 20;

    /// A caption of a scene that mentions these aspects at least, where the scene has them.
    pub(crate) fn write(scene: &Scene, aspects: &[Aspect], g: &mut Generator) -> Self {
        let labels = scene.labels();
        let plan = Plan::draw(labels, aspects, g);
        let (subject, mut mentioned) = nouns::subject(labels, &plan, g);
        mentioned.place = labels_place(labels, &plan);
        mentioned.time = labels.time.filter(|_| plan.time);
        mentioned.weather = labels.weather.filter(|_| plan.weather);
        mentioned.season = labels.season.filter(|_| plan.season);
        let text = match labels.figures.is_empty() {
            true => write_place(labels, &plan, g),
            false => write_things(scene, subject, &plan, g),
        };
        let text = styled(text, labels, &plan, g);
        let text = match plan.misspelled && matches!(scene.split(), Split::Training) {
            true => spelling::misspell(&text, g),
            false => text,
        };
        Self { text, mentioned }
    }
}

impl Scene {
    /// The caption that goes with the scene wherever one is enough.
    pub fn own_caption(&self) -> Caption {
        // No split's scenes use generators below 2^30, so captions can.
        self.caption(&mut Generator::new(self.seed()))
    }

    /// A caption that mentions part of the labels.
    pub fn caption(&self, generator: &mut Generator) -> Caption {
        Caption::write(self, &[], generator)
    }

    /// A caption that mentions these aspects at least, where the scene has them.
    pub fn caption_about(&self, aspects: &[Aspect], generator: &mut Generator) -> Caption {
        Caption::write(self, aspects, generator)
    }
}

fn labels_place(labels: &Labels, plan: &Plan) -> Option<Place> {
    (plan.place || labels.figures.is_empty()).then_some(labels.place)
}

/// Things, perhaps at a place: "a cat on the beach at night".
fn write_things(scene: &Scene, subject: String, plan: &Plan, g: &mut Generator) -> String {
    let labels = scene.labels();
    let mut sky = phrases::sky(labels, plan, g);
    let mut adjective = None;
    if plan.place && labels.place.has_sky() && sky.len() > 1 - usize::from(g.chance(0.25)) {
        adjective = take_adjective(&mut sky);
    }
    let afloat = scene.is_in_water();
    let place = plan.place.then(|| phrases::place(labels, afloat, adjective, g));
    let noun = plan.place.then(|| phrases::place_noun(labels.place, g));
    let parts = Parts { subject, place, place_noun: noun, sky };
    match scene.split() {
        Split::Evaluation(_) => parts.reserved(g),
        _ => parts.usual(labels, adjective, g),
    }
}

/// A place alone: "beach at sunset".
fn write_place(labels: &Labels, plan: &Plan, g: &mut Generator) -> String {
    let mut sky = phrases::sky(labels, plan, g);
    let noun = phrases::place_noun(labels.place, g);
    let adjective = if g.chance(0.6) { take_adjective(&mut sky) } else { None };
    let noun = match adjective {
        Some(adjective) => format!("{adjective} {noun}"),
        None => noun.to_owned(),
    };
    let singular = !noun.ends_with('s') && !phrases::is_mass(&noun);
    let noun = match g.uniform() {
        share if share < 0.25 && singular => with_article(&noun),
        share if share < 0.35 => format!("the {noun}"),
        _ => noun,
    };
    let keywords = g.chance(0.25);
    let rest = sky.iter().map(|phrase| if keywords { phrase.bare } else { phrase.whole });
    let separator = if keywords { ", " } else { " " };
    [vec![noun.as_str()], rest.collect()].concat().join(separator)
}

/// The adjective of the first phrase that has one, which is taken away.
fn take_adjective(sky: &mut Vec<Phrase>) -> Option<&'static str> {
    let index = sky.iter().position(|phrase| phrase.adjective.is_some())?;
    sky.remove(index).adjective
}

impl Parts {
    /// The forms of training captions.
    fn usual(self, labels: &Labels, adjective: Option<&str>, g: &mut Generator) -> String {
        let Self { subject, place, place_noun, sky } = self;
        let whole: Vec<&str> = sky.iter().map(|phrase| phrase.whole).collect();
        let bare: Vec<&str> = sky.iter().map(|phrase| phrase.bare).collect();
        let place = place.as_deref();
        let spacious = !matches!(labels.place, Place::Plain | Place::Table | Place::Sky);
        match (g.uniform(), place_noun) {
            (share, Some(noun)) if share < 0.14 => {
                let separator = if g.chance(0.6) { ", " } else { " " };
                let noun = adjective.map_or(noun.to_owned(), |word| format!("{word} {noun}"));
                [vec![bare_subject(&subject), noun.as_str()], bare].concat().join(separator)
            }
            (share, Some(noun)) if share < 0.20 && spacious => {
                let noun = adjective.map_or(noun.to_owned(), |word| format!("{word} {noun}"));
                let noun = match noun.ends_with('s') || phrases::is_mass(&noun) || g.chance(0.3) {
                    true => noun,
                    false => with_article(&noun),
                };
                [vec![noun.as_str(), "with", subject.as_str()], whole].concat().join(" ")
            }
            (share, Some(noun)) if share < 0.24 && sky.is_empty() && adjective.is_none() => {
                format!("{} {noun}", bare_subject(&subject))
            }
            (share, _) if share < 0.30 => {
                let there = if subject.starts_with(|c: char| c.is_ascii_digit())
                    || ["two", "three", "some"].iter().any(|word| subject.starts_with(word))
                {
                    "there are"
                } else {
                    "there is"
                };
                [vec![there, subject.as_str()], place.into_iter().collect(), whole].concat().join(" ")
            }
            (share, _) if share < 0.38 && !whole.is_empty() => {
                let first = whole[0];
                let rest = whole[1..].to_vec();
                let text = [vec![subject.as_str()], place.into_iter().collect(), rest].concat();
                format!("{first}, {}", text.join(" "))
            }
            (share, _) if share < 0.44 && !bare.is_empty() => {
                let text = [vec![subject.as_str()], place.into_iter().collect()].concat().join(" ");
                [vec![text.as_str()], bare].concat().join(", ")
            }
            _ => [vec![subject.as_str()], place.into_iter().collect(), whole].concat().join(" "),
        }
    }

    /// The forms that only evaluation uses; every word of theirs is one that training knows.
    fn reserved(self, g: &mut Generator) -> String {
        let Self { subject, place, sky, .. } = self;
        let whole: Vec<&str> = sky.iter().map(|phrase| phrase.whole).collect();
        let Some(place) = place else {
            return match whole.is_empty() {
                true => format!("just {subject}"),
                false => [vec!["just", subject.as_str()], whole].concat().join(" "),
            };
        };
        match g.below(3) {
            0 => [vec![place.as_str(), subject.as_str()], whole].concat().join(", "),
            1 => {
                let there = format!("{place} there is {subject}");
                [vec![there.as_str()], whole].concat().join(" ")
            }
            _ => [vec![subject.as_str(), place.as_str()], whole].concat().join(", "),
        }
    }
}

/// The subject without its article.
fn bare_subject(subject: &str) -> &str {
    let articles = ["a ", "an ", "the ", "one "];
    articles.iter().find_map(|article| subject.strip_prefix(article)).unwrap_or(subject)
}

/// The text with words of style, which say nothing about the image.
fn styled(text: String, labels: &Labels, plan: &Plan, g: &mut Generator) -> String {
    let words = |text: &str| text.split(' ').count();
    let mut text = text;
    let alone = labels.place == Place::Plain && labels.figures.len() == 1 && !plan.place;
    let prefixes = match alone && g.chance(0.4) {
        true => phrases::OF_ICONS,
        false => phrases::OF_IMAGES,
    };
    let (prefix, suffix) = (g.pick(prefixes), g.pick(phrases::STYLES));
    if plan.prefixed && words(&text) + words(prefix) <= Caption::MOST_WORDS {
        text = match alone && prefix == "emoji" {
            true => format!("{} emoji", bare_subject(&text)),
            false => format!("{prefix} {text}"),
        };
    }
    if plan.suffixed && words(&text) + words(suffix) <= Caption::MOST_WORDS {
        text = format!("{text}, {suffix}");
    }
    text
}
