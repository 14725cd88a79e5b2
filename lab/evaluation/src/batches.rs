//! Samples in batches, with contact sheets of a hundred in a folder, so that a run that was cut off goes on, and eyes can look.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use image::RgbImage;
use images::{contact_sheet, cut_sheet};

use crate::error::Error;
use crate::evaluator::EvaluationProgress;

/// Images on a sheet, and on a row of it.
const SHEET: usize = 100;
const COLUMNS: u32 = 10;

/// The longest time that a process waits for a sheet of another's.
const WAIT: Duration = Duration::from_secs(30 * 60);

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
    /// The number of this process and of all that share the folder: sheets are dealt out in turn, and each process samples its
    /// own and then waits for the others'.
    pub part: (usize, usize),
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
        self.sample_own(label, count, sample)?;
        let mut images = Vec::with_capacity(count);
        while images.len() < count {
            let sheet = images.len()..(images.len() + SHEET).min(count);
            let path = self.path(&sheet);
            let there = match &path {
                Some(path) if self.part.1 > 1 => Some(self.wait_for(path, sheet.len())?),
                Some(path) => self.read(path, sheet.len()),
                None => None,
            };
            if let Some(samples) = there {
                images.extend(samples);
                (self.progress)(label, images.len() as u64, count as u64);
                continue;
            }
            for first in sheet.clone().step_by(self.size) {
                images.extend(sample(first..first.saturating_add(self.size).min(sheet.end))?);
                (self.progress)(label, images.len() as u64, count as u64);
            }
            if let Some(path) = &path {
                write_sheet(path, &images[sheet])?;
            }
        }
        Ok(images)
    }

    /// Samples the sheets that are this process's of several, and not there.
    fn sample_own(
        &self,
        label: &str,
        count: usize,
        sample: &dyn Fn(Range<usize>) -> Result<Vec<RgbImage>, Error>,
    ) -> Result<(), Error> {
        let (rank, world) = self.part;
        if world == 1 {
            return Ok(());
        }
        for start in (0..count).step_by(SHEET).skip(rank).step_by(world) {
            let sheet = start..(start + SHEET).min(count);
            let path = self.path(&sheet).ok_or(Error::NoFolder { processes: world })?;
            if self.read(&path, sheet.len()).is_some() {
                continue;
            }
            let mut images = Vec::with_capacity(sheet.len());
            for first in sheet.clone().step_by(self.size) {
                images.extend(sample(first..first.saturating_add(self.size).min(sheet.end))?);
                (self.progress)(label, (start + images.len()) as u64, count as u64);
            }
            write_sheet(&path, &images)?;
        }
        Ok(())
    }

    /// The file of a sheet. A trial with fewer images has sheets of its own.
    fn path(&self, sheet: &Range<usize>) -> Option<PathBuf> {
        let name = format!("{:05}-{:05}.png", sheet.start, sheet.end);
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// The images of a sheet that another process may still sample.
    fn wait_for(&self, path: &Path, count: usize) -> Result<Vec<RgbImage>, Error> {
        let begun = Instant::now();
        loop {
            if let Some(images) = self.read(path, count) {
                return Ok(images);
            }
            if begun.elapsed() > WAIT {
                return Err(Error::NoSheet { path: path.to_owned(), minutes: WAIT.as_secs() / 60 });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn read(&self, path: &Path, count: usize) -> Option<Vec<RgbImage>> {
        cut_sheet(&image::open(path).ok()?.to_rgb8(), self.side, count as u32, COLUMNS)
    }
}

fn write_sheet(path: &Path, images: &[RgbImage]) -> Result<(), Error> {
    images::write_png(path, &contact_sheet(images, COLUMNS))
        .map_err(|error| Error::write(path, error))
}
