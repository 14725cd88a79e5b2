//! `unclip invert` and `unclip decode`: a picture to its latent, and back.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use files::extensions::is_image;
use noise::Generator;
use pipeline::{Decoding, Inversion, Step, Task};

use crate::destinations::Files;
use crate::drawing::{ImageArgs, InversionArgs};
use crate::input::{in_image, open_image, stem};
use crate::model::{EncoderArgs, ModelArgs};
use crate::origins::in_flag;
use crate::progress::Bars;
use crate::record::with_file;
use crate::settings_args::UpsamplerArgs;
use crate::stdout::print_path;
use crate::value_parsers;

/// Arguments of `unclip invert`.
#[derive(Args)]
pub(crate) struct Invert {
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
    encoders: EncoderArgs,
}

impl Invert {
    /// Finds the latent and writes it.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            !is_image(&self.out),
            "--out {}: an inversion is no picture but a safetensors file, whose name ends in .safetensors",
            self.out.display()
        );
        Files::new(&[&self.image]).add("--out", &self.out, self.force)?;
        let image = open_image(&self.image)?;
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        let steps = self.inversion.steps(&pipeline)?;
        let defaults = pipeline.defaults()?.without_prior();
        let settings = pipeline.inversion_settings(defaults.clone(), steps, 1.0)?;
        let origins = self.model.origins(&defaults)?.then_flags(&settings);
        pipeline.prepare(Task::INVERT, &settings).map_err(origins.explain())?;
        let mut bars = Bars::new(&settings, 1);
        let observer = &mut |step: Step<'_>| bars.observe(0, &step);
        let inversion = pipeline
            .invert(&[image], steps, observer)
            .map_err(|error| in_image(error, &self.image))?;
        inversion.save(&self.out)?;
        print_path(&self.out)
    }
}

/// Arguments of `unclip decode`.
#[derive(Args)]
pub(crate) struct Decode {
    /// A file that unclip invert wrote
    latent: PathBuf,
    /// How much of the noise is drawn anew: 0 gives the picture back, 1 a variation
    #[arg(long, value_name = "X", default_value = "0", value_parser = value_parsers::fraction, allow_hyphen_values = true)]
    eta: f64,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    upsampler: UpsamplerArgs,
}

impl Decode {
    /// Draws the picture again.
    pub(crate) fn run(&self) -> Result<()> {
        let inversion = Inversion::open(&self.latent)?;
        let plan = self.images.plan(&format!("{}-decoded", stem(&self.latent)), &[&self.latent])?;
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        let defaults = pipeline.defaults()?.without_prior();
        let of_latent = self.upsampler.apply_preset(&defaults);
        let of_latent = pipeline.inversion_settings(of_latent, inversion.steps, 1.0)?;
        let settings = self.upsampler.overrides().apply(of_latent.clone()).map_err(in_flag)?;
        let latent = self.latent.display();
        let steps = pipeline.check_inversion_steps(&inversion);
        steps.with_context(|| latent.to_string())?;
        let origins = self.model.origins(&defaults)?;
        let origins = origins.then(latent.to_string(), &of_latent).then_flags(&settings);
        pipeline.prepare(Task::DECODE, &settings).map_err(origins.explain())?;
        let record = self.model.record("decode", None, &settings)?;
        let record = self.model.with_encoders(record, &self.encoders)?;
        let record = with_file(record, "latent", &self.latent).with("eta", self.eta);
        let decoding = Decoding { eta: self.eta, ..Decoding::EXACT };
        plan.draw(&record, |seeds, observer| {
            let mut streams: Vec<Generator> =
                seeds.iter().map(|&seed| Generator::new(seed)).collect();
            let inversion = inversion.expand(seeds.len() as i64);
            let images =
                pipeline.sample_inversion(&inversion, decoding, &mut streams, &settings, observer);
            images.with_context(|| self.latent.display().to_string())
        })
    }
}
