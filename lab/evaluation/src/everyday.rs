//! Everyday captions: what people type first, images of them for a person to judge, and what was judged.

use std::fmt::Write;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use images::contact_sheet;
use judge::Proportion;
use judge::markdown::table;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::evaluator::{Evaluator, Report};
use crate::sheets::caption_table;
use crate::statistics::{Estimate, bootstrap};

/// Images of each caption, of as many seeds.
pub const SEEDS: usize = 3;

/// The captions as they were written, before any model drew them.
const CAPTIONS: &str = include_str!("../everyday-captions.txt");

/// Captions on a row of a sheet, the side of its images in pixels, and the frame of those that are wrong.
const COLUMNS: usize = 8;
const SIDE: u32 = 72;
const FRAME: u32 = 4;
const WRONG: Rgb<u8> = Rgb([225, 30, 30]);

/// The captions in their order.
pub fn everyday_captions() -> Vec<&'static str> {
    CAPTIONS.lines().collect()
}

/// [`SEEDS`] images a caption, of the seeds from the evaluation's own on, caption by caption; those of a seed are drawn
/// together, and the folder of samples keeps them.
pub fn draw_everyday(evaluator: &Evaluator) -> Result<Vec<[RgbImage; SEEDS]>, Error> {
    let captions = everyday_captions();
    let captions = &captions[..evaluator.limited(captions.len() as u64) as usize];
    evaluator.pipeline.prepare(pipeline::Task::GENERATE, &evaluator.settings.drawing)?;
    let mut of_seeds = Vec::new();
    for number in 0..SEEDS as u64 {
        let seed = evaluator.settings.seed.wrapping_add(number);
        let label = format!("everyday, seed {seed}");
        let images = evaluator.sample_batches(&label, captions.len(), &|range| {
            let captions = &captions[range];
            let seeds = vec![seed; captions.len()];
            evaluator.sample(captions, None, &seeds, &evaluator.settings.drawing)
        })?;
        of_seeds.push(images.into_iter());
    }
    let next = |of_seeds: &mut Vec<std::vec::IntoIter<RgbImage>>| {
        let images: Vec<RgbImage> = of_seeds.iter_mut().filter_map(Iterator::next).collect();
        images.try_into().ok()
    };
    Ok(std::iter::from_fn(|| next(&mut of_seeds)).collect())
}

/// Whether each image of each caption shows what the caption says, as a person judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// A row a caption, an entry a seed.
    pub rows: Vec<[bool; SEEDS]>,
}

impl Verdicts {
    /// A file to fill in: a line `? ? ? | caption` each.
    pub fn template() -> String {
        let line = |caption| format!("{}| {caption}\n", "? ".repeat(SEEDS));
        everyday_captions().into_iter().map(line).collect()
    }

    /// Reads lines such as `yes no yes | a dog`, one for each of the captions in their order; those that begin with `#` are
    /// passed over.
    pub fn read(text: &str) -> Result<Self, Error> {
        let captions = everyday_captions();
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
        let mut rows = Vec::new();
        for (number, line) in lines {
            let wrong = |what: String| Error::Verdicts { line: number, what };
            let (verdicts, caption) = line.split_once(" | ").ok_or_else(|| {
                wrong("there is no ` | ` between verdicts and caption".to_owned())
            })?;
            let expected = captions.get(rows.len()).copied().unwrap_or("the file's end");
            if caption != expected {
                return Err(wrong(format!("`{caption}` stands where `{expected}` is expected")));
            }
            let read = |word: &str| match word {
                "yes" => Ok(true),
                "no" => Ok(false),
                other => Err(wrong(format!("a verdict is yes or no, not `{other}`"))),
            };
            let row = verdicts.split(' ').map(read).collect::<Result<Vec<bool>, Error>>()?;
            let count = row.len();
            rows.push(<[bool; SEEDS]>::try_from(row).map_err(|_| {
                wrong(format!("there are {count} verdicts, and each caption has {SEEDS} pictures"))
            })?);
        }
        if rows.len() != captions.len() {
            let what = format!(
                "verdicts on {} of the {} captions are missing",
                captions.len() - rows.len(),
                captions.len()
            );
            return Err(Error::Verdicts { line: text.lines().count() + 1, what });
        }
        Ok(Self { rows })
    }

