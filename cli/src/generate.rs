//! `unclip generate`: pictures from a caption.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use pipeline::{Pipeline, Use, check_caption};

use crate::drawing::{DecoderWishes, Pictures, PriorWishes};
use crate::model::{ModelArgs, PriorArgs};
use crate::output::slug;
use crate::{embedding, input::stem};

/// What `unclip generate` is told.
#[derive(Args)]
pub struct Generate {
    /// What the picture should show, in plain words
    #[arg(required_unless_present = "image_embedding")]
    caption: Option<String>,
    /// Draw from the image embedding in this file instead of one that the prior draws
    #[arg(long, value_name = "FILE")]
    image_embedding: Option<PathBuf>,
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
        let given = self.image_embedding.as_deref();
        self.caption.as_deref().map_or(Ok(()), check_caption)?;
        let caption = self.caption.as_deref().unwrap_or_default();
        let name = match given {
            Some(path) if self.caption.is_none() => stem(path),
            _ => slug(caption),
        };
        let plan = self.pictures.plan(&name)?;
        let pipeline = self.model.open(Some(&self.prior), None)?;
        let settings = self.decoder_wishes.over(pipeline.defaults()?);
        let settings = match given {
            None => self.prior_wishes.over(settings),
            Some(_) => settings.without_prior(),
        };
        pipeline.prepare(if given.is_none() { &[Use::Prior] } else { &[] }, &settings)?;
        let embedding = given
            .map(|path| embedding::read(path, &pipeline))
            .transpose()?;
        let text = pipeline.encode_text(&[caption])?;
        warn(&pipeline, caption, text.cut_off[0].as_deref())?;
        plan.draw(&settings, |seed, progress| {
            Ok(match &embedding {
                None => pipeline.draw(&text, seed, &settings, progress)?,
                Some(embedding) => {
                    pipeline.draw_from(embedding, &text, seed, &settings, progress)?
                }
            })
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
