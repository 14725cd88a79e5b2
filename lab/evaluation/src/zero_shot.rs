//! CLIP alone: zero-shot classification (2103.00020, section 3.1), attribute binding in captions of two things, and retrieval
//! of images by their captions.

use judge::markdown::table;
use judge::{Proportion, Question};
use pipeline::zero_shot::{cosines, normalised};
use pipeline::{Pipeline, Template};
use scenes::{Colour, Labels, Size, Thing};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::bindings::BindingRow;
use crate::error::Error;
use crate::evaluator::{EvaluationProgress, Report};
use crate::examples::{CaptionSet, Example, captions, true_images};
use crate::statistics::Median;

/// The number of the first scene.
const FIRST: u64 = 50_000;
/// Scenes of seen pairs, and as many of held-out ones.
const SCENES: u64 = 1000;
/// The images' side.
pub const SIDE: u32 = 128;
/// The k of recall at k.
const K: usize = 5;

/// Classification, binding and retrieval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ZeroShotReport {
    /// A row for each kind of pairs and each kind of labels.
    pub classification: Vec<ClassificationRow>,
    /// A row for each difference between captions of two things.
    pub bindings: Vec<BindingRow>,
    /// A row for each kind of pairs.
    pub retrieval: Vec<RetrievalRow>,
}

/// How often the label whose embedding is the closest to an image's is the image's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassificationRow {
    /// Whether the images' pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// The name of the kind of labels.
    pub labels: String,
    /// The number of labels.
    pub classes: usize,
    /// With one prompt a label.
    pub single: Proportion,
    /// With the mean of several.
    pub ensemble: Proportion,
}

/// The ranks of images by their captions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrievalRow {
    /// Whether the images' pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// How often the first image shows all that the caption says.
    pub first: Proportion,
    /// How often one of the first five does.
    pub one_of_five: Proportion,
    /// Recall at 1 of the image that the caption was written about.
    pub own_first: Proportion,
    /// Its recall at 5.
    pub own_in_five: Proportion,
    /// Its rank, from 1 on.
    pub own_place: Median,
}

/// Classifies fresh scenes of one thing, and searches them by their captions: 1,000 of seen pairs and as many of held-out
/// ones; and tells the captions of 1,000 scenes of two things from others. `at_most` of each, to try something. `batch` images
/// are encoded at once.
pub fn evaluate_zero_shot(
    pipeline: &Pipeline,
    at_most: Option<u64>,
    batch: usize,
    progress: &EvaluationProgress,
) -> Result<ZeroShotReport, Error> {
    pipeline.prepare_clip()?;
    let count = at_most.unwrap_or(SCENES).min(SCENES);
    let numbers = FIRST..FIRST + count;
    let encode = |examples: &[Example]| {
        let progress = |done| progress("zero-shot", done, count);
        image_embeddings(pipeline, examples, batch, &progress)
    };
    let tasks = Task::all();
    let classes = tasks.iter().map(|task| task.class_embeddings(pipeline));
    let classes = classes.collect::<Result<Vec<_>, _>>()?;
    let (mut classification, mut retrieval) = (Vec::new(), Vec::new());
    for (held_out, set) in [(false, CaptionSet::Seen), (true, CaptionSet::HeldOut)] {
        let examples = set.examples(numbers.clone());
        let images = encode(&examples)?;
        for (task, classes) in tasks.iter().zip(&classes) {
            let [single, ensemble] = classes.each_ref().map(|classes| {
                task.rights(&examples, &cosines(&images, classes)).collect::<Proportion>()
            });
            let (labels, classes) = (task.name.to_owned(), task.labels.len());
            classification.push(ClassificationRow { held_out, labels, classes, single, ensemble });
        }
        let captions = pipeline.caption_embeddings(&captions(&examples))?; // [B, E]
        retrieval.push(RetrievalRow::count(held_out, &examples, &cosines(&captions, &images)));
    }
    let examples = CaptionSet::Pairs.examples(numbers);
    let images = encode(&examples)?;
    Ok(ZeroShotReport {
        classification,
        bindings: BindingRow::all(pipeline, &examples, &images)?,
        retrieval,
    })
}

/// The normalised embeddings of the examples' scenes at [`SIDE`]: `[N, E]`. `progress` hears how many are done.
pub fn image_embeddings(
    pipeline: &Pipeline,
    examples: &[Example],
    batch: usize,
    progress: &dyn Fn(u64),
) -> Result<Tensor, Error> {
    let (mut embeddings, mut done) = (Vec::new(), 0);
    for some in examples.chunks(batch) {
        embeddings.push(pipeline.encode_images(&true_images(some, SIDE))?);
        done += some.len() as u64;
        progress(done);
    }
    Ok(normalised(&Tensor::cat(&embeddings, 0)))
}

/// The number of a scene's own label.
type Truth = fn(&Labels) -> Option<usize>;

/// A zero-shot classification.
pub struct Task {
    /// The name of the kind of labels.
    pub name: &'static str,
    /// The labels.
    pub labels: Vec<String>,
    /// One prompt for a label.
    pub single: Template,
    /// Several: those of `unclip classify` where the labels are things, and one a thing where they are not.
    pub ensemble: Vec<Template>,
    /// The number of a scene's own label.
    pub truth: Truth,
}

