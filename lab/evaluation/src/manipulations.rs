//! What moving pictures in CLIP's space does to what they show: the tables on variations, interpolations and text diffs
//! (2204.06125, section 3).

use image::RgbImage;
use noise::Generator;
use pipeline::inversion::CALLS_A_STEP;
use pipeline::{Inversion, Pipeline, Settings, Use};
use scenes::{Aspect, Pairs, Scene, Split};
use serde::{Deserialize, Serialize};

use crate::evaluate::EvaluationProgress;
use crate::examples::render;
use crate::inversions::{InversionRow, inversion_table, measure_inversions};
use crate::questions::Question;
use crate::report::{percent, table};
use crate::statistics::Tally;
use crate::variations::{VariationReport, measure_variations};
use crate::{Error, Judge, Reading};

/// Pictures of a way from one scene to its sibling, both ends included.
pub const FRAMES: usize = 9;
/// What siblings differ in. The style is left out: the judge is not sure enough of it.
pub const CHANGED: [Question; 6] = [
    Question::Thing,
    Question::Colour,
    Question::Size,
    Question::Place,
    Question::Sky,
    Question::Ground,
];
/// What captions differ in: no template that is kept for evaluation names the size.
const SAID: [Question; 5] =
    [Question::Thing, Question::Colour, Question::Place, Question::Sky, Question::Ground];
/// The numbers of the first scenes.
const FIRST_WAY: u64 = 30_000;
const FIRST_EDIT: u64 = 40_000;

/// A table on work with pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manipulation {
    /// Pictures come back from their inversions.
    Inversion,
    /// Variations keep what was drawn.
    Variations,
    /// Ways between two scenes that differ in one label.
    Interpolation,
    /// Differences of two captions that differ in one label.
    Edits,
}

/// How the tables' pictures are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct ManipulationSettings {
    /// Fewer than each table's own number of scenes, to try something.
    pub at_most: Option<u64>,
    /// Pictures that are drawn at once.
    pub batch: usize,
    /// The noise of scene `i` of a table comes from `seed + i`.
    pub seed: u64,
    /// How often the decoder is asked to invert a picture.
    pub calls: usize,
    /// How far a text diff turns an embedding.
    pub strength: f64,
    /// How strongly the turned embedding pulls.
    pub edit_guidance_scale: f64,
    /// How pictures are drawn otherwise.
    pub drawing: Settings,
}

impl ManipulationSettings {
    /// A table's number of scenes, or the smaller one that was asked for.
    pub(crate) fn limited(&self, count: u64) -> u64 {
        self.at_most.unwrap_or(count).min(count)
    }
}

/// What a table found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ManipulationReport {
    /// A row a number of calls.
    Inversion(Vec<InversionRow>),
    /// What is kept and what varies.
    Variations(VariationReport),
    /// What a way from one value to another passes.
    Interpolation(Changes),
    /// What differences of captions do.
    Edits(Changes),
}

/// Fills a table.
pub fn evaluate_manipulations(
    pipeline: &Pipeline,
    judge: &Judge,
    wanted: Manipulation,
    settings: &ManipulationSettings,
    progress: &mut EvaluationProgress,
) -> Result<ManipulationReport, Error> {
    pipeline.prepare(&[Use::Prior, Use::ImageEncoder], &settings.drawing)?;
    let table = Table { pipeline, judge, settings };
    Ok(match wanted {
        Manipulation::Inversion => {
            ManipulationReport::Inversion(measure_inversions(pipeline, settings, progress)?)
        }
        Manipulation::Variations => {
            ManipulationReport::Variations(measure_variations(pipeline, judge, settings, progress)?)
        }
        Manipulation::Interpolation => {
            ManipulationReport::Interpolation(measure_interpolations(&table, progress)?)
        }
        Manipulation::Edits => ManipulationReport::Edits(measure_edits(&table, progress)?),
    })
}

impl Manipulation {
    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inversion => "inversion",
            Self::Variations => "variations",
            Self::Interpolation => "interpolation",
            Self::Edits => "edits",
        }
    }
}

impl ManipulationReport {
    /// The table in markdown.
    pub fn to_markdown(&self) -> String {
        match self {
            Self::Inversion(rows) => inversion_table(rows),
            Self::Variations(found) => found.to_markdown(),
            Self::Interpolation(found) => found.to_markdown("interpolation: the ends differ in"),
            Self::Edits(found) => found.to_markdown("text diff: the captions differ in"),
        }
    }
}

