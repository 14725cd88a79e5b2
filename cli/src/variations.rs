//! `unclip variations`: pictures like a picture.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use pipeline::Use;

use crate::drawing::{ChoiceArgs, DecoderWishes, Pictures, PresetArgs};
use crate::input::{encode_image, open_image, stem};
use crate::model::{ImageEncoderArgs, ModelArgs};
use crate::record::with_file;

/// What `unclip variations` is told.
#[derive(Args)]
pub struct Variations {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    wishes: DecoderWishes,
    #[command(flatten)]
    choice: ChoiceArgs,
}

impl Variations {
    /// Draws the variations. Everything that can be refused is refused before the first of them.
    pub fn run(&self) -> Result<()> {
        let picture = open_image(&self.image)?;
        let plan =
            self.pictures.plan(&format!("{}-variation", stem(&self.image)), &[&self.image])?;
        let pipeline = self.model.open(None, Some(&self.image_encoder))?;
        let makers = pipeline.defaults()?;
        let preset = self.preset.over(makers, &makers);
        let settings = self.choice.over(self.wishes.over(preset)).without_prior();
        let origins = self.model.origins(makers, preset, settings)?;
        let prepared = pipeline.prepare(&[Use::ImageEncoder], &settings);
        prepared.map_err(origins.explain())?;
        let embedding = encode_image(&pipeline, &self.image, picture)?;
        let text = pipeline.encode_text(&[""])?;
        let record = self.model.record("variations", None, &settings)?;
        let record = with_file(record, "image", &self.image);
        plan.draw(&record, |seed, progress| {
            Ok(pipeline.draw_from(&embedding, &text, seed, &settings, progress)?)
        })
    }
}
