//! `unclip edit`: what a difference of two captions does to a picture.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use noise::Generator;
use pipeline::manipulation::text_diff;
use pipeline::{Inversion, Settings, Use, check_caption};

use crate::drawing::{InversionArgs, Pictures};
use crate::frames::{FramesArgs, prepare};
use crate::input::{open_picture, stem};
use crate::model::{ImageEncoderArgs, ModelArgs};
use crate::numbers;
use crate::progress::Bars;

/// What `unclip edit` is told.
#[derive(Args)]
pub struct Edit {
    /// The picture: PNG, JPEG, WebP or GIF
    image: PathBuf,
    /// What it shows
    #[arg(long, value_name = "CAPTION")]
    from: String,
    /// What it should show
    #[arg(long, value_name = "CAPTION")]
    to: String,
    /// How far the embedding is turned towards the difference of the captions
    #[arg(long, value_name = "X", default_value = "0.4", value_parser = numbers::share, allow_hyphen_values = true)]
    strength: f64,
    /// Also write the way there into this folder, which must be new or empty: frames, a contact sheet, an animation
    #[arg(long, value_name = "DIR")]
    way: Option<PathBuf>,
    #[command(flatten)]
    frames: FramesArgs,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    upsampler_steps: Option<usize>,
}

impl Edit {
    /// Inverts the picture, turns its embedding, and decodes it with the noise that the inversion found.
    pub fn run(&self) -> Result<()> {
        check_caption(&self.from)?;
        check_caption(&self.to)?;
        let steps = self.inversion.steps()?;
        let picture = open_picture(&self.image)?;
        let plan = self
            .pictures
            .plan(&format!("{}-edited", stem(&self.image)))?;
        let pipeline = self.model.open(None, Some(&self.image_encoder))?;
        let defaults = pipeline.defaults()?.without_prior();
        let settings = Settings {
            decoder_steps: steps,
            upsampler_steps: self.upsampler_steps.unwrap_or(defaults.upsampler_steps),
            ..defaults
        };
        pipeline.prepare(&[Use::ImageEncoder], &settings)?;
        if let Some(way) = &self.way {
            prepare("--way", way)?;
        }
        let inversion = pipeline.invert(&picture, steps, &mut |_, _, _| ())?;
        let captions = pipeline.encode_text(&[&self.from, &self.to])?;
        let [from, to] = [0, 1].map(|row| captions.embedding.narrow(0, row, 1));
        let turned = |share: f64| {
            let strength = self.strength * share;
            Inversion {
                embedding: text_diff(&inversion.embedding, &from, &to, strength),
                noise: inversion.noise.shallow_clone(),
                steps,
            }
        };
        let record = self.model.record("edit", Some(&self.to), &settings)?;
        plan.draw(&record, |seed, progress| {
            let stream = &mut Generator::new(seed);
            Ok(pipeline.draw_inversion(&turned(1.0), 0.0, stream, &settings, progress)?)
        })?;
        let Some(way) = &self.way else {
            return Ok(());
        };
        let mut bars = Bars::new(&settings, self.frames.count());
        self.frames.draw(way, &mut bars, 0, |share, progress| {
            let stream = &mut Generator::new(plan.first_seed());
            Ok(pipeline.draw_inversion(&turned(share), 0.0, stream, &settings, progress)?)
        })
    }
}