/// How often one label changed as it was to, and the others stayed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changes {
    /// For each of [`CHANGED`]: how often it changed as it was to.
    pub changed: Vec<(Question, Tally)>,
    /// For each of [`CHANGED`]: how often it stayed while another was to change.
    pub kept: Vec<(Question, Tally)>,
    /// How often one changed and all others stayed.
    pub everything: Tally,
}

impl Changes {
    fn new() -> Self {
        let none = || CHANGED.map(|question| (question, Tally::default())).to_vec();
        Self { changed: none(), kept: none(), everything: Tally::default() }
    }

    /// Counts a picture in which `question` was to change; `right` says of each question whether it did as it was to.
    fn add(&mut self, question: Question, right: impl Fn(Question) -> bool) {
        for (asked, tally) in &mut self.changed {
            if *asked == question {
                tally.add(right(question));
            }
        }
        for (asked, tally) in &mut self.kept {
            if *asked != question {
                tally.add(right(*asked));
            }
        }
        self.everything.add(CHANGED.into_iter().all(right));
    }

    /// How often the label that was to change did, whichever it was.
    pub fn all_changed(&self) -> Tally {
        let sum = |sum: Tally, (_, tally): &(Question, Tally)| Tally {
            right: sum.right + tally.right,
            asked: sum.asked + tally.asked,
        };
        self.changed.iter().fold(Tally::default(), sum)
    }

    fn to_markdown(&self, title: &str) -> String {
        let header = [title, "changes as it should", "stays where another changes"];
        let rows = self.changed.iter().zip(&self.kept);
        let rows = rows.map(|((question, changed), (_, kept))| {
            vec![question.name().to_owned(), percent(*changed), percent(*kept)]
        });
        let last = [
            vec!["any of them".to_owned(), percent(self.all_changed()), String::new()],
            vec!["it, and all others stay".to_owned(), percent(self.everything), String::new()],
        ];
        table(&header, rows.chain(last))
    }
}

/// A scene, its sibling, and what they differ in.
pub struct Siblings {
    /// Counts up the noise's seed.
    number: u64,
    question: Question,
    from: Scene,
    to: Scene,
}

impl Siblings {
    /// The pair of this number; what it differs in goes round `questions`.
    pub fn draw(number: u64, questions: &[Question]) -> Self {
        let question = questions[(number % questions.len() as u64) as usize];
        let from = Scene::draw_alone(number, Split::Evaluation(Pairs::Seen));
        let to = from
            .sibling(question.aspect(), &mut Generator::new(number))
            .expect("every label has another value that the split allows");
        Self { number, question, from, to }
    }

    /// Captions of both, with the same words but for what they differ in.
    pub fn captions(&self) -> [String; 2] {
        let aspects = shortest_about(self.question.aspect());
        [&self.from, &self.to].map(|scene| {
            let generator = &mut Generator::new(self.number);
            let caption = scene.caption_about(&aspects, generator);
            caption.expect("the aspects come from a template").text
        })
    }

    fn truth(&self, question: Question) -> [usize; 2] {
        [&self.from, &self.to].map(|scene| {
            let answer = question.truth(&scene.labels());
            answer.expect("scenes of one thing are asked about that")
        })
    }
}

/// The fewest aspects with this one and the thing that a caption of an evaluation scene can mention.
fn shortest_about(aspect: Aspect) -> Vec<Aspect> {
    let offered = Aspect::offered(true).into_iter();
    let fitting = offered.filter(|aspects| {
        aspects.contains(&aspect)
            && aspects.contains(&Aspect::Thing)
            && !aspects.contains(&Aspect::Second)
    });
    fitting.min_by_key(Vec::len).expect("every aspect has a template")
}

/// Whether what is read along a way is first `from` and last `to`, never `from` again once it was something else, and
/// never anything else once it was `to`.
pub fn turns_once(read: &[Option<usize>], from: usize, to: usize) -> bool {
    let left = read.iter().position(|&answer| answer != Some(from));
    let reached = read.iter().position(|&answer| answer == Some(to));
    match (left, reached) {
        (Some(left), Some(reached)) => {
            left > 0
                && read[left..].iter().all(|&answer| answer != Some(from))
                && read[reached..].iter().all(|&answer| answer == Some(to))
        }
        _ => false,
    }
}

