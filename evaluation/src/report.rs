//! What an evaluation found, as numbers and as a table.

use pipeline::Settings;
use serde::{Deserialize, Serialize};

use crate::Reading;
use crate::examples::Example;
use crate::questions::Question;
use crate::statistics::Tally;

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

    /// Markdown tables: shares in percent with their 95% intervals and the number of captions that asked.
    pub fn to_markdown(&self) -> String {
        let mut header = vec!["pairs", "pictures"];
        header.extend(COLUMNS.map(Question::name));
        header.push("everything asked");
        let rows = self.rows.iter().map(|row| {
            let pairs = if row.held_out { "held-out" } else { "seen" };
            let cells = row.cells.iter().map(|(_, tally)| tally);
            let mut line = vec![pairs.to_owned(), row.source.name().to_owned()];
            line.extend(cells.chain([&row.everything]).map(|tally| percent(*tally)));
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
        let mean = vec![
            "mean".to_owned(),
            String::new(),
            format!("{:.2}", self.mean()),
        ];
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
    format!(
        "{:.1}% ({:.1} to {:.1}), n {}",
        100.0 * share,
        100.0 * low,
        100.0 * high,
        tally.asked
    )
}
