//! What an evaluation found, as numbers and as a table.

use std::fmt::Write;
use std::path::Path;

use pipeline::Settings;
use serde::{Deserialize, Serialize};

use crate::examples::Example;
use crate::questions::Question;
use crate::sheets::save;
use crate::statistics::Tally;
use crate::{Error, Reading};

/// Where the pictures came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The scenes themselves: the judge's ceiling.
    True,
    /// The decoder and upsampler, from the embeddings of the scenes and the captions.
    Decoder,
    /// The whole chain, from the captions alone.
    Chain,
}

impl Source {
    /// How tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true pictures",
            Self::Decoder => "decoder, from true embeddings",
            Self::Chain => "whole chain, from captions",
        }
    }
}

/// The questions that have a column.
pub const COLUMNS: [Question; 5] = [
    Question::Thing,
    Question::Colour,
    Question::Place,
    Question::Sky,
    Question::Ground,
];

/// How often pictures showed what their captions said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Where the pictures came from.
    pub source: Source,
    /// Whether their pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// Right answers to each of [`COLUMNS`], where the caption mentions it.
    pub cells: Vec<(Question, Tally)>,
    /// Pictures that showed everything that their captions said.
    pub everything: Tally,
}

impl Row {
    /// A row that counts nothing yet.
    pub fn new(source: Source, held_out: bool) -> Self {
        let cells = COLUMNS
            .map(|question| (question, Tally::default()))
            .to_vec();
        Self {
            source,
            held_out,
            cells,
            everything: Tally::default(),
        }
    }

    /// Counts what was read in the picture of an example.
    pub fn add(&mut self, example: &Example, reading: &Reading) {
        for (question, answer) in example.asked() {
            if let Some((_, tally)) = self
                .cells
                .iter_mut()
                .find(|(column, _)| *column == question)
            {
                tally.add(reading.answer(question) == Some(answer));
            }
        }
        self.everything.add(example.all_right(reading));
    }

    /// The count of a column.
    pub fn cell(&self, question: Question) -> Option<Tally> {
        self.cells
            .iter()
            .find(|(column, _)| *column == question)
            .map(|(_, tally)| *tally)
    }
}

/// How varied pictures are in what their captions leave out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Diversity {
    /// Captions that were drawn.
    pub captions: usize,
    /// Pictures a caption.
    pub seeds: usize,
    /// For each question: captions that leave it out, and the judge's entropy over the renderer's.
    pub ratios: Vec<(Question, usize, f64)>,
}

impl Diversity {
    /// The mean of the ratios.
    pub fn mean(&self) -> f64 {
        self.ratios.iter().map(|(.., ratio)| ratio).sum::<f64>() / self.ratios.len().max(1) as f64
    }
}

/// Everything that an evaluation found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The SHA-256 of the judge's file.
    pub judge: String,
    /// What the pictures were drawn with.
    pub settings: Settings,
    /// The seed of example 0's noise.
    pub seed: u64,
    /// The table.
    pub rows: Vec<Row>,
    /// Diversity, unless it was left out.
    pub diversity: Option<Diversity>,
}

impl Report {
    /// The row of a source.
    pub fn row(&self, source: Source, held_out: bool) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.source == source && row.held_out == held_out)
    }

    /// Writes everything as JSON, whole or not at all.
    pub fn save_json(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("a report has only names and numbers");
        save(path, json.as_bytes())
    }

    /// A markdown table: shares in percent with their 95% intervals and the number of captions that asked.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("| pairs | pictures |");
        for question in COLUMNS {
            write!(text, " {} |", question.name()).expect("strings can be written to");
        }
        text.push_str(" everything asked |\n| --- | --- |");
        text.push_str(&" --- |".repeat(COLUMNS.len() + 1));
        text.push('\n');
        for row in &self.rows {
            let pairs = if row.held_out { "held-out" } else { "seen" };
            write!(text, "| {pairs} | {} |", row.source.name()).expect("strings can be written to");
            for tally in row
                .cells
                .iter()
                .map(|(_, tally)| tally)
                .chain([&row.everything])
            {
                write!(text, " {} |", percent(*tally)).expect("strings can be written to");
            }
            text.push('\n');
        }
        if let Some(diversity) = &self.diversity {
            text.push('\n');
            text.push_str(&diversity.to_markdown());
        }
        text
    }
}

impl Diversity {
    /// A markdown table of the ratios.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "| entropy over the renderer's ({} captions, {} seeds each) | captions that leave it out | ratio |\n\
             | --- | --- | --- |\n",
            self.captions, self.seeds
        );
        for (question, captions, ratio) in &self.ratios {
            writeln!(text, "| {} | {captions} | {ratio:.2} |", question.name())
                .expect("strings can be written to");
        }
        writeln!(text, "| mean | | {:.2} |", self.mean()).expect("strings can be written to");
        text
    }
}

/// `61.0% (54.1 to 67.5), n 200`
fn percent(tally: Tally) -> String {
    let Some(share) = tally.share() else {
        return "not asked".to_owned();
    };
    let (low, high) = tally.interval();
    format!(
        "{:.1}% ({:.1} to {:.1}), n {}",
        100.0 * share,
        100.0 * low,
        100.0 * high,
        tally.asked
    )
}