fn measure_interpolations(
    table: &Table,
    progress: &mut EvaluationProgress,
) -> Result<Changes, Error> {
    let pairs = table.pairs(FIRST_WAY, &CHANGED);
    let mut changes = Changes::new();
    for batch in pairs.chunks(table.settings.batch) {
        let from = table.invert(batch, |pair| &pair.from)?;
        let to = table.invert(batch, |pair| &pair.to)?;
        // The readings of a frame of each pair, frame by frame.
        let mut frames: Vec<Vec<Reading>> = Vec::new();
        for frame in 0..FRAMES {
            let share = frame as f64 / (FRAMES - 1) as f64;
            frames.push(table.read(batch, &from.between(&to, share), 1.0)?);
        }
        for (index, pair) in batch.iter().enumerate() {
            changes.add(pair.question, |question| {
                let read: Vec<_> = frames.iter().map(|f| f[index].answer(question)).collect();
                let [from, to] = pair.truth(question);
                match from == to {
                    true => read.iter().all(|&answer| answer == Some(from)),
                    false => turns_once(&read, from, to),
                }
            });
        }
        progress("interpolation", changes.everything.asked, pairs.len() as u64);
    }
    Ok(changes)
}

fn measure_edits(table: &Table, progress: &mut EvaluationProgress) -> Result<Changes, Error> {
    let pairs = table.pairs(FIRST_EDIT, &SAID);
    let mut changes = Changes::new();
    for batch in pairs.chunks(table.settings.batch) {
        let inversion = table.invert(batch, |pair| &pair.from)?;
        let captions: Vec<[String; 2]> = batch.iter().map(Siblings::captions).collect();
        let [from, to] = [0, 1].map(|end| {
            let texts: Vec<&str> = captions.iter().map(|both| both[end].as_str()).collect();
            table.pipeline.encode_text(&texts)
        });
        let (from, to) = (from?.embedding, to?.embedding); // [B, E]
        let edited = inversion.edited(&from, &to, table.settings.strength);
        let readings = table.read(batch, &edited, table.settings.edit_guidance_scale)?;
        for (pair, reading) in batch.iter().zip(readings) {
            changes.add(pair.question, |question| {
                reading.answer(question) == Some(pair.truth(question)[1])
            });
        }
        progress("text diffs", changes.everything.asked, pairs.len() as u64);
    }
    Ok(changes)
}

/// What the tables on siblings share.
struct Table<'a> {
    pipeline: &'a Pipeline,
    judge: &'a Judge,
    settings: &'a ManipulationSettings,
}

impl Table<'_> {
    /// The table's pairs, from this number on.
    fn pairs(&self, first: u64, questions: &[Question]) -> Vec<Siblings> {
        let numbers = first..first + self.settings.limited(200);
        numbers.map(|n| Siblings::draw(n, questions)).collect()
    }

    /// One scene of each pair, inverted.
    fn invert(
        &self,
        batch: &[Siblings],
        scene: fn(&Siblings) -> &Scene,
    ) -> Result<Inversion, Error> {
        let side = self.pipeline.side()?;
        let pictures = batch.iter().map(|pair| render(scene(pair), side));
        let pictures: Vec<RgbImage> = pictures.collect();
        let steps = self.settings.calls / CALLS_A_STEP;
        Ok(self.pipeline.invert(&pictures, steps, &mut |_, _, _| {})?)
    }

    /// What the judge reads in the pictures of latents, which the pairs' noise upsamples.
    fn read(
        &self,
        batch: &[Siblings],
        latents: &Inversion,
        guidance_scale: f64,
    ) -> Result<Vec<Reading>, Error> {
        let seed = |pair: &Siblings| self.settings.seed.wrapping_add(pair.number);
        let mut streams: Vec<_> = batch.iter().map(|p| Generator::new(seed(p))).collect();
        let drawn = self.pipeline.draw_inversion(
            latents,
            (0.0, guidance_scale),
            &mut streams,
            &self.settings.drawing,
            &mut |_, _, _| {},
        )?;
        Ok(self.judge.read(&drawn))
    }
}
