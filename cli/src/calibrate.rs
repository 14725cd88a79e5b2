//! `unclip calibrate`: the errors of a model's prior, by which `--solver analytic` sets the noise of its steps.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;
use families::{DENOISING_ERRORS, save_denoising_errors};
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::{Pipeline, Settings, Solver, Task};
use training::Data;
use training::calibration::Calibration;

use crate::destinations::check_room;
use crate::interrupt;
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::stdout::print_path;
use crate::train::say_broken;
use crate::value_parsers;

/// Arguments of `unclip calibrate`.
#[derive(Args)]
pub(crate) struct Calibrate {
    /// Pictures and captions, or their embeddings: what unclip train --data takes, once or more often [default: scenes]
    #[arg(long, value_name = "DATA")]
    data: Vec<OsString>,
    /// Pictures to measure with
    #[arg(long, value_name = "N", default_value = "1024", value_parser = value_parsers::scenes, allow_negative_numbers = true)]
    samples: u64,
    /// Seed of the noise, and of the order of files
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Measure again where the errors are there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
}

impl Calibrate {
    /// Measures the errors, writes them beside the prior and prints their file.
    pub(crate) fn run(self) -> Result<()> {
        let data = scenes::dataset::open(&self.data, false)?;
        let (kind, device) = self.model.place()?;
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let folder = self.destination(&pipeline)?;
        let settings = Settings { solver: Solver::default(), ..pipeline.defaults()? };
        pipeline.prepare(Task::EMBEDDING, &settings.with_codes(None))?;
        if !matches!(data, Data::Embeddings(_)) {
            pipeline.prepare_image_encoder()?;
        }
        self.model.warn_of_idle_processors()?;
        let calibration = Calibration {
            pipeline: &pipeline,
            data: &data,
            samples: self.samples,
            seed: self.seed,
            kind,
            device,
        };
        interrupt::defer();
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} pictures, {eta} to go")?;
        let bar = ProgressBar::new(self.samples).with_style(style);
        let errors = calibration.run(&mut |done| {
            bar.set_position(done);
            match interrupt::requested() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        bar.finish_and_clear();
        say_broken(&data);
        let Some(errors) = errors else {
            return interrupt::check(bar.position() as usize, self.samples as usize, "pictures");
        };
        save_denoising_errors(&folder, &errors)?;
        print_path(&folder.join(DENOISING_ERRORS))
    }

    /// The folder of the prior, which the errors are written into. Refuses one that is not the user's own, and one that has
    /// errors already.
    fn destination(&self, pipeline: &Pipeline) -> Result<PathBuf> {
        ensure!(
            pipeline.defaults()?.codes().is_none(),
            "--prior: the autoregressive prior has no steps, so none of them errs: it draws code by code"
        );
        let prior = pipeline.prior_folder()?;
        let real = prior.path().and_then(|path| path.canonicalize().ok());
        let cache = hub::Settings::from_env()?.cache.canonicalize().ok();
        let of_hub = |real: &PathBuf| cache.as_ref().is_some_and(|cache| real.starts_with(cache));
        let Some(folder) = real.filter(|real| !of_hub(real)) else {
            bail!(
                "{prior} is not yours to write into, as the errors are: `unclip convert MODEL OUT` makes a model that is, \
                 for --model OUT"
            );
        };
        ensure!(
            self.force || !prior.has(DENOISING_ERRORS),
            "{} is there already: --force measures again",
            prior.name_of(DENOISING_ERRORS)
        );
        check_room("--model", &folder)?;
        Ok(folder)
    }
}
