//! `unclip generate`: pictures from a caption.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use pipeline::{Pipeline, Use, check_caption};

use crate::drawing::{DecoderWishes, Pictures, PriorWishes};
use crate::model::{ModelArgs, PriorArgs};
use crate::output::slug;
use crate::record::Record;
use crate::{embedding, input::stem};

/// What `unclip generate` is told.
#[derive(Args)]
pub struct Generate {
    /// What the picture should show, in plain words
    #[arg(required_unless_present_any = ["image_embedding", "from"])]
    caption: Option<String>,
    /// Draw from this image embedding, without the prior
    #[arg(long, value_name = "FILE")]
    image_embedding: Option<PathBuf>,
    /// Draw the picture in this PNG of unclip again; other flags win
    #[arg(long, value_name = "FILE", conflicts_with = "image_embedding")]
    from: Option<PathBuf>,
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
        let recorded = self.from.as_deref().map(again).transpose()?;
        let told = recorded
            .as_ref()
            .and_then(|record| record.caption.as_deref());
        let caption = self.caption.as_deref().or(told);
        caption.map_or(Ok(()), check_caption)?;
        let name = match given {
            Some(path) if caption.is_none() => stem(path),
            _ => slug(caption.unwrap_or_default()),
        };
        let seed = recorded.as_ref().map(|record| record.seed);
        let plan = self.pictures.plan_again(&name, seed)?;
        let pipeline = self.model.open(Some(&self.prior), None)?;
        let defaults = match &recorded {
            Some(record) => record.settings,
            None => pipeline.defaults()?,
        };
        let settings = self.decoder_wishes.over(defaults);
        let settings = match given {
            None => self.prior_wishes.over(settings),
            Some(_) => settings.without_prior(),
        };
        pipeline.prepare(if given.is_none() { &[Use::Prior] } else { &[] }, &settings)?;
        let embedding = given
            .map(|path| embedding::read(path, &pipeline))
            .transpose()?;
        let words = caption.unwrap_or_default();
        let text = pipeline.encode_text(&[words])?;
        warn(&pipeline, words, text.cut_off[0].as_deref())?;
        let command = given.map_or("generate", |_| "generate --image-embedding");
        let record = self.model.record(command, caption, &settings)?;
        if recorded.is_some_and(|recorded| recorded.model != record.model) {
            eprintln!("unclip: warning: another model drew that picture, this one will differ");
        }
        plan.draw(&record, |seed, progress| {
            Ok(match &embedding {
                None => pipeline.draw(&text, seed, &settings, progress)?,
                Some(embedding) => {
                    pipeline.draw_from(embedding, &text, seed, &settings, progress)?
                }
            })
        })
    }
}

/// What a picture says of itself, where its caption and its seed were all that it needed.
fn again(path: &Path) -> Result<Record> {
    let record = Record::read(path)?;
    ensure!(
        record.command == "generate" && record.caption.is_some(),
        "--from {}: unclip {} drew this picture, from more than a caption",
        path.display(),
        record.command
    );
    Ok(record)
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
