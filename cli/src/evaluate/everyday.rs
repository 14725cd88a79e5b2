//! The table of everyday captions: pictures for a person, and what that person judged.

use anyhow::{Context, Result};
use evaluation::{Evaluator, Verdicts, draw_everyday, everyday_sheet};

use super::outputs::{Tables, beside, write_sheet};
use super::{Evaluate, Table};
use crate::input::read_text;
use crate::messages::say;
use crate::output::write_whole;

impl Evaluate {
    /// Draws the pictures; fills the table where they were judged, and else writes the file to fill in. Writes a sheet where
    /// no other table has one.
    pub(super) fn fill_everyday(&self, tables: &mut Tables, evaluator: &Evaluator) -> Result<()> {
        let verdicts = match &self.judged {
            Some(path) if path.exists() => {
                let (name, text) = read_text("--judged", path)?;
                Some(Verdicts::read(&text).with_context(|| format!("--judged {name}"))?)
            }
            _ => None,
        };
        let images = draw_everyday(evaluator).map_err(|error| tables.explain(error))?;
        if !tables.is_first {
            return Ok(());
        }
        match (&verdicts, &self.judged) {
            (Some(verdicts), _) => tables.add("everyday", Ok(verdicts.report()))?,
            (None, Some(path)) => {
                write_whole(path, Verdicts::template().as_bytes(), false)?;
                say!(
                    "every `?` of {} is for yes or no: whether the picture shows what its caption says",
                    path.display()
                );
            }
            (None, None) => {}
        }
        let has_one = self.wants_captions() || self.wants(Table::Inpainting);
        match &self.sheet {
            Some(path) if !has_one => {
                let (sheet, table) = everyday_sheet(&images, verdicts.as_ref());
                write_sheet(path, &sheet)?;
                write_whole(&beside(path, "md"), table.as_bytes(), true)
            }
            _ => Ok(()),
        }
    }
}
