//! `unclip generate`: pictures from a caption.

use anyhow::Result;
use clap::Args;
use pipeline::{Pipeline, Use, check_caption};

use crate::drawing::{DecoderWishes, Pictures, PriorWishes};
use crate::model::{ModelArgs, PriorArgs};
use crate::output::slug;

/// What `unclip generate` is told.
#[derive(Args)]
pub struct Generate {
    /// What the picture should show, in plain words
    caption: String,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
}

impl Generate {
    /// Draws the pictures. Everything that can be refused is refused before the first of them.
    pub fn run(&self) -> Result<()> {
        check_caption(&self.caption)?;
        let plan = self.pictures.plan(&slug(&self.caption))?;
        let pipeline = self.model.open(Some(&self.prior), None)?;
        let settings = self
            .decoder_wishes
            .over(self.prior_wishes.over(pipeline.defaults()?));
        pipeline.prepare(&[Use::Prior], &settings)?;
        let text = pipeline.encode_text(&[&self.caption])?;
        warn(&pipeline, &self.caption, text.cut_off[0].as_deref())?;
        plan.draw(&settings, |seed, progress| {
            Ok(pipeline.draw(&text, seed, &settings, progress)?)
        })
    }
}

/// Says what the model will not see of a caption, or has never seen.
fn warn(pipeline: &Pipeline, caption: &str, cut_off: Option<&str>) -> Result<()> {
    if let Some(words) = cut_off {
        eprintln!(
            "unclip: warning: the caption is longer than the model reads, this is cut off: {words}"
        );
    }
    let unknown = pipeline.unknown_words(caption)?;
    if !unknown.is_empty() {
        eprintln!(
            "unclip: warning: the model was trained on no caption with: {}",
            unknown.join(", ")
        );
    }
    Ok(())
}
