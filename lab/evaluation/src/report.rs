//! What an evaluation found, as numbers and as a table.

use pipeline::Settings;
use serde::{Deserialize, Serialize};

use crate::evaluate::EvaluationSettings;
use crate::examples::{Asked, Example};
use crate::questions::Question;
use crate::statistics::Tally;
use crate::{Judge, Reading};

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

/// How often pictures showed what their captions said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Where the pictures came from.
    pub source: Source,
    /// What the captions asked for.
    pub asked: Asked,
    /// The pictures that were right in each of [`Asked::columns`], where the caption mentions it.
    pub cells: Vec<(String, Tally)>,
    /// Pictures that showed everything that their captions said.
    pub everything: Tally,
}

impl Row {
    /// A row that counts nothing yet.
    pub fn new(source: Source, asked: Asked) -> Self {
        let columns = asked.columns().iter();
        Self {
            source,
            asked,
            cells: columns.map(|column| (column.name.to_owned(), Tally::default())).collect(),
            everything: Tally::default(),
        }
    }

    /// Counts what was read in the picture of an example.
    pub fn add(&mut self, example: &Example, reading: &Reading) {
        for (column, (_, tally)) in self.asked.columns().iter().zip(&mut self.cells) {
            if let Some(right) = example.right(column.questions, reading) {
                tally.add(right);
            }
        }
        self.everything.add(example.all_right(reading));
    }

    /// The count of the column of this name.
    pub fn cell(&self, name: &str) -> Option<Tally> {
        let mut cells = self.cells.iter();
        cells.find(|(column, _)| column == name).map(|(_, tally)| *tally)
    }

    /// The columns' names, and that of the last.
    pub(crate) fn header(asked: Asked) -> Vec<&'static str> {
        let names = asked.columns().iter().map(|column| column.name);
        names.chain(["everything asked"]).collect()
    }

    /// What they hold.
    pub(crate) fn percents(&self) -> impl Iterator<Item = String> {
        let cells = self.cells.iter().map(|(_, tally)| *tally);
        cells.chain([self.everything]).map(percent)
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
    /// A report without diversity.
    pub(crate) fn new(judge: &Judge, settings: &EvaluationSettings, rows: Vec<Row>) -> Self {
        Self {
            judge: judge.sha256().to_owned(),
            settings: settings.drawing,
            seed: settings.seed,
            rows,
            diversity: None,
        }
    }

    /// The row of a source.
    pub fn row(&self, source: Source, asked: Asked) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.source == source && row.asked == asked)
    }

    /// Markdown tables: shares in percent with their 95% intervals and the number of captions that asked. All rows have
    /// the columns of the first.
    pub fn to_markdown(&self) -> String {
        let asked = self.rows.first().map_or(Asked::Seen, |row| row.asked);
        let mut header = vec!["captions", "pictures"];
        header.extend(Row::header(asked));
        let rows = self.rows.iter().map(|row| {
            let mut line = vec![row.asked.name().to_owned(), row.source.name().to_owned()];
            line.extend(row.percents());
            line
        });
        let accuracy = table(&header, rows);
        match &self.diversity {
            None => accuracy,
            Some(diversity) => format!("{accuracy}\n{}", diversity.to_markdown()),
        }
    }
}

impl Diversity {
    /// A markdown table of the ratios.
    pub fn to_markdown(&self) -> String {
        let title = format!(
            "entropy over the renderer's ({} captions, {} seeds each)",
            self.captions, self.seeds
        );
        let rows = self.ratios.iter().map(|(question, captions, ratio)| {
            let name = question.name().to_owned();
            vec![name, captions.to_string(), format!("{ratio:.2}")]
        });
        let mean = vec!["mean".to_owned(), String::new(), format!("{:.2}", self.mean())];
        let header = [&title, "captions that leave it out", "ratio"];
        table(&header, rows.chain([mean]))
    }
}

/// A markdown table.
pub(crate) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(header);
    text.push_str(&line(&vec!["---"; header.len()]));
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        text.push_str(&line(&cells));
    }
    text
}

/// `61.0% (54.1 to 67.5), n 200`
pub(crate) fn percent(tally: Tally) -> String {
    let Some(share) = tally.share() else {
        return "not asked".to_owned();
    };
    let (low, high) = tally.interval();
    format!("{:.1}% ({:.1} to {:.1}), n {}", 100.0 * share, 100.0 * low, 100.0 * high, tally.asked)
}
