//! Pictures that are drawn one after another: each is written, told and shown, and the user may stop between two.

use std::path::PathBuf;

use anyhow::Result;
use files::extensions::extension;
use images::{RgbImage, contact_sheet, read_image};
use pipeline::{Progress, Settings};

use crate::drawing::Pictures;
use crate::interrupt;
use crate::messages::say;
use crate::output::save;
use crate::preview;
use crate::progress::Bars;
use crate::record::line;
use crate::stdout::{print_line, print_path};
use crate::threads::warn_of_idle_processors;
use pipeline::Record;

/// A picture of a run.
pub struct Job {
    /// Its file.
    pub path: PathBuf,
    /// What is told of it.
    pub record: Record,
    /// Whether its file is there already and stays as it is.
    pub there: bool,
}

/// A run of pictures.
pub struct Run<'a> {
    wanted: &'a Pictures,
    jobs: Vec<Job>,
    bars: Bars,
    drawn: usize,
    missing: usize,
    /// The pictures for the contact sheet, where there will be one.
    sheet: Vec<Option<RgbImage>>,
    /// The first failure of standard output.
    printed: Result<()>,
}

/// Columns of a contact sheet: as many as rows, or one more.
pub fn columns(pictures: usize) -> u32 {
    (pictures as f64).sqrt().ceil() as u32
}

/// Says once that a picture to be drawn will not say how that was done.
fn warn_of_formats(jobs: &[Job]) {
    let mut missing = jobs.iter().filter(|job| !job.there);
    if let Some(job) = missing.find(|job| extension(&job.path) != "png") {
        say!("warning: {} will not say how it was drawn, only a PNG does", job.path.display());
    }
}

impl<'a> Run<'a> {
    /// Before the first picture is drawn. Those that are there already are read for the contact sheet.
    pub fn new(wanted: &'a Pictures, jobs: Vec<Job>) -> Result<Self> {
        let sheet = jobs
            .iter()
            .map(|job| match job.there && wanted.grid.is_some() {
                true => Ok(Some(read_image(&job.path)?.image)),
                false => Ok(None),
            })
            .collect::<Result<_>>()?;
        let missing = jobs.iter().filter(|job| !job.there);
        let settings: Vec<Settings> = missing.map(|job| job.record.settings).collect();
        if !wanted.no_metadata {
            warn_of_formats(&jobs);
        }
        let on_cpu = jobs.iter().any(|job| !job.there && job.record.device == "cpu");
        interrupt::defer();
        warn_of_idle_processors(on_cpu);
        Ok(Self {
            wanted,
            jobs,
            drawn: 0,
            missing: settings.len(),
            bars: Bars::of(settings),
            sheet,
            printed: Ok(()),
        })
    }

    /// Draws picture `index`, writes it and prints its path.
    pub fn draw(
        &mut self,
        index: usize,
        draw: impl FnOnce(&mut Progress) -> Result<RgbImage>,
    ) -> Result<()> {
        interrupt::check(self.drawn, self.missing, "pictures are drawn")?;
        let Job { path, record, .. } = &self.jobs[index];
        let picture = draw(&mut |stage, done, _| self.bars.set(self.drawn, stage, done))?;
        let texts = match self.wanted.no_metadata {
            true => Vec::new(),
            false => record.texts(picture.dimensions()).to_vec(),
        };
        save(path, &picture, &texts, self.wanted.force)?;
        self.drawn += 1;
        let printed = self.bars.suspend(|| {
            let printed = match self.wanted.json {
                true => print_line!("{}", line(record, index, path)),
                false => print_path(path),
            };
            if self.wanted.preview {
                preview::show(&picture);
            }
            printed
        });
        // The pictures were asked for, whatever becomes of their names.
        self.printed = std::mem::replace(&mut self.printed, Ok(())).and(printed);
        if self.wanted.grid.is_some() {
            self.sheet[index] = Some(picture);
        }
        Ok(())
    }

    /// Writes something with the progress out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Writes the contact sheet, if there is to be one, and prints its path.
    pub fn finish(mut self) -> Result<()> {
        let Some(grid) = &self.wanted.grid else {
            return self.printed;
        };
        let sheet = std::mem::take(&mut self.sheet);
        let pictures: Vec<RgbImage> = sheet.into_iter().flatten().collect();
        let sheet = contact_sheet(&pictures, columns(pictures.len()));
        save(grid, &sheet, &[], true)?;
        if !self.wanted.json {
            self.printed = self.printed.and(print_path(grid));
        }
        self.printed
    }
}
