//! Runs of images, batch after batch: each image is written, printed and shown, and the user may stop between two batches.

use std::path::PathBuf;

use anyhow::Result;
use files::extensions::extension;
use images::{RgbImage, contact_sheet, read_image};
use indicatif::MultiProgress;
use pipeline::{Observer, Record, Settings, Step};

use crate::drawing::ImageArgs;
use crate::interrupt;
use crate::messages::say;
use crate::output::save;
use crate::preview;
use crate::progress::Bars;
use crate::record::line;
use crate::stdout::{print_line, print_path};
use crate::threads::warn_of_idle_processors;

/// An image of a run.
pub(crate) struct Job {
    /// Its file.
    pub path: PathBuf,
    /// The record that goes into it.
    pub record: Record,
    /// Whether its file is there already and stays as it is.
    pub there: bool,
}

/// Images that a GPU samples at a time unless they do not fit.
const GPU_BATCH: usize = 16;

/// The number of images that are sampled at a time.
struct BatchSize {
    size: usize,
    /// Whether it is halved where it does not fit into memory.
    shrinks: bool,
}

impl BatchSize {
    /// The size that the user chose, or 1 on a CPU, or as many as fit on a GPU.
    fn new(flag: Option<usize>, on_cpu: bool) -> Self {
        match flag {
            Some(size) => Self { size, shrinks: false },
            None => Self { size: if on_cpu { 1 } else { GPU_BATCH }, shrinks: !on_cpu },
        }
    }
}

fn is_out_of_memory(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(pipeline::Error::Memory(_)))
}

/// A run of images.
pub(crate) struct Run<'a> {
    args: &'a ImageArgs,
    jobs: Vec<Job>,
    bars: Bars,
    done: usize,
    batch: BatchSize,
    /// The pictures for the contact sheet, where there will be one.
    sheet: Vec<Option<RgbImage>>,
    /// The first failure of standard output.
    printed: Result<()>,
}

/// Columns of a contact sheet: as many as rows, or one more.
pub(crate) fn columns(pictures: usize) -> u32 {
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
    pub(crate) fn new(args: &'a ImageArgs, jobs: Vec<Job>) -> Result<Self> {
        let sheet = jobs
            .iter()
            .map(|job| match job.there && args.grid.is_some() {
                true => Ok(Some(read_image(&job.path)?.image)),
                false => Ok(None),
            })
            .collect::<Result<_>>()?;
        let missing = jobs.iter().filter(|job| !job.there);
        let settings: Vec<Settings> = missing.map(|job| job.record.settings.clone()).collect();
        if !args.no_metadata {
            warn_of_formats(&jobs);
        }
        let on_cpu = jobs.iter().any(|job| !job.there && job.record.device == "cpu");
        interrupt::defer();
        warn_of_idle_processors(on_cpu, 1);
        Ok(Self {
            args,
            jobs,
            done: 0,
            batch: BatchSize::new(args.batch, on_cpu),
            bars: Bars::of(settings),
            sheet,
            printed: Ok(()),
        })
    }

    /// Samples all images that are not there yet, a batch at a time: `sample` gets the screen, which it may suspend, and the places of a batch's images. Each is
    /// written, and its path printed.
    pub(crate) fn draw(
        &mut self,
        mut sample: impl FnMut(&MultiProgress, &[usize], &mut dyn Observer) -> Result<Vec<RgbImage>>,
    ) -> Result<()> {
        let jobs = self.jobs.iter().enumerate();
        let missing: Vec<usize> = jobs.filter(|(_, job)| !job.there).map(|(n, _)| n).collect();
        let screen = self.bars.screen();
        let mut rest = &missing[..];
        while !rest.is_empty() {
            interrupt::check(self.done, missing.len(), "pictures are drawn")?;
            let (batch, later) = rest.split_at(self.batch.size.min(rest.len()));
            let observer = &mut |step: Step<'_>| self.bars.observe(self.done, &step);
            match sample(&screen, batch, observer) {
                Err(error) if self.batch.shrinks && batch.len() > 1 && is_out_of_memory(&error) => {
                    self.batch.size = batch.len() / 2;
                }
                sampled => {
                    for (&index, image) in batch.iter().zip(sampled?) {
                        self.finish_image(index, image)?;
                    }
                    rest = later;
                }
            }
        }
        Ok(())
    }

    /// Writes an image and prints its path.
    fn finish_image(&mut self, index: usize, image: RgbImage) -> Result<()> {
        let Job { path, record, .. } = &self.jobs[index];
        let texts = match self.args.no_metadata {
            true => Vec::new(),
            false => record.texts(image.dimensions()).to_vec(),
        };
        save(path, &image, &texts, self.args.force)?;
        self.done += 1;
        let printed = self.bars.suspend(|| {
            let printed = match self.args.json {
                true => print_line!("{}", line(record, index, path)),
                false => print_path(path),
            };
            if self.args.preview {
                preview::show(&image);
            }
            printed
        });
        // The pictures were asked for, whatever becomes of their names.
        self.printed = std::mem::replace(&mut self.printed, Ok(())).and(printed);
        if self.args.grid.is_some() {
            self.sheet[index] = Some(image);
        }
        Ok(())
    }

    /// Writes the contact sheet, if there is to be one, and prints its path.
    pub(crate) fn finish(mut self) -> Result<()> {
        let Some(grid) = &self.args.grid else {
            return self.printed;
        };
        let sheet = std::mem::take(&mut self.sheet);
        let pictures: Vec<RgbImage> = sheet.into_iter().flatten().collect();
        let sheet = contact_sheet(&pictures, columns(pictures.len()));
        save(grid, &sheet, &[], true)?;
        if !self.args.json {
            self.printed = self.printed.and(print_path(grid));
        }
        self.printed
    }
}
