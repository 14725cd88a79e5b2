//! The files and the printed tables of `unclip evaluate`.

use std::path::{Path, PathBuf};

use ::judge::Judge;
use anyhow::{Context, Error, Result};
use evaluation::sheets::{
    EDIT_COLUMNS, caption_table, edit_sheet, nearest_scenes, nearest_sheet, prediction_table,
};
use evaluation::{EditExample, Report};
use images::{RgbImage, contact_sheet, write_png};
use indicatif::ProgressBar;
use training::trainer::FIRST_DECODER_IMAGE;

use super::Evaluate;
use crate::origins::Origins;
use crate::output::write_whole;
use crate::stdout::print_line;

/// Images in a contact sheet, and its columns.
const SHEET: usize = 48;
const COLUMNS: usize = 8;

/// Edits in a contact sheet.
const EDITS: usize = 12;

/// Images whose nearest training scene is looked for.
const NEAREST: usize = 24;

/// Predictions that are listed for a person to check, and the columns of their contact sheet.
const VERDICTS: usize = 100;
const VERDICT_COLUMNS: u32 = 10;

impl Evaluate {
    /// Writes the sheets that are asked for, of the first table of captions.
    pub(super) fn write_sheets(&self, samples: &[(String, RgbImage)], judge: &Judge) -> Result<()> {
        let images = |count: usize| -> Vec<RgbImage> {
            samples.iter().take(count).map(|(_, image)| image.clone()).collect()
        };
        if let Some(path) = &self.sheet {
            let captions: Vec<&str> =
                samples.iter().take(SHEET).map(|(caption, _)| caption.as_str()).collect();
            write_sheet(path, &contact_sheet(&images(SHEET), COLUMNS as u32))?;
            let table = caption_table(&captions, COLUMNS);
            write_whole(&beside(path, "md"), table.as_bytes(), true)?;
        }
        if let Some(path) = &self.nearest {
            let images = images(NEAREST);
            let seeds = FIRST_DECODER_IMAGE..FIRST_DECODER_IMAGE + self.nearest_among;
            write_sheet(path, &nearest_sheet(&images, &nearest_scenes(&images, seeds)))?;
        }
        if let Some(path) = &self.verdicts {
            let table = prediction_table(judge, &samples[..samples.len().min(VERDICTS)]);
            write_whole(path, table.as_bytes(), true)?;
            let sheet = contact_sheet(&images(VERDICTS), VERDICT_COLUMNS);
            write_sheet(&beside(path, "png"), &sheet)?;
        }
        Ok(())
    }

    /// Writes the sheet that is asked for, of edits.
    pub(super) fn write_edit_sheet(&self, samples: &[(EditExample, RgbImage)]) -> Result<()> {
        let samples = &samples[..samples.len().min(EDITS)];
        if let Some(path) = &self.sheet {
            let captions: Vec<&str> =
                samples.iter().map(|(example, _)| example.target.caption.text.as_str()).collect();
            write_sheet(path, &edit_sheet(samples))?;
            let table = caption_table(&captions, EDIT_COLUMNS);
            write_whole(&beside(path, "md"), table.as_bytes(), true)?;
        }
        Ok(())
    }
}

/// The tables so far: printed, and written as JSON.
pub(super) struct Tables<'a> {
    pub(super) bar: &'a ProgressBar,
    pub(super) json: Option<&'a Path>,
    /// The origins of the settings that an error may name.
    pub(super) origins: Option<Origins>,
    pub(super) reports: serde_json::Map<String, serde_json::Value>,
    /// Whether this process prints and writes them, of those that a launcher started.
    pub(super) is_first: bool,
}

impl Tables<'_> {
    /// Prints a table, and writes all so far, which took long enough.
    pub(super) fn add(
        &mut self,
        name: &str,
        report: Result<impl Report, evaluation::Error>,
    ) -> Result<()> {
        let report = report.map_err(|error| self.explain(error))?;
        if !self.is_first {
            return Ok(());
        }
        self.bar.suspend(|| print_line!("{}", report.to_markdown()))?;
        self.reports.insert(name.to_owned(), serde_json::to_value(report)?);
        match self.json {
            Some(path) => {
                write_whole(path, serde_json::to_string_pretty(&self.reports)?.as_bytes(), true)
            }
            None => Ok(()),
        }
    }

    pub(super) fn explain(&self, error: evaluation::Error) -> Error {
        match (error, &self.origins) {
            (evaluation::Error::Pipeline(error), Some(origins)) => origins.explain()(*error),
            (error, _) => Error::new(error),
        }
    }
}

pub(super) fn write_sheet(path: &Path, sheet: &RgbImage) -> Result<()> {
    write_png(path, sheet).with_context(|| format!("cannot write {}", path.display()))
}

/// The file of the same name with another ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}
