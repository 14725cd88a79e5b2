//! Accuracy: how often images show what their captions say, by the source of the images.

use image::RgbImage;
use judge::markdown::table;
use judge::{Prediction, Proportion};
use pipeline::{Pipeline, Settings};
use serde::{Deserialize, Serialize};

use crate::diversity::{DiversityReport, evaluate_diversity};
use crate::error::Error;
use crate::evaluator::{Evaluator, Report};
use crate::examples::{CaptionSet, CaptionedScene, TableCaptions, captions};

/// The source of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSource {
    /// The scenes themselves: the judge's ceiling.
    True,
    /// The decoder and upsampler, from the embeddings of the scenes and the captions.
    Decoder,
    /// The whole chain, from the captions alone.
    Chain,
}

impl ImageSource {
    /// Those that a model has: one that takes no image embeddings samples of captions alone.
    fn of(pipeline: &Pipeline) -> &'static [Self] {
        match pipeline.decodes_embeddings() {
            true => &[Self::True, Self::Decoder, Self::Chain],
            false => &[Self::True, Self::Chain],
        }
    }

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true pictures",
            Self::Decoder => "decoder, from true embeddings",
            Self::Chain => "whole chain, from captions",
        }
    }
}

/// The accuracy of images of one source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccuracyRow {
    /// The source.
    pub source: ImageSource,
    /// The captions.
    #[serde(rename = "asked")]
    pub captions: TableCaptions,
    /// The images that are right in each of [`TableCaptions::columns`], of those whose caption mentions it.
    pub cells: Vec<(String, Proportion)>,
    /// The images that show everything that their captions say.
    pub everything: Proportion,
}

impl AccuracyRow {
    /// A row that counts nothing yet.
    pub fn new(source: ImageSource, captions: impl Into<TableCaptions>) -> Self {
        let captions = captions.into();
        let columns = captions.columns().iter();
        Self {
            source,
            captions,
            cells: columns.map(|column| (column.name.to_owned(), Proportion::default())).collect(),
            everything: Proportion::default(),
        }
    }

    /// Counts the predictions of the images of some examples.
    pub fn count(&mut self, examples: &[impl CaptionedScene], predictions: &[Prediction]) {
        for (example, prediction) in examples.iter().zip(predictions) {
            for (column, (_, accuracy)) in self.captions.columns().iter().zip(&mut self.cells) {
                if let Some(right) = example.is_right(column.questions, prediction) {
                    accuracy.add(right);
                }
            }
            self.everything.add(example.is_all_right(prediction));
        }
    }

    /// The accuracy in the column of this name.
    pub fn cell(&self, name: &str) -> Option<Proportion> {
        let mut cells = self.cells.iter();
        cells.find(|(column, _)| column == name).map(|(_, accuracy)| *accuracy)
    }

    /// The columns' names, and that of the last, as [`table`] takes them.
    pub(crate) fn header(captions: impl Into<TableCaptions>) -> String {
        let names = captions.into().columns().iter().map(|column| column.name);
        names.chain(["everything asked"]).collect::<Vec<_>>().join(" | ")
    }

    /// Their cells.
    pub(crate) fn percents(&self) -> impl Iterator<Item = String> {
        let cells = self.cells.iter().map(|(_, accuracy)| accuracy);
        cells.chain([&self.everything]).map(Proportion::to_string)
    }
}

/// The accuracy of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccuracyReport {
    /// The SHA-256 of the judge's file.
    pub judge: String,
    /// The pipeline's settings.
    pub settings: Settings,
    /// The seed of example 0's noise.
    pub seed: u64,
    /// A row a kind of captions and source.
    pub rows: Vec<AccuracyRow>,
    /// Diversity, unless it was left out.
    pub diversity: Option<DiversityReport>,
}