    /// How often the images were right.
    pub fn report(&self) -> EverydayReport {
        let shares: Vec<f64> =
            self.rows.iter().map(|row| right(row) as f64 / SEEDS as f64).collect();
        let mean = |rows: &tch::Tensor| {
            let rows = Vec::<i64>::try_from(rows).unwrap_or_default();
            rows.iter().map(|&row| shares[row as usize]).sum::<f64>() / rows.len().max(1) as f64
        };
        let captions =
            |count: fn(usize) -> bool| self.rows.iter().map(|row| count(right(row))).collect();
        EverydayReport {
            images: self.rows.iter().flatten().copied().collect(),
            share: bootstrap(self.rows.len(), 2000, mean).percent(),
            of_seeds: std::array::from_fn(|seed| self.rows.iter().map(|row| row[seed]).collect()),
            always: captions(|right| right == SEEDS),
            ever: captions(|right| right > 0),
        }
    }
}

fn right(row: &[bool; SEEDS]) -> usize {
    row.iter().filter(|right| **right).count()
}

/// How often images of everyday captions were right, as a person judged them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EverydayReport {
    /// Of all images.
    pub images: Proportion,
    /// The same share in percent, with an interval over captions, whose images are alike.
    pub share: Estimate,
    /// Of each seed's images.
    pub of_seeds: [Proportion; SEEDS],
    /// Captions of which every image is right.
    pub always: Proportion,
    /// Captions of which one image at least is right.
    pub ever: Proportion,
}

impl Report for EverydayReport {
    fn to_markdown(&self) -> String {
        let Estimate { value, interval: (low, high) } = self.share;
        let share = format!("{value:.1}% ({low:.1} to {high:.1}), n {}", self.images.total);
        let cells = [share].into_iter().chain(self.of_seeds.map(|of_seed| of_seed.to_string()));
        let cells =
            cells.chain([self.always, self.ever].map(|of_captions| of_captions.to_string()));
        let header = "everyday captions: pictures that show what they say | first seed | second | third \
                      | captions right in all three | in one at least";
        table(header, [cells.collect()])
    }
}

/// All images on one sheet, those that were judged wrong in a frame, and the captions as a markdown table laid out likewise.
pub fn everyday_sheet(
    images: &[[RgbImage; SEEDS]],
    verdicts: Option<&Verdicts>,
) -> (RgbImage, String) {
    let mut small = Vec::new();
    for (number, row) in images.iter().enumerate() {
        for (seed, image) in row.iter().enumerate() {
            let image = imageops::resize(image, SIDE, SIDE, FilterType::Lanczos3);
            let is_right = verdicts
                .is_none_or(|verdicts| verdicts.rows.get(number).is_none_or(|row| row[seed]));
            small.push(if is_right { image } else { framed(image) });
        }
    }
    let captions = everyday_captions();
    let mut cells = Vec::new();
    for (number, caption) in captions.iter().take(images.len()).enumerate() {
        let mut cell = (*caption).to_owned();
        if let Some(row) = verdicts.and_then(|verdicts| verdicts.rows.get(number)) {
            write!(cell, " ({} of {SEEDS})", right(row)).expect("strings can be written to");
        }
        cells.push(cell);
    }
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    (contact_sheet(&small, (COLUMNS * SEEDS) as u32), caption_table(&cells, COLUMNS))
}

fn framed(mut image: RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if x.min(y).min(width - 1 - x).min(height - 1 - y) < FRAME {
            *pixel = WRONG;
        }
    }
    image
}
