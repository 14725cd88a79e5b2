//! What CLIP knows alone: labels told apart without training for it (CLIP, 2103.00020, section 3.1), captions of two things
//! told from those that nearly say the same, and pictures found by their captions.

mod bindings;

use pipeline::zero_shot::{cosines, normalised};
use pipeline::{Pipeline, Template};
use scenes::{Colour, Labels, Size, Thing};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::evaluate::{EvaluationProgress, true_pictures};
use crate::examples::{Asked, Example};
use crate::questions::Question;
use crate::report::{percent, table};
use crate::statistics::{Median, Tally};

pub use bindings::{BindingRow, Difference};

/// The number of the first scene.
const FIRST: u64 = 50_000;
/// Scenes of seen pairs, and as many of held-out ones.
const SCENES: u64 = 1000;
/// The pictures' side.
pub(crate) const SIDE: u32 = 128;
/// How many of the pictures that a caption finds are looked at.
const FEW: usize = 5;

/// What was told apart, and what was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ZeroShotReport {
    /// A row for each kind of pairs and each kind of labels.
    pub classification: Vec<ClassificationRow>,
    /// A row for each difference between captions of two things.
    pub bindings: Vec<BindingRow>,
    /// A row for each kind of pairs.
    pub retrieval: Vec<RetrievalRow>,
}

/// How often the label whose embedding is the closest to a picture's is the picture's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassificationRow {
    /// Whether the pictures' pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// What the labels name.
    pub labels: String,
    /// How many labels there are to choose among.
    pub classes: usize,
    /// With one prompt a label.
    pub single: Tally,
    /// With the mean of several.
    pub ensemble: Tally,
}

/// What the captions of pictures find among these.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrievalRow {
    /// Whether the pictures' pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// How often the first picture shows all that the caption says.
    pub first: Tally,
    /// How often one of the first five does.
    pub one_of_five: Tally,
    /// How often the first picture is the one that the caption was written about.
    pub own_first: Tally,
    /// How often one of the first five is.
    pub own_in_five: Tally,
    /// Where that one comes, the first place being 1.
    pub own_place: Median,
}

/// Classifies fresh scenes of one thing, and searches them by their captions: 1,000 of seen pairs and as many of held-out
/// ones; and tells the captions of 1,000 scenes of two things from others. Or fewer, to try something. `batch` pictures are
/// encoded at once.
pub fn evaluate_zero_shot(
    pipeline: &Pipeline,
    at_most: Option<u64>,
    batch: usize,
    progress: &mut EvaluationProgress,
) -> Result<ZeroShotReport, Error> {
    pipeline.prepare_clip()?;
    let count = at_most.unwrap_or(SCENES).min(SCENES);
    let numbers = FIRST..FIRST + count;
    let mut encode = |examples: &[Example]| {
        let mut pictures = Vec::new();
        for (done, some) in (1..).zip(examples.chunks(batch)) {
            pictures.push(pipeline.encode_pictures(&true_pictures(some, SIDE))?);
            progress("zero-shot", (done * batch as u64).min(count), count);
        }
        Ok::<_, Error>(normalised(&Tensor::cat(&pictures, 0))) // [B, E]
    };
    let tasks = Task::all();
    let mut classes = Vec::new();
    for task in &tasks {
        let single = pipeline.class_embeddings(&task.labels, std::slice::from_ref(&task.single))?;
        classes.push([single, pipeline.class_embeddings(&task.labels, &task.ensemble)?]);
    }
    let (mut classification, mut retrieval) = (Vec::new(), Vec::new());
    for (held_out, asked) in [(false, Asked::Seen), (true, Asked::HeldOut)] {
        let examples = asked.examples(numbers.clone());
        let pictures = encode(&examples)?;
        for (task, classes) in tasks.iter().zip(&classes) {
            let [single, ensemble] = [0, 1].map(|i| cosines(&pictures, &classes[i]));
            classification.push(ClassificationRow {
                held_out,
                labels: task.name.to_owned(),
                classes: task.labels.len(),
                single: task.count(&examples, &single),
                ensemble: task.count(&examples, &ensemble),
            });
        }
        let captions: Vec<&str> = examples.iter().map(|e| &*e.caption.text).collect();
        let captions = pipeline.caption_embeddings(&captions)?; // [B, E]
        let found = cosines(&captions, &pictures);
        retrieval.push(RetrievalRow::count(held_out, &examples, &found));
    }
    let examples = Asked::Pairs.examples(numbers);
    let pictures = encode(&examples)?;
    Ok(ZeroShotReport {
        classification,
        bindings: BindingRow::all(pipeline, &examples, &pictures)?,
        retrieval,
    })
}

