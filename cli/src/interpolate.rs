//! `unclip interpolate`: the way from one picture or caption to another.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use pipeline::{
    Interpolation, InterpolationEnd, Latent, Pipeline, Record, Settings, SettingsOverrides, Silent,
    Step, Task,
};

use crate::drawing::{InversionArgs, SeedArgs};
use crate::frames::{AnimationArgs, FrameSequence, check_new, prepare};
use crate::input::{check_named_once, in_image, read_end};
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::progress::Bars;
use crate::record::with_file;
use crate::settings_args::{DecoderSettingsArgs, PresetArgs, PriorSettingsArgs, warn_of};
use crate::value_parsers;

/// Arguments of `unclip interpolate`.
#[derive(Args)]
pub(crate) struct Interpolate {
    /// Where it begins: a picture's file, - for standard input, or a caption
    from: OsString,
    /// Where it ends
    to: OsString,
    /// The folder to write frames, a contact sheet and an animation to; it must be new or empty
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// How many pictures, both ends included
    #[arg(long, value_name = "N", default_value = "9", value_parser = value_parsers::images, allow_negative_numbers = true)]
    frames: u64,
    #[command(flatten)]
    animation: AnimationArgs,
    /// Leave out of PNGs how they were drawn
    #[arg(long)]
    no_metadata: bool,
    #[command(flatten)]
    seed: SeedArgs,
    /// Pictures share the noise of the seed instead of each having its own by inversion
    #[arg(long)]
    shared_noise: bool,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_settings: PriorSettingsArgs,
    #[command(flatten)]
    decoder: DecoderSettingsArgs,
}

impl Interpolate {
    /// Draws the frames and prints the files' paths.
    pub(crate) fn run(&self) -> Result<()> {
        check_named_once([&self.from, &self.to])?;
        check_new("--out", &self.out, false)?;
        let ends = [read_end(&self.from)?, read_end(&self.to)?];
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let flags = SettingsOverrides::default();
        let flags = self.decoder.add_to(self.prior_settings.add_to(flags));
        let has = |is: fn(&InterpolationEnd) -> bool| ends.iter().any(is);
        let task = Task {
            prior: has(|end| matches!(end, InterpolationEnd::Caption(_))),
            image_encoder: has(|end| matches!(end, InterpolationEnd::Image(_))),
            ..Task::MIXED
        };
        let settings =
            self.model.prepare(&pipeline, task, &self.preset, &flags, |settings| settings)?;
        let inverts = !task.prior && !self.shared_noise;
        let steps = inverts.then(|| self.inversion.steps(&pipeline)).transpose()?;
        if !task.prior {
            self.prior_settings.warn("no end is a caption");
        }
        if inverts {
            let solver = self.preset.solver.map(|_| "--solver");
            let flags = self.decoder.flags().into_iter().chain(solver);
            let reason = "the steps are those of the inversions, as --calls says";
            warn_of(&flags.collect::<Vec<_>>(), reason);
        }
        self.animation.check()?;
        let _alone = prepare("--out", &self.out, false)?;
        let seed = self.seed.resolve();
        let mut settings = if task.prior { settings } else { settings.without_prior() };
        if let Some(steps) = steps {
            settings = pipeline.inversion_settings(settings, steps, 1.0)?;
            (settings.guidance_interval, settings.thresholding) = (None, None);
        }
        let sequence = self.sequence(&ends, seed, &settings)?;
        let frames = self.frames as usize;
        let before = if inverts { ends.len() } else { 0 };
        let mut bars = Bars::new(&settings, before + frames);
        let [from, to] = match steps {
            Some(steps) => self.invert(&pipeline, &ends, steps, &mut bars)?,
            None => self.encode(&pipeline, &ends, seed, &settings)?,
        };
        let way = Interpolation::new(from, to, seed, &settings.without_prior());
        self.animation.draw(&sequence, &mut bars, before, |t, observer| {
            Ok(way.frame(&pipeline, t, observer)?)
        })
    }

    /// Where the frames go, and their record.
    fn sequence(
        &self,
        ends: &[InterpolationEnd; 2],
        seed: u64,
        settings: &Settings,
    ) -> Result<FrameSequence<'_>> {
        let record = self.model.record("interpolate", None, settings)?;
        let mut record = self.model.with_encoders(record, &self.encoders)?;
        for (name, path, end) in [("from", &self.from, &ends[0]), ("to", &self.to, &ends[1])] {
            record = match end {
                InterpolationEnd::Image(_) => with_file(record, name, Path::new(path)),
                InterpolationEnd::Caption(caption) => record.with(name, caption.as_str()),
            };
        }
        let record = record.with("shared_noise", self.shared_noise);
        Ok(FrameSequence {
            frames: self.frames,
            folder: &self.out,
            force: false,
            record: (!self.no_metadata).then_some(Record { seed, ..record }),
        })
    }

    /// Images, each as its embedding and the noise that decodes to it.
    fn invert(
        &self,
        pipeline: &Pipeline,
        ends: &[InterpolationEnd; 2],
        steps: usize,
        bars: &mut Bars,
    ) -> Result<[Latent; 2]> {
        let mut invert = |index: usize| {
            let InterpolationEnd::Image(image) = &ends[index] else {
                unreachable!("both ends are images");
            };
            let observer = &mut |step: Step<'_>| bars.observe(index, &step);
            let inversion = pipeline.invert(std::slice::from_ref(image), steps, observer);
            let path = Path::new([&self.from, &self.to][index]);
            Ok::<_, anyhow::Error>(Latent::Inversion(
                inversion.map_err(|error| in_image(error, path))?,
            ))
        };
        Ok([invert(0)?, invert(1)?])
    }

    /// The embeddings of both ends.
    fn encode(
        &self,
        pipeline: &Pipeline,
        ends: &[InterpolationEnd; 2],
        seed: u64,
        settings: &Settings,
    ) -> Result<[Latent; 2]> {
        let encode = |index: usize| {
            let path = Path::new([&self.from, &self.to][index]);
            let latent = pipeline.encode_end(&ends[index], seed, settings, &mut Silent);
            latent.map_err(|error| in_image(error, path))
        };
        Ok([encode(0)?, encode(1)?])
    }
}
