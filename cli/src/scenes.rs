//! `unclip scenes`: an export of the synthetic images and captions that the project's own model learns from.

use std::path::PathBuf;

use ::scenes::{Export, Exporter};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::destinations::check_room;
use crate::interrupt;
use crate::stdout::print_path;
use crate::value_parsers;

/// Arguments of `unclip scenes`.
#[derive(Args)]
pub(crate) struct Scenes {
    /// How many pictures
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parsers::count, allow_negative_numbers = true)]
    count: u64,
    /// The first picture's seed; the next has the next seed
    #[arg(long, value_name = "S", default_value = "0", value_parser = value_parsers::seed, allow_negative_numbers = true)]
    seed: u64,
    /// The pictures' width and height
    #[arg(long, value_name = "PIXELS", default_value = "128", value_parser = value_parsers::pixels, allow_negative_numbers = true)]
    size: u32,
    /// Show things in colours that no model is trained on
    #[arg(long)]
    held_out: bool,
    /// The folder to write to, with metadata.jsonl: new, empty, or one that the same command did not finish
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Scenes {
    /// Renders the scenes and writes them.
    pub(crate) fn run(&self) -> Result<()> {
        let options =
            Export { count: self.count, seed: self.seed, size: self.size, held_out: self.held_out };
        check_room("--out", &self.out)?;
        interrupt::defer();
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} pictures, {eta} to go")?;
        let bar = ProgressBar::new(self.count).with_style(style);
        let mut exporter = Exporter::new(options, &self.out)?;
        while exporter.export_next()? {
            bar.set_position(exporter.done());
            if exporter.done() < self.count {
                let (done, count) = (exporter.done() as usize, self.count as usize);
                interrupt::check(done, count, "pictures are drawn")?;
            }
        }
        bar.finish();
        print_path(&self.out)
    }
}