/// Labels that pictures are told apart by.
pub struct Task {
    /// What the labels name.
    pub name: &'static str,
    /// The labels.
    pub labels: Vec<String>,
    /// One prompt for a label.
    pub single: Template,
    /// Several: what `unclip classify` takes where the labels are things, and one a thing where they are not.
    pub ensemble: Vec<Template>,
    /// The number of a scene's own label.
    pub truth: fn(&Labels) -> Option<usize>,
}

impl Task {
    /// Thing, colour, both of them, place, size, sky and ground. The style is left out, as elsewhere.
    pub fn all() -> Vec<Self> {
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
        let things: Vec<&str> = Thing::ALL.iter().map(|thing| thing.name()).collect();
        let colours: Vec<&str> = Colour::ALL.iter().map(|colour| colour.name()).collect();
        let sizes: Vec<&str> = Size::ALL.iter().map(|size| size.name()).collect();
        let both =
            things.iter().flat_map(|thing| colours.iter().map(move |c| format!("{c} {thing}")));
        let noun = |name, labels, truth| Self {
            name,
            labels,
            single: template("a {}"),
            ensemble: Template::defaults(),
            truth,
        };
        let about_things =
            |name, labels: &[&str], single: &str, with: fn(&str) -> String, truth| Self {
                name,
                labels: names(labels),
                single: template(single),
                ensemble: things.iter().map(|thing| template(&with(thing))).collect(),
                truth,
            };
        let adjective = |name, labels: &[&str], truth| {
            about_things(name, labels, "a {}", |thing| format!("a {{}} {thing}"), truth)
        };
        let phrase = |name, labels: &[&str], truth| {
            about_things(name, labels, "{}", |thing| format!("a {thing} {{}}"), truth)
        };
        vec![
            noun("thing", names(&things), |shown| Question::Thing.truth(shown)),
            adjective("colour", &colours, |shown| Question::Colour.truth(shown)),
            noun("thing and colour", both.collect(), |shown| {
                Some(shown.thing.index() * Colour::COUNT + shown.colour.index())
            }),
            phrase("place", &PLACES, |shown| Question::Place.truth(shown)),
            adjective("size", &sizes, |shown| Question::Size.truth(shown)),
            phrase("sky", &SKIES, |shown| Question::Sky.truth(shown)),
            phrase("ground", &GROUNDS, |shown| Question::Ground.truth(shown)),
        ]
    }

    /// How often the label with the largest of the cosines `[B, L]` is the scene's own.
    pub fn count(&self, examples: &[Example], cosines: &Tensor) -> Tally {
        let mut tally = Tally::default();
        self.rights(examples, cosines).for_each(|right| tally.add(right));
        tally
    }

    /// Whether the label with the largest of the `scores [B, L]` is the scene's own, scene by scene.
    pub(crate) fn rights(
        &self,
        examples: &[Example],
        scores: &Tensor,
    ) -> impl Iterator<Item = bool> {
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
    /// From the cosines `[B, B]` of all captions, row by row, and all pictures.
    pub fn count(held_out: bool, examples: &[Example], cosines: &Tensor) -> Self {
        let none = Tally::default();
        let (mut first, mut one_of_five, mut own_first, mut own_in_five) = (none, none, none, none);
        let mut places = Vec::new();
        for (own, (example, order)) in examples.iter().zip(ranked(cosines)).enumerate() {
            let fits = |&found: &usize| {
                let shown = examples[found].scene.labels();
                example.caption.mentioned.describes(&shown)
            };
            let few = &order[..order.len().min(FEW)];
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

impl ZeroShotReport {
    /// Markdown tables.
    pub fn to_markdown(&self) -> String {
        let pairs = |held_out| if held_out { "held-out" } else { "seen" }.to_owned();
        let header = ["zero-shot: pairs", "labels", "of", "one prompt", "several prompts"];
        let classification = self.classification.iter().map(|row| {
            vec![
                pairs(row.held_out),
                row.labels.clone(),
                row.classes.to_string(),
                percent(row.single),
                percent(row.ensemble),
            ]
        });
        let classification = table(&header, classification);
        let bindings = BindingRow::table(&self.bindings);
        let header = [
            "search: pairs",
            "the first picture fits",
            "one of five fits",
            "the caption's own is first",
            "it is among five",
            "its place, median",
        ];
        let retrieval = self.retrieval.iter().map(|row| {
            let shares = [row.first, row.one_of_five, row.own_first, row.own_in_five];
            let mut line = vec![pairs(row.held_out)];
            line.extend(shares.map(percent));
            line.push(row.own_place.to_string());
            line
        });
        let retrieval = table(&header, retrieval);
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
