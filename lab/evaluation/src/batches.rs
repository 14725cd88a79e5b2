//! Samples in batches, with contact sheets of a hundred in a folder, so that a run that was cut off goes on, and eyes can look.

use std::ops::Range;
use std::path::{Path, PathBuf};

use image::RgbImage;
use images::{contact_sheet, cut_sheet};

use crate::error::Error;
use crate::evaluator::EvaluationProgress;

/// Images on a sheet, and on a row of it.
const SHEET: usize = 100;
const COLUMNS: u32 = 10;

/// How a number of images is sampled.
pub struct Batches<'a> {
    /// The folder of their sheets. None writes no sheets.
    pub folder: Option<PathBuf>,
    /// The images' side, in pixels.
    pub side: u32,
    /// Images that are sampled at once, at least 1.
    pub size: usize,
    /// Hears of every batch.
    pub progress: &'a EvaluationProgress<'a>,
}

impl Batches<'_> {
    /// `count` images, of which `sample` makes those of a range; sheets in the folder are read instead. `label` is for the
    /// progress.
    pub fn sample(
        &self,
        label: &str,
        count: usize,
        sample: &dyn Fn(Range<usize>) -> Result<Vec<RgbImage>, Error>,
    ) -> Result<Vec<RgbImage>, Error> {
        if let Some(folder) = &self.folder {
            std::fs::create_dir_all(folder).map_err(|error| Error::write(folder, error))?;
        }
        let mut images = Vec::with_capacity(count);
        while images.len() < count {
            let sheet = images.len()..(images.len() + SHEET).min(count);
            // A trial with fewer images has sheets of its own.
            let name = format!("{:05}-{:05}.png", sheet.start, sheet.end);
            let path = self.folder.as_ref().map(|folder| folder.join(name));
            if let Some(samples) = path.as_ref().and_then(|path| self.read(path, sheet.len())) {
                images.extend(samples);
                (self.progress)(label, images.len() as u64, count as u64);
                continue;
            }
            for first in sheet.clone().step_by(self.size) {
                images.extend(sample(first..first.saturating_add(self.size).min(sheet.end))?);
                (self.progress)(label, images.len() as u64, count as u64);
            }
            if let Some(path) = &path {
                images::write_png(path, &contact_sheet(&images[sheet], COLUMNS))
                    .map_err(|error| Error::write(path, error))?;
            }
        }
        Ok(images)
    }

    fn read(&self, path: &Path, count: usize) -> Option<Vec<RgbImage>> {
        cut_sheet(&image::open(path).ok()?.to_rgb8(), self.side, count as u32, COLUMNS)
    }
}
