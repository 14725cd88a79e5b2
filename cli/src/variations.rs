//! `unclip variations`: pictures like a picture.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use pipeline::{Request, Settings, SettingsOverrides, Task};

use crate::drawing::ImageArgs;
use crate::input::{encode_image, open_image, stem};
use crate::model::{EncoderArgs, ModelArgs};
use crate::record::with_file;
use crate::settings_args::{CandidatesArgs, DecoderSettingsArgs, PresetArgs, SizeArgs};

/// Arguments of `unclip variations`.
#[derive(Args)]
pub(crate) struct Variations {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    decoder: DecoderSettingsArgs,
    #[command(flatten)]
    candidates: CandidatesArgs,
    #[command(flatten)]
    size: SizeArgs,
}

impl Variations {
    /// Draws the variations. Everything that can be refused is refused before the first of them.
    pub(crate) fn run(&self) -> Result<()> {
        let image = open_image(&self.image)?;
        let plan = self.images.plan(&format!("{}-variation", stem(&self.image)), &[&self.image])?;
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        let flags = self.size.add_to(self.decoder.add_to(SettingsOverrides::default()));
        let flags = self.candidates.add_to(flags);
        let settings = self.model.prepare(
            &pipeline,
            Task::VARY,
            &self.preset,
            &flags,
            Settings::without_prior,
        )?;
        let embedding = encode_image(&pipeline, &self.image, image)?;
        let record = self.model.record("variations", None, &settings)?;
        let record = self.model.with_encoders(record, &self.encoders)?;
        let record = with_file(record, "image", &self.image);
        plan.draw(&record, |seeds, observer| {
            let request = |&seed| Request::of_embedding(&embedding, seed, settings.clone());
            let requests: Vec<Request> = seeds.iter().map(request).collect();
            Ok(pipeline.sample(&requests, observer)?)
        })
    }
}
