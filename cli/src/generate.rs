//! `unclip generate`: pictures from a caption.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use files::text::excerpt;
use images::{RgbImage, read_image};
use pipeline::image_to_image::STRENGTH;
use pipeline::{Pipeline, Record, Request, Settings, SettingsOverrides, Task};
use tch::Tensor;

use crate::again::{Again, caption};
use crate::drawing::ImageArgs;
use crate::input::{encode_image, open_image, stem};
use crate::launch::{launch, own_part};
use crate::messages::say;
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::names::slug;
use crate::origins::in_flag;
use crate::prompts::{PlannedImage, Prompt, plan};
use crate::record::{read_record, with_file};
use crate::run::{Job, Run};
use crate::settings_args::{
    CandidatesArgs, ClipGuidanceArgs, DecoderSettingsArgs, PresetArgs, PriorSettingsArgs, SizeArgs,
    warn_of,
};
use crate::{embedding, value_parsers};

/// The files of `--prompts`, for the help.
pub(crate) const PROMPTS: &str = "\
Files for --prompts:
  One caption a line, or JSONL with one object a line:
    {\"caption\": \"a red boat\", \"seed\": 7, \"num_images\": 2, \"out\": \"boat.png\"}
  It may also have preset, solver, candidates, prior_steps, prior_candidates,
  prior_guidance_scale, prior_temperature, prior_top_p, decoder_steps,
  upsampler_steps, decoder_guidance_scale, upsampler_temperature,
  clip_guidance_scale, guidance_interval ([A, B]), thresholding, width, height
  and negative.
  A line wins over the flags, and these over the model.
  Without a seed a caption's first is 0.
  Pictures whose files are there already are left as they are, so the same
  command goes on with a run that was stopped; --force draws all again.
  Two lines that name the same file are refused.

";

/// Arguments of `unclip generate`.
#[derive(Args)]
pub(crate) struct Generate {
    /// The picture in plain words
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
    /// Draw this picture anew, in models that draw latents
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image_embedding", "from", "prompts"])]
    image: Option<PathBuf>,
    /// How much of the picture is drawn anew, 0 to 1 [0.3]
    #[arg(long, value_name = "X", requires = "image", value_parser = value_parsers::denoising_strength, allow_negative_numbers = true)]
    strength: Option<f64>,
    /// Let the prior start from this picture's embedding (emb2emb)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image_embedding", "from", "prompts"])]
    prior_image: Option<PathBuf>,
    /// How much of that embedding is drawn anew, 0 to 1 [0.3]
    #[arg(long, value_name = "X", requires = "prior_image", value_parser = value_parsers::denoising_strength, allow_negative_numbers = true)]
    prior_strength: Option<f64>,
    /// Draw by this hint, a picture of depths, in models that take one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "prompts"])]
    hint: Option<PathBuf>,
    /// Draw away from this caption, in models whose prior reads one
    #[arg(long, value_name = "CAPTION", conflicts_with = "image_embedding")]
    negative: Option<String>,
    #[command(flatten)]
    images: ImageArgs,
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
    #[command(flatten)]
    clip_guidance: ClipGuidanceArgs,
    #[command(flatten)]
    candidates: CandidatesArgs,
    #[command(flatten)]
    size: SizeArgs,
}

/// The name of the negative caption in a picture's record.
const NEGATIVE: &str = "negative";

impl Generate {
    /// Draws the pictures. Everything that can be refused is refused before the first of them.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            self.image.is_some() || self.strength.is_none(),
            "--strength: it is how much of a picture is drawn anew, which --image names"
        );
        ensure!(
            self.prior_image.is_some() || self.prior_strength.is_none(),
            "--prior-strength: it is how much of an embedding is drawn anew, whose picture --prior-image names"
        );
        if let Some(file) = &self.prompts {
            return self.draw_all(file);
        }
        if let Some(launch) = launch()? {
            bail!(
                "a launcher started {} processes, which would all draw the same: --prompts FILE deals pictures out to them",
                launch.world
            );
        }
        if self.image_embedding.is_some() {
            self.prior_settings.warn("the image embedding takes the prior's place");
        }
        let given = self.image_embedding.as_deref();
        let is_enough = |record: &Record| record.command == "generate" && record.caption.is_some();
        let again = self.from.as_deref().map(|from| Again::read(from, is_enough)).transpose()?;
        let caption = caption(self.caption.as_deref(), again.as_ref())?;
        let name = match given {
            Some(path) if caption.is_none() => stem(path),
            _ => slug(caption.unwrap_or_default()),
        };
        let others = self.image_files().map(|(_, file)| file);
        let inputs: Vec<&Path> =
            [given, self.from.as_deref()].into_iter().flatten().chain(others).collect();
        let image = self.image.as_deref().map(open_image).transpose()?;
        let prior_image = self.prior_image.as_deref().map(open_image).transpose()?;
        let hint = self.hint.as_deref().map(open_image).transpose()?;
        let plan = self.images.plan_again(&name, &inputs, again.as_ref().map(Again::seed))?;
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let settings = self.settings(&pipeline, again.as_ref())?;
        if let (Some(path), Some(hint)) = (&self.hint, &hint) {
            warn_of_size(path, hint, pipeline.hint_size(&settings)?);
        }
        let embedding = given.map(|path| embedding::read(path, &pipeline)).transpose()?;
        let first = self.prior_image.as_deref().zip(prior_image);
        let first = first.map(|(path, image)| encode_image(&pipeline, path, image)).transpose()?;
        let words = caption.unwrap_or_default();
        warn(&pipeline, "", words)?;
        let negative = negative(self.negative.as_deref(), again.as_ref());
        check_negative(&pipeline, "", negative, Task::GENERATE)?;
        warn_of_unguided(negative, &settings);
        negative.iter().try_for_each(|negative| warn(&pipeline, "--negative: ", negative))?;
        let files =
            given.map(|path| ("image_embedding", path)).into_iter().chain(self.image_files());
        let files: Vec<_> = files.collect();
        let command = match files.first() {
            Some((name, _)) => format!("generate --{}", name.replace('_', "-")),
            None => "generate".to_owned(),
        };
        let record = self.model.record(&command, caption, &settings)?;
        let mut record = self.model.with_encoders(record, &self.encoders)?;
        for (name, path) in files {
            record = with_file(record, name, path);
        }
        record = with_negative(record, negative);
        record = self.model.with_prior(record, &self.prior)?;
        if let Some(again) = &again {
            again.warn_of_differences(&record);
        }
        plan.draw(&record, |seeds, observer| {
            let request = |&seed| Request {
                image_embedding: embedding.as_ref().map(Tensor::shallow_clone),
                first_embedding: first.as_ref().map(Tensor::shallow_clone),
                negative_caption: negative.map(str::to_owned),
                image: image.clone(),
                hint: hint.clone(),
                ..Request::new(words, seed, settings.clone())
            };
            let requests: Vec<Request> = seeds.iter().map(request).collect();
            Ok(pipeline.sample(&requests, observer)?)
        })
    }

    /// The pictures that are drawn from or by, with their names in records.
    fn image_files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files =
            [("image", &self.image), ("prior_image", &self.prior_image), ("hint", &self.hint)];
        files.into_iter().filter_map(|(name, file)| Some((name, file.as_deref()?)))
    }

    /// The task of the command line's picture.
    fn task(&self) -> Task {
        Task {
            prior: self.image_embedding.is_none(),
            image_encoder: self.prior_image.is_some(),
            hint: self.hint.is_some(),
            ..Task::GENERATE
        }
    }

    /// The overrides of the flags; those of the prior's settings where it takes part.
    fn flags(&self) -> SettingsOverrides {
        let flags = self.decoder.add_to(SettingsOverrides::default());
        let flags = self.clip_guidance.add_to(self.candidates.add_to(self.size.add_to(flags)));
        let strength = || self.strength.unwrap_or(STRENGTH);
        let flags = SettingsOverrides {
            strength: self.image.as_ref().map(|_| strength()),
            prior_strength: self.prior_strength,
            ..flags
        };
        match self.image_embedding {
            None => self.prior_settings.add_to(flags),
            Some(_) => flags,
        }
    }

    /// The model's settings, or those of the picture that is drawn again, changed by the flags. Prepares the pipeline.
    fn settings(&self, pipeline: &Pipeline, again: Option<&Again>) -> Result<Settings> {
        let task = self.task();
        let starts = self.prior_image.is_some();
        pipeline.check_first_embedding(starts, task, &pipeline.defaults()?)?;
        let fix = |mut settings: Settings| {
            if let Some(prior) = settings.prior.as_mut().filter(|_| starts) {
                prior.strength.get_or_insert(STRENGTH);
            }
            if task.prior { settings } else { settings.without_prior() }
        };
        match again {
            None => self.model.prepare(pipeline, task, &self.preset, &self.flags(), fix),
            Some(again) => {
                let (prior, preset) = (&self.prior, &self.preset);
                again.settings(&self.model, pipeline, task, prior, preset, &self.flags())
            }
        }
    }

    /// Draws the pictures of all prompts that are not there yet.
    fn draw_all(&self, file: &Path) -> Result<()> {
        let prompts = &Prompt::read(file)?;
        self.refuse_a_sheet_of_parts()?;
        let planned = own_part(plan(prompts, &self.images, file)?, "pictures")?;
        let there = planned.iter().filter(|image| image.there).count();
        if there > 0 {
            let of = planned.len();
            say!("{there} of {of} pictures are there already and stay as they are");
        }
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let records = self.records(prompts, &pipeline, there < planned.len())?;
        warn_of_others(prompts, &planned, &records);
        if there == planned.len() && self.images.grid.as_ref().is_none_or(|grid| grid.exists()) {
            return Ok(());
        }
        let jobs = planned.iter().map(|image| Job {
            path: image.path.clone(),
            record: Record { seed: image.seed, ..records[image.prompt].clone() },
            there: image.there,
        });
        let mut run = Run::new(&self.images, jobs.collect())?;
        let mut last = None;
        run.draw(|screen, batch, observer| {
            let mut requests = Vec::new();
            for image in batch.iter().map(|&index| &planned[index]) {
                let Prompt { place, caption, .. } = &prompts[image.prompt];
                if last.replace(image.prompt) != Some(image.prompt) {
                    screen.suspend(|| warn(&pipeline, &format!("{place}: "), caption))?;
                }
                let settings = records[image.prompt].settings.clone();
                requests.push(Request {
                    negative_caption: self.negative_of(&prompts[image.prompt]).map(str::to_owned),
                    ..Request::new(caption, image.seed, settings)
                });
            }
            Ok(pipeline.sample(&requests, observer)?)
        })?;
        run.finish()
    }

    /// Refuses a contact sheet of all pictures where several processes draw them.
    fn refuse_a_sheet_of_parts(&self) -> Result<()> {
        let is_alone = self.images.grid.is_none() || launch()?.is_none();
        ensure!(
            is_alone,
            "--grid: several processes draw the pictures, and none has all of them: the same command without a launcher makes the sheet afterwards"
        );
        Ok(())
    }

    /// The caption of what a prompt's images should not show: its own, or else the flag's.
    fn negative_of<'a>(&'a self, prompt: &'a Prompt) -> Option<&'a str> {
        prompt.negative.as_deref().or(self.negative.as_deref())
    }

    /// The record of each prompt's images, but their seeds. Where some will be drawn, opens all that they need; refuses what the
    /// model cannot do.
    fn records(
        &self,
        prompts: &[Prompt],
        pipeline: &Pipeline,
        prepares: bool,
    ) -> Result<Vec<Record>> {
        let defaults = pipeline.defaults()?;
        let preset = self.preset.apply(defaults.clone(), &defaults, pipeline)?;
        let settings = self.flags().apply(preset.clone()).map_err(in_flag)?;
        let base = self.model.record("generate", None, &settings)?;
        let mut base = self.model.with_encoders(base, &self.encoders)?;
        base = self.model.with_prior(base, &self.prior)?;
        let own = |prompt: &Prompt| {
            let settings = prompt.preset.apply(base.settings.clone(), &defaults, pipeline)?;
            let settings = prompt.overrides.apply(settings).map_err(in_flag);
            let negative = self.negative_of(prompt);
            check_negative(pipeline, &prompt.place, negative, Task::GENERATE)?;
            let record = Record {
                caption: Some(prompt.caption.clone()),
                settings: settings.with_context(|| prompt.place.clone())?,
                ..base.clone()
            };
            Ok(with_negative(record, negative))
        };
        let records: Vec<Record> = prompts.iter().map(own).collect::<Result<_>>()?;
        if prepares {
            self.warn_of_negatives(prompts, pipeline)?;
            let origins = self.model.origins(&defaults)?.then("--preset", &preset);
            let origins = origins.then_flags(&base.settings);
            let prepared = pipeline.prepare(Task::GENERATE, &base.settings);
            prepared.map_err(origins.clone().explain())?;
            let others = prompts.iter().zip(&records);
            for (prompt, record) in others.filter(|(_, record)| record.settings != base.settings) {
                let origins = origins.clone().then(&*prompt.place, &record.settings);
                let prepared = pipeline.prepare(Task::GENERATE, &record.settings);
                prepared.map_err(origins.explain())?;
            }
        }
        Ok(records)
    }

    /// Says what of negative captions the model does not read: of the flag's once, and of each prompt's own.
    fn warn_of_negatives(&self, prompts: &[Prompt], pipeline: &Pipeline) -> Result<()> {
        let all_have_one = prompts.iter().all(|prompt| prompt.negative.is_some());
        for negative in self.negative.iter().filter(|_| !all_have_one) {
            warn(pipeline, "--negative: ", negative)?;
        }
        prompts.iter().try_for_each(|prompt| match &prompt.negative {
            Some(negative) => warn(pipeline, &format!("{}: negative: ", prompt.place), negative),
            None => Ok(()),
        })
    }
}

