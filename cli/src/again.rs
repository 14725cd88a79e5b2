//! `--from`: a picture's caption, seed and settings, taken from its record to draw it again.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pipeline::{Pipeline, Record, Settings, SettingsOverrides, Task, check_caption};

use crate::error_flags::flag;
use crate::messages::say;
use crate::model::{ENCODERS, ModelArgs, PriorArgs};
use crate::origins::in_flag;
use crate::record::read_record;
use crate::settings_args::PresetArgs;

/// A picture that is drawn again.
pub(crate) struct Again<'a> {
    from: &'a Path,
    /// Its record.
    pub record: Record,
}

impl<'a> Again<'a> {
    /// Reads the record of a picture, which has to say enough.
    pub(crate) fn read(from: &'a Path, is_enough: impl Fn(&Record) -> bool) -> Result<Self> {
        let record = read_record(from)?;
        ensure!(
            is_enough(&record),
            "--from {}: unclip {} drew this picture, from more than a caption",
            from.display(),
            record.command
        );
        Ok(Self { from, record })
    }

    /// The picture's file and its seed.
    pub(crate) fn seed(&self) -> (&Path, u64) {
        (self.from, self.record.seed)
    }

    /// The picture's settings, or the model's own for a prior that took no part, changed by --preset and the flags. Prepares the
    /// pipeline for the task.
    pub(crate) fn settings(
        &self,
        model: &ModelArgs,
        pipeline: &Pipeline,
        task: Task,
        prior: &PriorArgs,
        preset: &PresetArgs,
        flags: &SettingsOverrides,
    ) -> Result<Settings> {
        let defaults = pipeline.defaults()?;
        let mut again = self.record.settings.clone();
        if task.prior && self.record.caption.is_none() {
            again.prior = defaults.prior;
        }
        // What RePaint painted may be painted again by a network that was trained to.
        if task.inpaints && !pipeline.repaints()? {
            again.resample = None;
        }
        if prior.is_given() {
            let codes = again.codes();
            again = again.with_codes(defaults.codes().map(|plain| codes.unwrap_or(plain)));
        }
        let preset = preset.apply(again.clone(), &defaults, pipeline)?;
        ensure!(
            flags.clip_guidance_scale.is_none() || flags.has_guidance_scale() || !guides(&again),
            "--clip-guidance-scale: that picture was drawn with classifier-free guidance, please give --decoder-guidance-scale too: 1 for none"
        );
        let settings = flags.apply(preset.clone()).map_err(in_flag)?;
        let settings = match task.prior {
            true => settings,
            false => settings.without_prior(),
        };
        let place = self.from.display().to_string();
        let origins = model.origins(&defaults)?.then(place, &again);
        let origins = origins.then("--preset", &preset).then_flags(&settings);
        pipeline.prepare(task, &settings).map_err(origins.explain())?;
        Ok(settings)
    }

    /// Says why the picture will differ.
    pub(crate) fn warn_of_differences(&self, record: &Record) {
        let differs = [
            ("model", self.record.model != record.model),
            ("--dtype", self.record.dtype != record.dtype),
            ("--prior", self.record.has_other_prior(record)),
            ("--weights", self.record.arguments.get("weights") != record.arguments.get("weights")),
        ];
        let encoders = ENCODERS.map(|(completion, name)| {
            let chosen = [&self.record, record].map(|record| record.arguments.get(name));
            (flag(completion), chosen[0] != chosen[1])
        });
        for (cause, _) in differs.iter().chain(&encoders).filter(|(_, differs)| *differs) {
            say!("warning: another {cause} drew that picture, this one will differ");
        }
    }
}

/// The caption of the command line, or else of the picture that is drawn again.
pub(crate) fn caption<'a>(
    own: Option<&'a str>,
    again: Option<&'a Again>,
) -> Result<Option<&'a str>> {
    let caption = own.or(again.and_then(|again| again.record.caption.as_deref()));
    let checked = caption.map_or(Ok(()), check_caption);
    match (own, again) {
        (None, Some(again)) => checked.with_context(|| again.from.display().to_string())?,
        _ => checked?,
    }
    Ok(caption)
}

/// Whether a stage is guided by its unconditional prediction.
fn guides(settings: &Settings) -> bool {
    settings.stages.iter().any(|stage| settings.stage_guidance(stage).is_some())
}
