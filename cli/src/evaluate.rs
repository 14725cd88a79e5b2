//! `unclip evaluate`: how often pictures show what their captions say.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use evaluation::sheets::{
    caption_table, contact_sheet, nearest_scenes, nearest_sheet, save, save_png, verdicts,
};
use evaluation::{Evaluation, EvaluationSettings, Example, Judge, evaluate};
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};
use training::legs::DECODER_SCENES;

use crate::drawing::{DecoderWishes, PriorWishes};
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::numbers;
use crate::output::check_writable;

/// Pictures in a contact sheet, and its columns.
const SHEET: usize = 48;
const COLUMNS: usize = 8;

/// Pictures whose nearest training scene is looked for.
const NEAREST: usize = 24;

/// Verdicts that are listed for a person to check.
const VERDICTS: usize = 100;

/// What `unclip evaluate` is told.
#[derive(Args)]
pub struct Evaluate {
    /// Captions with one thing in a colour that training showed
    #[arg(long, value_name = "N", default_value = "500", value_parser = numbers::count, allow_negative_numbers = true)]
    captions: u64,
    /// Captions with one thing in a colour that training never showed it in
    #[arg(long, value_name = "N", default_value = "200", value_parser = numbers::count, allow_negative_numbers = true)]
    held_out_captions: u64,
    /// Captions that are each drawn 20 times to see what varies; 0 leaves diversity out
    #[arg(long, value_name = "N", default_value = "50")]
    diversity_captions: usize,
    /// Pictures drawn at once
    #[arg(long, value_name = "N", default_value = "10")]
    batch: usize,
    /// The first picture's seed
    #[arg(long, value_name = "S", default_value = "0", value_parser = numbers::seed, allow_negative_numbers = true)]
    seed: u64,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the first pictures as one PNG, and their captions as a table beside it
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Write 24 pictures beside the nearest training picture of each as one PNG
    #[arg(long, value_name = "FILE")]
    nearest: Option<PathBuf>,
    /// How many of the pictures that the decoder learned from are searched for the nearest
    #[arg(long, value_name = "N", default_value = "160000", value_parser = numbers::count, allow_negative_numbers = true)]
    nearest_among: u64,
    /// Write the judge's verdicts on the first 100 pictures as a table, and the pictures beside it
    #[arg(long, value_name = "FILE")]
    verdicts: Option<PathBuf>,
    /// Overwrite files that are there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    #[command(flatten)]
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
}

impl Evaluate {
    /// Draws, judges, and prints the tables on standard output.
    pub fn run(&self) -> Result<()> {
        ensure!(
            self.batch > 0,
            "--batch 0: at least one picture must be drawn at once"
        );
        for (flag, path) in self.outputs() {
            check_writable(flag, &path, self.force)?;
        }
        let pipeline = self
            .model
            .open(Some(&self.prior), Some(&self.image_encoder))?;
        let drawing = self.prior_wishes.over(pipeline.defaults()?);
        let drawing = self.decoder_wishes.over(drawing);
        let settings = EvaluationSettings {
            captions: self.captions,
            held_out_captions: self.held_out_captions,
            diversity_captions: self.diversity_captions,
            batch: self.batch,
            seed: self.seed,
            ..EvaluationSettings::standard(drawing)
        };
        let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
            "{msg:>40} {bar:24} {pos}/{len}, {eta} to go",
        )?);
        let Evaluation { report, drawn } = evaluate(
            &pipeline,
            &Judge::shipped()?,
            &settings,
            &mut |what, done, of| {
                if bar.message() != what {
                    bar.reset();
                    bar.set_message(what.to_owned());
                }
                bar.set_length(of);
                bar.set_position(done);
            },
        )?;
        bar.finish_and_clear();

        let mut out = std::io::stdout();
        writeln!(out, "{}", report.to_markdown())?;
        if let Some(path) = &self.json {
            report.save_json(path)?;
        }
        self.show(&drawn)
    }

    /// The files that will be written, with the flags that ask for them.
    fn outputs(&self) -> Vec<(&'static str, PathBuf)> {
        let sheet = self.sheet.as_deref().map(|path| beside(path, "md"));
        let pictures = self.verdicts.as_deref().map(|path| beside(path, "png"));
        let outputs = [
            ("--json", self.json.clone()),
            ("--sheet", self.sheet.clone()),
            ("--sheet", sheet),
            ("--nearest", self.nearest.clone()),
            ("--verdicts", self.verdicts.clone()),
            ("--verdicts", pictures),
        ];
        let given = |(flag, path): (_, Option<PathBuf>)| Some((flag, path?));
        outputs.into_iter().filter_map(given).collect()
    }

    /// Writes the sheets that were asked for.
    fn show(&self, drawn: &[(Example, RgbImage)]) -> Result<()> {
        let pictures = |count: usize| -> Vec<RgbImage> {
            drawn.iter().take(count).map(|(_, p)| p.clone()).collect()
        };
        if let Some(path) = &self.sheet {
            let captions: Vec<&str> = drawn
                .iter()
                .take(SHEET)
                .map(|(e, _)| e.caption.text.as_str())
                .collect();
            save_png(&contact_sheet(&pictures(SHEET), COLUMNS as u32), path)?;
            save(
                &beside(path, "md"),
                caption_table(&captions, COLUMNS).as_bytes(),
            )?;
        }
        if let Some(path) = &self.nearest {
            let pictures = pictures(NEAREST);
            let nearest = nearest_scenes(
                &pictures,
                DECODER_SCENES..DECODER_SCENES + self.nearest_among,
            );
            save_png(&nearest_sheet(&pictures, &nearest), path)?;
        }
        if let Some(path) = &self.verdicts {
            let looked_at: Vec<_> = drawn
                .iter()
                .take(VERDICTS)
                .map(|(e, p)| (Some(e), p.clone()))
                .collect();
            save(path, verdicts(&Judge::shipped()?, &looked_at).as_bytes())?;
            save_png(
                &contact_sheet(&pictures(VERDICTS), 10),
                &beside(path, "png"),
            )?;
        }
        Ok(())
    }
}

/// The file of the same name with another ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}