impl Report for AccuracyReport {
    /// Percentages with their 95% intervals and the number of captions that mention a column. All rows have the columns of
    /// the first.
    fn to_markdown(&self) -> String {
        let captions = self.rows.first().map_or(CaptionSet::Seen.into(), |row| row.captions);
        let header = format!("captions | pictures | {}", AccuracyRow::header(captions));
        let rows = self.rows.iter().map(|row| {
            let names = [row.captions.name(), row.source.name()].map(str::to_owned);
            names.into_iter().chain(row.percents()).collect()
        });
        let accuracy = table(&header, rows);
        match &self.diversity {
            None => accuracy,
            Some(diversity) => format!("{accuracy}\n{}", diversity.to_markdown()),
        }
    }
}

/// Captions, each with an image that was drawn of it.
pub type Samples = Vec<(String, RgbImage)>;

/// A report, and samples to look at.
pub struct Evaluation {
    /// The numbers.
    pub report: AccuracyReport,
    /// The captions of the first kind with what the whole chain drew of them, in order.
    pub samples: Samples,
}

/// Measures the accuracy for so many captions of some kinds, and the diversity for `diversity_captions`, unless these are 0.
/// The evaluator's judge is one of the captions' subject.
pub fn evaluate_captions(
    evaluator: &Evaluator,
    sets: &[(TableCaptions, u64)],
    diversity_captions: usize,
) -> Result<Evaluation, Error> {
    let (mut rows, mut samples) = (Vec::new(), Vec::new());
    for (n, &(captions, count)) in sets.iter().enumerate() {
        evaluator.prepare_captions()?;
        let (own, drawn) = match captions {
            TableCaptions::Scenes(set) => {
                evaluate_examples(evaluator, captions, &set.examples(0..count))
            }
            TableCaptions::World(set) => {
                evaluate_examples(evaluator, captions, &set.examples(0..count))
            }
        }?;
        rows.extend(own);
        if n == 0 {
            samples = drawn;
        }
    }
    let diversity = match diversity_captions {
        0 => None,
        count => Some(evaluate_diversity(evaluator, count)?),
    };
    let report = AccuracyReport {
        judge: evaluator.judge.sha256().to_owned(),
        settings: evaluator.settings.drawing.clone(),
        seed: evaluator.settings.seed,
        rows,
        diversity,
    };
    Ok(Evaluation { report, samples })
}

/// The accuracy of each source, and the captions with what the whole chain drew of them.
fn evaluate_examples(
    evaluator: &Evaluator,
    captions: TableCaptions,
    examples: &[impl CaptionedScene],
) -> Result<(Vec<AccuracyRow>, Samples), Error> {
    let (mut rows, mut samples) = (Vec::new(), Vec::new());
    for &source in ImageSource::of(evaluator.pipeline) {
        let (row, images) = evaluate_source(evaluator, captions, source, examples)?;
        rows.push(row);
        if source == ImageSource::Chain {
            let texts = examples.iter().map(|example| example.text().to_owned());
            samples = texts.zip(images).collect();
        }
    }
    Ok((rows, samples))
}

/// The accuracy of one source, and its images.
fn evaluate_source(
    evaluator: &Evaluator,
    captions: TableCaptions,
    source: ImageSource,
    examples: &[impl CaptionedScene],
) -> Result<(AccuracyRow, Vec<RgbImage>), Error> {
    let label = format!("{}, {}", source.name(), captions.name());
    let images = match source {
        ImageSource::True => evaluator.true_images(examples)?,
        _ => evaluator.sample_batches(&label, examples.len(), &|batch| {
            sample(evaluator, source == ImageSource::Decoder, &examples[batch])
        })?,
    };
    let mut row = AccuracyRow::new(source, captions);
    row.count(examples, &evaluator.judge.predict(&images));
    Ok((row, images))
}

/// The images of a batch of examples, from the embeddings of their scenes or from their captions alone.
fn sample(
    evaluator: &Evaluator,
    from_embeddings: bool,
    batch: &[impl CaptionedScene],
) -> Result<Vec<RgbImage>, Error> {
    let embeddings = from_embeddings.then(|| evaluator.true_embeddings(batch)).transpose()?; // [B, E]
    let (texts, seeds) = (captions(batch), evaluator.seeds(batch));
    evaluator.sample(&texts, embeddings.as_ref(), &seeds, &evaluator.settings.drawing)
}
