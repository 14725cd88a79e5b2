//! The pictures that were drawn, as sheets of a hundred in a folder, so that a run that was cut off goes on, and eyes can look.

use std::path::{Path, PathBuf};

use image::RgbImage;
use images::{contact_sheet, cut_sheet};
use pipeline::{Pipeline, to_pictures};

use super::systems::{Setting, Systems};
use crate::Error;
use crate::evaluate::{EvaluationProgress, true_pictures};
use crate::examples::Example;
use crate::sheets::save_png;

/// Pictures on a sheet, and on a row of it.
const SHEET: usize = 100;
const COLUMNS: u32 = 10;

/// Draws what its folder does not have.
pub struct Drawn<'a> {
    systems: &'a Systems<'a>,
    folder: PathBuf,
    batch: usize,
}

/// Captions and the seeds of their noise.
struct Orders<'a> {
    name: String,
    captions: Vec<&'a str>,
    seeds: Vec<u64>,
}

impl<'a> Drawn<'a> {
    /// In `folder`, `batch` at once.
    pub fn new(systems: &'a Systems<'a>, folder: &Path, batch: usize) -> Self {
        Self { systems, folder: folder.to_owned(), batch: batch.max(1) }
    }

    /// A picture for each example. What asks for pairs has sheets of its own.
    pub fn of_examples(
        &self,
        setting: Setting,
        examples: &[Example],
        progress: &mut EvaluationProgress,
    ) -> Result<Vec<RgbImage>, Error> {
        let pairs = examples.first().is_some_and(|e| e.caption.mentioned.second.is_some());
        let orders = Orders {
            name: if pairs { format!("{}-pairs", setting.slug()) } else { setting.slug() },
            captions: examples.iter().map(|e| &*e.caption.text).collect(),
            seeds: examples.iter().map(|e| e.number).collect(),
        };
        self.draw(setting, &orders, progress)
    }

    /// As many pictures of each caption, caption by caption.
    pub fn of_captions(
        &self,
        setting: Setting,
        captions: Vec<&str>,
        each: usize,
        progress: &mut EvaluationProgress,
    ) -> Result<Vec<RgbImage>, Error> {
        let all = captions.len() * each;
        let orders = Orders {
            name: format!("{}-open", setting.slug()),
            captions: captions.iter().flat_map(|&text| std::iter::repeat_n(text, each)).collect(),
            seeds: (0..all as u64).collect(),
        };
        self.draw(setting, &orders, progress)
    }

    fn draw(
        &self,
        setting: Setting,
        orders: &Orders,
        progress: &mut EvaluationProgress,
    ) -> Result<Vec<RgbImage>, Error> {
        let folder = self.folder.join(&orders.name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::File { path: folder.clone(), cause: error.to_string() })?;
        let all = orders.captions.len();
        let side = self.systems.stack.base_side()?;
        let mut pictures = Vec::with_capacity(all);
        while pictures.len() < all {
            let first = pictures.len();
            let last = (first + SHEET).min(all);
            // A trial with fewer pictures has sheets of its own.
            let path = folder.join(format!("{first:05}-{last:05}.png"));
            let count = (last - first) as u32;
            let kept = image::open(&path).ok();
            let kept = kept.and_then(|sheet| cut_sheet(&sheet.to_rgb8(), side, count, COLUMNS));
            let sheet = match kept {
                Some(kept) => kept,
                None => {
                    let drawn = self.draw_sheet(setting, orders, first..last)?;
                    save_png(&contact_sheet(&drawn, COLUMNS), &path)?;
                    drawn
                }
            };
            pictures.extend(sheet);
            progress(&orders.name, pictures.len() as u64, all as u64);
        }
        Ok(pictures)
    }

    fn draw_sheet(
        &self,
        setting: Setting,
        orders: &Orders,
        numbers: std::ops::Range<usize>,
    ) -> Result<Vec<RgbImage>, Error> {
        let mut drawn = Vec::new();
        let (captions, seeds) = (&orders.captions[numbers.clone()], &orders.seeds[numbers]);
        for (captions, seeds) in captions.chunks(self.batch).zip(seeds.chunks(self.batch)) {
            drawn.extend(to_pictures(&self.systems.draw(setting, captions, seeds)?));
        }
        Ok(drawn)
    }
}

/// The scenes of examples as small as the decoder's pictures.
pub fn true_bases(pipeline: &Pipeline, examples: &[Example]) -> Result<Vec<RgbImage>, Error> {
    let mut bases = Vec::with_capacity(examples.len());
    for some in examples.chunks(SHEET) {
        let pictures = true_pictures(some, 4 * pipeline.base_side()?);
        bases.extend(to_pictures(&pipeline.base_pictures(&pictures)?));
    }
    Ok(bases)
}