impl Task {
    /// Thing, colour, both of them, place, size, sky and ground. The style is left out, as elsewhere.
    pub fn all() -> Vec<Self> {
        let both = Thing::NAMES
            .iter()
            .flat_map(|thing| Colour::NAMES.iter().map(move |colour| format!("{colour} {thing}")));
        let both_truth =
            |shown: &Labels| Some(shown.thing.index() * Colour::COUNT + shown.colour.index());
        let adjective = |thing: &str| format!("a {{}} {thing}");
        let phrase = |thing: &str| format!("a {thing} {{}}");
        vec![
            Self::of_nouns("thing", Thing::NAMES, |shown| Question::Thing.truth(shown)),
            Self::of_things("colour", Colour::NAMES, "a {}", adjective, |shown| {
                Question::Colour.truth(shown)
            }),
            Self::of_nouns("thing and colour", &both.collect::<Vec<_>>(), both_truth),
            Self::of_things("place", &PLACES, "{}", phrase, |shown| Question::Place.truth(shown)),
            Self::of_things("size", Size::NAMES, "a {}", adjective, |shown| {
                Question::Size.truth(shown)
            }),
            Self::of_things("sky", &SKIES, "{}", phrase, |shown| Question::Sky.truth(shown)),
            Self::of_things("ground", &GROUNDS, "{}", phrase, |shown| {
                Question::Ground.truth(shown)
            }),
        ]
    }

    /// Labels that are nouns.
    fn of_nouns(name: &'static str, labels: &[impl ToString], truth: Truth) -> Self {
        let labels = labels.iter().map(ToString::to_string).collect();
        Self { name, labels, single: template("a {}"), ensemble: Template::defaults(), truth }
    }

    /// Labels that say something of a thing, with a prompt for each thing.
    fn of_things(
        name: &'static str,
        labels: &[&str],
        single: &str,
        prompt: fn(&str) -> String,
        truth: Truth,
    ) -> Self {
        let ensemble = Thing::NAMES.iter().map(|thing| template(&prompt(thing))).collect();
        let labels = labels.iter().map(ToString::to_string).collect();
        Self { name, labels, single: template(single), ensemble, truth }
    }

    /// The normalised embeddings of the labels `[L, E]`, with one prompt each and with several.
    pub fn class_embeddings(&self, pipeline: &Pipeline) -> Result<[Tensor; 2], Error> {
        let single = std::slice::from_ref(&self.single);
        Ok([
            pipeline.class_embeddings(&self.labels, single)?,
            pipeline.class_embeddings(&self.labels, &self.ensemble)?,
        ])
    }

    /// Whether the label with the largest of the `scores [B, L]` is the scene's own, scene by scene.
    pub fn rights(&self, examples: &[Example], scores: &Tensor) -> impl Iterator<Item = bool> {
        let right = |(example, order): (&Example, Vec<usize>)| {
            Some(order[0]) == (self.truth)(&example.scene.labels())
        };
        examples.iter().zip(ranked(scores)).map(right)
    }
}

/// Each place, sky and ground in the words that captions have for it, in the order of the labels' values.
const PLACES: [&str; 3] = ["on the left", "in the middle", "on the right"];
const SKIES: [&str; 4] = ["on a clear day", "at sunset", "at night", "in the rain"];
const GROUNDS: [&str; 4] = ["on the grass", "on the sand", "in the snow", "on the sea"];

impl RetrievalRow {
    /// From the cosines `[B, B]` of all captions, row by row, and all images.
    pub fn count(held_out: bool, examples: &[Example], cosines: &Tensor) -> Self {
        let none = Proportion::default();
        let (mut first, mut one_of_five, mut own_first, mut own_in_five) = (none, none, none, none);
        let mut places = Vec::new();
        for (own, (example, order)) in examples.iter().zip(ranked(cosines)).enumerate() {
            let fits = |&found: &usize| {
                let shown = examples[found].scene.labels();
                example.caption.mentioned.describes(&shown)
            };
            let few = &order[..order.len().min(K)];
            first.add(fits(&few[0]));
            one_of_five.add(few.iter().any(fits));
            own_first.add(few[0] == own);
            own_in_five.add(few.contains(&own));
            let before = order.iter().take_while(|&&found| found != own);
            places.push(1.0 + before.count() as f64);
        }
        Self { held_out, first, one_of_five, own_first, own_in_five, own_place: Median::of(places) }
    }
}

impl Report for ZeroShotReport {
    fn to_markdown(&self) -> String {
        let pairs = |held_out| if held_out { "held-out" } else { "seen" }.to_owned();
        let header = "zero-shot: pairs | labels | of | one prompt | several prompts";
        let classification = self.classification.iter().map(|row| {
            vec![
                pairs(row.held_out),
                row.labels.clone(),
                row.classes.to_string(),
                row.single.to_string(),
                row.ensemble.to_string(),
            ]
        });
        let classification = table(header, classification);
        let bindings = BindingRow::table(&self.bindings);
        let header = "search: pairs | the first picture fits | one of five fits \
                      | the caption's own is first | it is among five | its place, median";
        let retrieval = self.retrieval.iter().map(|row| {
            let shares = [row.first, row.one_of_five, row.own_first, row.own_in_five];
            let mut line = vec![pairs(row.held_out)];
            line.extend(shares.map(|share| share.to_string()));
            line.push(row.own_place.to_string());
            line
        });
        let retrieval = table(header, retrieval);
        format!("{classification}\n{bindings}\n{retrieval}")
    }
}

fn template(text: &str) -> Template {
    Template::new(text).expect("it has {} once")
}

/// The columns of each row of `[B, N]`, the one with the largest number first.
fn ranked(numbers: &Tensor) -> Vec<Vec<usize>> {
    let order = numbers.argsort_stable(true, 1, true).to_device(Device::Cpu); // [B, N]
    let rows = Vec::<Vec<i64>>::try_from(order.to_kind(Kind::Int64)).expect("rows of numbers");
    let numbers = |row: Vec<i64>| row.into_iter().map(|column| column as usize).collect();
    rows.into_iter().map(numbers).collect()
}
