//! Captions as people type them: whole phrases and fragments that mention part of a scene's labels.

mod mentions;
mod nouns;
mod phrases;
mod places;
mod plan;
mod skies;
mod spelling;
mod vocabulary;

use noise::Generator;

use crate::chance::Chance;
use crate::inflection::with_article;
use crate::labels::{Labels, Place};
use crate::scene::Scene;
use crate::splits::Split;
use plan::Plan;
use skies::Phrase;

pub use mentions::{Count, FigureMention, Mentions, RelationMention};
pub use plan::Aspect;
pub(crate) use vocabulary::NEAR;
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
        let plan = Plan::draw(scene.labels(), aspects, g);
        Self::write_within_bounds(scene, plan, g)
    }

    /// A caption as it is planned, with as much of the plan as there is room for.
    fn write_within_bounds(scene: &Scene, mut plan: Plan, g: &mut Generator) -> Self {
        loop {
            let caption = Self::planned(scene, &plan, g);
            if caption.text.split(' ').count() <= Self::MOST_WORDS || !plan.shorten() {
                return caption;
            }
        }
    }

    /// A caption as it is planned, of any length.
    fn planned(scene: &Scene, plan: &Plan, g: &mut Generator) -> Self {
        let labels = scene.labels();
        let (subject, mut mentioned) = nouns::subject(labels, plan, g);
        mentioned.place = labels_place(labels, plan);
        mentioned.time = labels.time.filter(|_| plan.time);
        mentioned.weather = labels.weather.filter(|_| plan.weather);
        mentioned.season = labels.season.filter(|_| plan.season);
        let text = match labels.figures.is_empty() {
            true => write_place(labels, plan, g),
            false => write_things(scene, subject, plan, g),
        };
        let text = styled(text, labels, plan, g);
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

    /// The same without a slip of the finger, for lists of words.
    pub fn own_caption_spelled(&self) -> Caption {
        let mut generator = Generator::new(self.seed());
        let plan = Plan::draw(self.labels(), &[], &mut generator);
        Caption::write_within_bounds(self, Plan { misspelled: false, ..plan }, &mut generator)
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
    let mut sky = skies::phrases(labels, plan, g);
    let mut adjective = None;
    if plan.place && labels.place.has_sky() && sky.len() > 1 - usize::from(g.chance(0.25)) {
        adjective = take_adjective(&mut sky);
    }
    let afloat = scene.is_in_water();
    let place = plan.place.then(|| places::adverbial(labels, afloat, adjective, g));
    let noun = plan.place.then(|| places::noun(labels.place, g));
    let parts = Parts { subject, place, place_noun: noun, sky };
    match scene.split() {
        Split::Evaluation(_) => parts.reserved(g),
        _ => parts.usual(labels, adjective, g),
    }
}

/// A place alone: "beach at sunset".
fn write_place(labels: &Labels, plan: &Plan, g: &mut Generator) -> String {
    let mut sky = skies::phrases(labels, plan, g);
    let noun = places::noun(labels.place, g);
    let over = sky.first().filter(|phrase| phrase.is_over() && labels.place != Place::Sky);
    if let Some(Phrase { bare, .. }) = over.filter(|_| g.chance(0.3)) {
        let noun = if places::is_bare(noun) { noun.to_owned() } else { format!("the {noun}") };
        let rest = sky[1..].iter().map(|phrase| phrase.whole);
        let over = format!("{bare} over {noun}");
        return [vec![over.as_str()], rest.collect()].concat().join(" ");
    }
    let adjective = if g.chance(0.6) { take_adjective(&mut sky) } else { None };
    let noun = match adjective {
        Some(adjective) => format!("{adjective} {noun}"),
        None => noun.to_owned(),
    };
    let noun = match g.uniform() {
        share if share < 0.25 && places::takes_article(&noun) => with_article(&noun),
        share if share < 0.35 && !places::is_bare(&noun) => format!("the {noun}"),
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
        let forms = [
            (Form::Sentence, 0.56, true),
            (Form::Keywords, 0.14, place_noun.is_some()),
            (Form::PlaceFirst, 0.06, place_noun.is_some() && spacious),
            (Form::Compound, 0.05, place_noun.is_some() && sky.is_empty() && adjective.is_none()),
            (Form::ThereIs, 0.05, true),
            (Form::SkyFirst, 0.07, !whole.is_empty()),
            (Form::SkyLast, 0.07, !bare.is_empty()),
        ];
        let noun = place_noun.map(|noun| match adjective {
            Some(adjective) => format!("{adjective} {noun}"),
            None => noun.to_owned(),
        });
        let noun = noun.unwrap_or_default();
        let sentence = [vec![subject.as_str()], place.into_iter().collect()].concat();
        match pick_form(&forms, g) {
            Form::Sentence => [sentence, whole].concat().join(" "),
            Form::Keywords => {
                let separator = if g.chance(0.6) { ", " } else { " " };
                [vec![bare_subject(&subject), noun.as_str()], bare].concat().join(separator)
            }
            Form::PlaceFirst => {
                let noun = match places::takes_article(&noun) && g.chance(0.7) {
                    true => with_article(&noun),
                    false => noun,
                };
                [vec![noun.as_str(), "with", subject.as_str()], whole].concat().join(" ")
            }
            Form::Compound => format!("{} {noun}", bare_subject(&subject)),
            Form::ThereIs => {
                let plural = ["two", "three", "some", "2", "3"];
                let several = plural.iter().any(|number| subject.starts_with(number));
                let there = if several { "there are" } else { "there is" };
                [vec![there], sentence, whole].concat().join(" ")
            }
            Form::SkyFirst => {
                let text = [sentence, whole[1..].to_vec()].concat().join(" ");
                format!("{}, {text}", whole[0])
            }
            Form::SkyLast => [vec![sentence.join(" ").as_str()], bare].concat().join(", "),
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

/// An order of a caption's parts.
#[derive(Clone, Copy)]
enum Form {
    /// "a dog in the park at night".
    Sentence,
    /// "dog, park, night".
    Keywords,
    /// "a park with a dog at night".
    PlaceFirst,
    /// "dog park".
    Compound,
    /// "there is a dog in the park".
    ThereIs,
    /// "at night, a dog in the park".
    SkyFirst,
    /// "a dog in the park, night".
    SkyLast,
}

/// One of the forms that are possible, each as likely as its number says.
fn pick_form(forms: &[(Form, f64, bool)], g: &mut Generator) -> Form {
    let possible = || forms.iter().filter(|(_, _, possible)| *possible);
    let mut left = g.uniform() * possible().map(|(_, share, _)| share).sum::<f64>();
    for (form, share, _) in possible() {
        left -= share;
        if left < 0.0 {
            return *form;
        }
    }
    Form::Sentence
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
    let starts = ["there", "in", "at", "on", "under", "with", "during", "while", "by", "covered"];
    let first = text.split(' ').next().unwrap_or_default();
    let is_sentence = starts.contains(&first) || text.contains(" there ");
    if plan.prefixed && !is_sentence && words(&text) + words(prefix) <= Caption::MOST_WORDS {
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
