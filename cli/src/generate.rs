//! `unclip generate`: pictures from a caption.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use files::text::excerpt;
use images::read_image;
use pipeline::{Pipeline, Settings, Text, Use, check_caption};

use crate::drawing::{ChoiceArgs, DecoderWishes, Pictures, PresetArgs, PriorWishes};
use crate::messages::say;
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::names::slug;
use crate::prompts::{PlannedImage, Prompt, plan};
use crate::record::{read_record, with_file};
use crate::run::{Job, Run};
use crate::{embedding, input::stem};
use pipeline::Record;

/// What `--prompts` reads, for the help.
pub const PROMPTS: &str = "\
Files for --prompts:
  One caption a line, or JSONL with one object a line:
    {\"caption\": \"a red boat\", \"seed\": 7, \"num_images\": 2, \"out\": \"boat.png\"}
  It may also have preset, solver, candidates, prior_steps, prior_candidates,
  prior_guidance_scale, prior_temperature, prior_top_p, decoder_steps,
  upsampler_steps, decoder_guidance_scale and guidance_interval ([A, B]).
  A line wins over the flags, and these over the model.
  Without a seed a caption's first is 0.
  Pictures whose files are there already are left as they are, so the same
  command goes on with a run that was stopped; --force draws all again.
  Two lines that name the same file are refused.

";

/// What `unclip generate` is told.
#[derive(Args)]
pub struct Generate {
    /// What the picture should show, in plain words
    #[arg(required_unless_present_any = ["image_embedding", "from", "prompts"])]
    caption: Option<String>,
    /// Draw from this image embedding, without the prior
    #[arg(long, value_name = "FILE")]
    image_embedding: Option<PathBuf>,
    /// Draw the picture in this PNG of unclip again; other flags win
    #[arg(long, value_name = "FILE", conflicts_with = "image_embedding")]
    from: Option<PathBuf>,
    /// Draw every caption in a file, - for standard input; see below
    #[arg(long, value_name = "FILE", conflicts_with_all = ["caption", "image_embedding", "from"])]
    prompts: Option<PathBuf>,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
    #[command(flatten)]
    choice: ChoiceArgs,
}

impl Generate {
    /// Draws the pictures. Everything that can be refused is refused before the first of them.
    pub fn run(&self) -> Result<()> {
        if let Some(file) = &self.prompts {
            return self.draw_all(file);
        }
        let given = self.image_embedding.as_deref();
        let recorded = self.from.as_deref().map(again).transpose()?;
        let told = recorded.as_ref().and_then(|record| record.caption.as_deref());
        let caption = self.caption.as_deref().or(told);
        match (&self.caption, &self.from) {
            (None, Some(from)) => {
                let checked = told.map_or(Ok(()), check_caption);
                checked.with_context(|| from.display().to_string())?;
            }
            _ => caption.map_or(Ok(()), check_caption)?,
        }
        let name = match given {
            Some(path) if caption.is_none() => stem(path),
            _ => slug(caption.unwrap_or_default()),
        };
        let seeded = self.from.as_deref().zip(recorded.as_ref());
        let seed = seeded.map(|(from, record)| (from, record.seed));
        let inputs: Vec<&Path> = given.into_iter().chain(self.from.as_deref()).collect();
        let plan = self.pictures.plan_again(&name, &inputs, seed)?;
        let pipeline = self.model.open(Some(&self.prior), Some(&self.image_encoder))?;
        let makers = pipeline.defaults()?;
        let defaults = match &recorded {
            Some(record) if self.prior.is_given() => {
                let chosen = makers.prior_codes;
                let told = record.settings.prior_codes;
                Settings {
                    prior_codes: chosen.map(|plain| told.unwrap_or(plain)),
                    ..record.settings
                }
            }
            Some(record) => record.settings,
            None => makers,
        };
        let preset = self.preset.over(defaults, &makers);
        let settings = self.choice.over(self.decoder_wishes.over(preset));
        let settings = match given {
            None => self.prior_wishes.over(settings)?,
            Some(_) => settings.without_prior(),
        };
        let origins = match &self.from {
            Some(from) => {
                let origins = self.model.makers_origin(makers)?;
                let origins = origins.then(from.display().to_string(), defaults);
                origins.then("--preset", preset).then_flags(settings)
            }
            None => self.model.origins(makers, preset, settings)?,
        };
        let prepared =
            pipeline.prepare(if given.is_none() { &[Use::Prior] } else { &[] }, &settings);
        prepared.map_err(origins.explain())?;
        let embedding = given.map(|path| embedding::read(path, &pipeline)).transpose()?;
        let words = caption.unwrap_or_default();
        let text = pipeline.encode_text(&[words])?;
        warn(&pipeline, "", words, &text)?;
        let command = given.map_or("generate", |_| "generate --image-embedding");
        let mut record = self.model.record(command, caption, &settings)?;
        if let Some(path) = given {
            record = with_file(record, "image_embedding", path);
        }
        record.prior = self.other_prior(&record)?;
        if let Some(recorded) = recorded {
            let differs = [
                ("another model", recorded.model != record.model),
                ("another --dtype", recorded.dtype != record.dtype),
                ("another --prior", recorded.has_other_prior(&record)),
            ];
            for (what, _) in differs.iter().filter(|(_, differs)| *differs) {
                say!("warning: {what} drew that picture, this one will differ");
            }
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

    /// Draws the pictures of all prompts that are not there yet.
    fn draw_all(&self, file: &Path) -> Result<()> {
        let prompts = &Prompt::read(file)?;
        let planned = plan(prompts, &self.pictures, file)?;
        let there = planned.iter().filter(|picture| picture.there).count();
        if there > 0 {
            let of = planned.len();
            say!("{there} of {of} pictures are there already and stay as they are");
        }
        let pipeline = self.model.open(Some(&self.prior), Some(&self.image_encoder))?;
        let base = self.base(&pipeline)?;
        let records = self.records(prompts, &pipeline, &base)?;
        warn_of_others(prompts, &planned, &records);
        if there == planned.len() && self.pictures.grid.as_ref().is_none_or(|grid| grid.exists()) {
            return Ok(());
        }
        self.prepare(&pipeline, prompts, &base, &records)?;
        let jobs = planned.iter().map(|picture| Job {
            path: picture.path.clone(),
            record: Record { seed: picture.seed, ..records[picture.prompt].clone() },
            there: picture.there,
        });
        let mut run = Run::new(&self.pictures, jobs.collect())?;
        let mut encoded: Option<(usize, Text)> = None;
        for (index, picture) in planned.iter().enumerate() {
            if picture.there {
                continue;
            }
            let Prompt { place, caption, .. } = &prompts[picture.prompt];
            let text = match encoded {
                Some((number, text)) if number == picture.prompt => text,
                _ => {
                    let text = pipeline.encode_text(&[caption])?;
                    run.suspend(|| warn(&pipeline, &format!("{place}: "), caption, &text))?;
                    text
                }
            };
            let settings = &records[picture.prompt].settings;
            run.draw(index, |progress| {
                Ok(pipeline.draw(&text, picture.seed, settings, progress)?)
            })?;
            encoded = Some((picture.prompt, text));
        }
        run.finish()
    }

    /// The record of the pictures of all prompts that have no wishes of their own.
    fn base(&self, pipeline: &Pipeline) -> Result<Record> {
        let makers = pipeline.defaults()?;
        let settings = self.preset.over(makers, &makers);
        let settings = self.choice.over(self.decoder_wishes.over(settings));
        let settings = self.prior_wishes.over(settings)?;
        let mut record = self.model.record("generate", None, &settings)?;
        record.prior = self.other_prior(&record)?;
        Ok(record)
    }

    /// The record of each prompt's pictures, but their seeds.
    fn records(
        &self,
        prompts: &[Prompt],
        pipeline: &Pipeline,
        base: &Record,
    ) -> Result<Vec<Record>> {
        let makers = pipeline.defaults()?;
        let own = |prompt: &Prompt| {
            let settings = prompt.preset.over(base.settings, &makers);
            let settings = prompt.choice.over(prompt.decoder_wishes.over(settings));
            let settings = prompt.prior_wishes.over(settings);
            Ok(Record {
                caption: Some(prompt.caption.clone()),
                settings: settings.with_context(|| prompt.place.clone())?,
                ..base.clone()
            })
        };
        prompts.iter().map(own).collect()
    }

    /// Opens what the prompts' pictures need. Refuses what the model cannot do.
    fn prepare(
        &self,
        pipeline: &Pipeline,
        prompts: &[Prompt],
        base: &Record,
        records: &[Record],
    ) -> Result<()> {
        let makers = pipeline.defaults()?;
        let preset = self.preset.over(makers, &makers);
        let origins = || self.model.origins(makers, preset, base.settings);
        let prepared = pipeline.prepare(&[Use::Prior], &base.settings);
        prepared.map_err(origins()?.explain())?;
        let wishes = prompts.iter().zip(records);
        for (prompt, record) in wishes.filter(|(_, record)| record.settings != base.settings) {
            let origins = origins()?.then(&*prompt.place, record.settings);
            let prepared = pipeline.prepare(&[Use::Prior], &record.settings);
            prepared.map_err(origins.explain())?;
        }
        Ok(())
    }

    /// The fingerprint of the prior's folder, where it is not the model's.
    fn other_prior(&self, record: &Record) -> Result<Option<String>> {
        let fingerprint = self.model.prior_fingerprint(&self.prior)?;
        Ok(fingerprint.filter(|prior| *prior != record.model))
    }
}

/// Says which of the pictures that are there already were drawn otherwise than their lines and flags are now. Of what says
/// nothing of itself nothing is known.
fn warn_of_others(prompts: &[Prompt], planned: &[PlannedImage], records: &[Record]) {
    let differs = |picture: &&PlannedImage| {
        let wanted = Record { seed: picture.seed, ..records[picture.prompt].clone() };
        let difference = match read_record(&picture.path) {
            Ok(record) => record.difference(&wanted)?,
            // A picture without a record is decoded only to learn whether it is one.
            Err(_) => read_image(&picture.path).err()?.to_string(),
        };
        let place = &prompts[picture.prompt].place;
        Some(format!("{} ({place}): {difference}", picture.path.display()))
    };
    let there = planned.iter().filter(|picture| picture.there);
    let mut others = there.filter_map(|picture| differs(&picture));
    if let Some(first) = others.next() {
        let count = 1 + others.count();
        say!(
            "warning: {count} of them were drawn otherwise or cannot be read, and --force draws them anew; the first is {first}"
        );
    }
}

/// What a picture says of itself, where its caption and its seed were all that it needed.
fn again(path: &Path) -> Result<Record> {
    let record = read_record(path)?;
    ensure!(
        record.command == "generate" && record.caption.is_some(),
        "--from {}: unclip {} drew this picture, from more than a caption",
        path.display(),
        record.command
    );
    Ok(record)
}

/// Says what the model will not see of the caption in `place`, or has never seen.
pub fn warn(pipeline: &Pipeline, place: &str, caption: &str, text: &Text) -> Result<()> {
    if let Some(words) = &text.cut_off[0] {
        say!(
            "warning: {place}the caption is longer than the model reads, this is cut off: {}",
            excerpt(words)
        );
    }
    let unknown = pipeline.unknown_words(caption)?;
    if !unknown.is_empty() {
        say!(
            "warning: {place}the model was trained on no caption with: {}",
            excerpt(&unknown.join(", "))
        );
    }
    Ok(())
}