/// Says that a hint of another size than `[width, height]` is squashed.
fn warn_of_size(path: &Path, hint: &RgbImage, [width, height]: [u32; 2]) {
    let (own_width, own_height) = hint.dimensions();
    if (own_width, own_height) != (width, height) {
        say!(
            "--hint {} has {own_width} x {own_height} pixels, and is resized to {width} x {height}",
            path.display()
        );
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

/// The negative caption of the command line, or else of the picture that is drawn again.
pub(crate) fn negative<'a>(own: Option<&'a str>, again: Option<&'a Again>) -> Option<&'a str> {
    own.or_else(|| again?.record.arguments.get(NEGATIVE)?.as_str())
}

/// Refuses a negative caption in `place` that the model does not read for this task.
pub(crate) fn check_negative(
    pipeline: &Pipeline,
    place: &str,
    negative: Option<&str>,
    task: Task,
) -> Result<()> {
    let checked = negative.map(|n| pipeline.check_negative_caption(n, task)).transpose();
    match place {
        "" => checked?,
        place => checked.with_context(|| place.to_owned())?,
    };
    Ok(())
}

/// Says that nothing comes of a negative caption where nothing is guided.
pub(crate) fn warn_of_unguided(negative: Option<&str>, settings: &Settings) {
    let base = settings.base().and_then(|base| settings.stage_guidance(base));
    if negative.is_some() && base.is_none() && settings.prior_guidance().is_none() {
        warn_of(&["--negative"], "a guidance scale of 1 draws away from nothing");
    }
}

/// The record with the negative caption, where there is one.
pub(crate) fn with_negative(record: Record, negative: Option<&str>) -> Record {
    match negative {
        Some(negative) => record.with(NEGATIVE, negative),
        None => record,
    }
}

/// Says what the model will not see of the caption in `place`, or has never seen.
pub(crate) fn warn(pipeline: &Pipeline, place: &str, caption: &str) -> Result<()> {
    if let Some(words) = pipeline.cut_off_words(caption)? {
        say!(
            "warning: {place}the caption is longer than the model reads, this is cut off: {}",
            excerpt(&words)
        );
    }
    let unknown = pipeline.unknown_words(caption)?;
    if !unknown.is_empty() {
        say!(
            "warning: {place}the model was trained on no caption with: {}",
            excerpt(&described(pipeline, &unknown)?)
        );
    }
    Ok(())
}

/// Words that the model was trained on no caption with, each with the nearest that it was, where one is near.
pub(crate) fn described(pipeline: &Pipeline, unknown: &[String]) -> Result<String> {
    let known = pipeline.known_words()?;
    Ok(known.map_or_else(|| unknown.join(", "), |known| known.describe(unknown)))
}
