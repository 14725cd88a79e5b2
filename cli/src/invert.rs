//! `unclip invert` and `unclip decode`: a picture to its latent, and back.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use files::extensions::is_image;
use noise::Generator;
use pipeline::{Inversion, Preset, Settings};

use crate::destinations::Files;
use crate::drawing::{InversionArgs, Pictures, presets};
use crate::input::{in_image, open_image, stem};
use crate::model::{ImageEncoderArgs, ModelArgs};
use crate::progress::Bars;
use crate::record::with_file;
use crate::stdout::print_path;
use crate::value_parsers;

/// What `unclip invert` is told.
#[derive(Args)]
pub struct Invert {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    /// The file for the embedding and the noise that decode to the picture
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite a file that is there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
}

impl Invert {
    /// Finds the latent and writes it.
    pub fn run(&self) -> Result<()> {
        ensure!(
            !is_image(&self.out),
            "--out {}: an inversion is no picture but a safetensors file, whose name ends in .safetensors",
            self.out.display()
        );
        Files::new(&[&self.image]).add("--out", &self.out, self.force)?;
        let picture = open_image(&self.image)?;
        let pipeline = self.model.open(None, Some(&self.image_encoder))?;
        let steps = self.inversion.steps(&pipeline)?;
        let makers = pipeline.defaults()?.without_prior();
        let settings = Settings { decoder_steps: steps, ..makers };
        let origins = self.model.origins(makers, makers, settings)?;
        let prepared = pipeline.prepare_inversion(&settings);
        prepared.map_err(origins.explain())?;
        let mut bars = Bars::new(&settings, 1);
        let told = &mut |stage, done, _| bars.set(0, stage, done);
        let inversion = pipeline
            .invert(&[picture], steps, told)
            .map_err(|error| in_image(error, &self.image))?;
        inversion.save(&self.out)?;
        print_path(&self.out)
    }
}

/// What `unclip decode` is told.
#[derive(Args)]
pub struct Decode {
    /// What unclip invert wrote
    latent: PathBuf,
    /// How much of the noise is drawn anew: 0 gives the picture back, 1 a variation
    #[arg(long, value_name = "X", default_value = "0", value_parser = value_parsers::fraction, allow_hyphen_values = true)]
    eta: f64,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    model: ModelArgs,
    /// How many steps draw the large picture: the makers' own are quality; --upsampler-steps wins
    #[arg(long, value_name = "PRESET", value_parser = presets())]
    preset: Option<Preset>,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    upsampler_steps: Option<usize>,
}

impl Decode {
    /// Draws the picture again.
    pub fn run(&self) -> Result<()> {
        let inversion = Inversion::open(&self.latent)?;
        let plan =
            self.pictures.plan(&format!("{}-decoded", stem(&self.latent)), &[&self.latent])?;
        let pipeline = self.model.open(None, None)?;
        let defaults = pipeline.defaults()?.without_prior();
        let preset = self.preset.unwrap_or(Preset::Quality).over(defaults, &defaults);
        let found = Settings {
            decoder_steps: inversion.steps,
            upsampler_steps: preset.upsampler_steps,
            ..defaults
        };
        let settings = Settings {
            upsampler_steps: self.upsampler_steps.unwrap_or(preset.upsampler_steps),
            ..found
        };
        let latent = self.latent.display();
        let steps = pipeline.check_inversion_steps(&inversion);
        steps.with_context(|| latent.to_string())?;
        let origins = self.model.makers_origin(defaults)?;
        let origins = origins.then(latent.to_string(), found).then_flags(settings);
        let prepared = pipeline.prepare(&[], &settings);
        prepared.map_err(origins.explain())?;
        let record = self.model.record("decode", None, &settings)?;
        let record = with_file(record, "latent", &self.latent).with("eta", self.eta);
        plan.draw(&record, |seed, progress| {
            let streams = &mut [Generator::new(seed)];
            let drawn =
                pipeline.draw_inversion(&inversion, (self.eta, 1.0), streams, &settings, progress);
            Ok(drawn.with_context(|| self.latent.display().to_string())?.remove(0))
        })
    }
}
