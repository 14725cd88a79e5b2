//! `unclip inpaint`: a part of a picture, painted anew.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;
use files::extensions::is_image;
use images::regions::MOST_REGIONS;
use images::{EncoderFormat, Region};
use pipeline::observer::PRIOR;
use pipeline::repaint::RESAMPLE;
use pipeline::{Pipeline, Record, Request, Settings, SettingsOverrides, Task};

use crate::again::{Again, caption};
use crate::drawing::ImageArgs;
use crate::embedding;
use crate::generate::{check_negative, negative, warn, with_negative};
use crate::input::{ImageFile, check_named_once, stem};
use crate::mask_args::{MaskArgs, MaskedEdit, with_digest};
use crate::mask_record::{self, COMMAND};
use crate::messages::say;
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::record::with_file;
use crate::settings_args::{
    CandidatesArgs, ClipGuidanceArgs, DecoderSettingsArgs, PresetArgs, PriorSettingsArgs,
    ResampleArgs,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  unclip inpaint scene.png --mask-rect 40,90,120,120 \"a green tree\"
  unclip inpaint photo.jpg --mask mask.png -n 4 --grid trees.png \"a green tree\"
  unclip inpaint scene.png --outpaint 0,0,128,0

Without a caption, what lies around the mask alone says what is painted.";

/// The model that paints where the user chooses none: it was trained to.
const DEFAULT_MODEL: &str = "builtin:glide";

/// Arguments of `unclip inpaint`.
#[derive(Args)]
#[command(mut_arg("model", |model| model.help(
    "A folder, OWNER/NAME or builtin:unclip [default: builtin:glide]"
)))]
pub(crate) struct Inpaint {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    /// The whole picture in plain words, as it shall be
    caption: Option<String>,
    /// Paint from this image embedding, without the prior
    #[arg(long, value_name = "FILE")]
    image_embedding: Option<PathBuf>,
    /// Take caption, seed and settings of this PNG of unclip; other flags win
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Paint away from this caption, in models whose prior reads one
    #[arg(long, value_name = "CAPTION", conflicts_with = "image_embedding")]
    negative: Option<String>,
    #[command(flatten)]
    mask: MaskArgs,
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
    resample: ResampleArgs,
    #[command(flatten)]
    clip_guidance: ClipGuidanceArgs,
    #[command(flatten)]
    candidates: CandidatesArgs,
}

impl Inpaint {
    /// Paints the pictures. Everything that can be refused is refused before the first of them.
    pub(crate) fn run(mut self) -> Result<()> {
        // Embeddings are what the other built-in model paints from.
        if self.image_embedding.is_none() && !self.prior.is_given() {
            self.model = self.model.or(DEFAULT_MODEL);
        }
        let given = self.image_embedding.as_deref();
        let others = [self.mask.mask.as_deref(), self.from.as_deref(), given];
        let inputs: Vec<&Path> =
            [&*self.image].into_iter().chain(others.into_iter().flatten()).collect();
        check_named_once(&inputs)?;
        let again = self.again()?;
        let caption = match self.caption.as_deref() {
            Some(words) if words.trim().is_empty() => None,
            Some(words) if is_image(Path::new(words)) && Path::new(words).is_file() => {
                bail!(
                    "{words} is a file, and a caption is wanted: --mask {words} says where to paint"
                )
            }
            own => caption(own, again.as_ref())?,
        };
        let picture = ImageFile::open(&self.image)?;
        let edit = self.mask.edit(&picture, again.as_ref().map(|again| &again.record))?;
        let name = format!("{}-inpainted", stem(&self.image));
        let plan = self.images.plan_again(&name, &inputs, again.as_ref().map(Again::seed))?;
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let settings = self.settings(&pipeline, caption, again.as_ref())?;
        let task = self.task(&pipeline, caption);
        // The record's is of no use where the prior takes no part.
        let negative = negative(self.negative.as_deref(), again.as_ref().filter(|_| task.prior));
        check_negative(&pipeline, "", negative, task)?;
        let embedding = given.map(|path| embedding::read(path, &pipeline)).transpose()?;
        let side = pipeline.inpainting_side()?;
        let regions = self.mask.regions(&edit.edit, &pipeline)?;
        remark(&edit, &regions, side);
        self.mask.remark_on_feather(&edit.edit, &regions);
        warn_of_format(plan.first_path());
        let words = caption.unwrap_or_default();
        warn(&pipeline, "", words)?;
        negative.iter().try_for_each(|negative| warn(&pipeline, "--negative: ", negative))?;
        let record = self.record(caption, &settings, &picture, &edit)?;
        let record = with_negative(record, negative);
        if let Some(again) = &again {
            again.warn_of_differences(&record);
            mask_record::warn_of_differences(&again.record, &record);
        }
        plan.draw(&record, |seeds, observer| {
            let request = |&seed| match &embedding {
                None => Request {
                    negative_caption: negative.map(str::to_owned),
                    ..Request::new(words, seed, settings.clone())
                },
                Some(embedding) => {
                    Request::of_embedding(embedding, seed, settings.clone()).with_caption(words)
                }
            };
            let requests: Vec<Request> = seeds.iter().map(request).collect();
            Ok(pipeline.inpaint(&edit.edit, &requests, observer)?)
        })
    }

    /// The picture whose caption, seed and settings are taken.
    fn again(&self) -> Result<Option<Again<'_>>> {
        let is_enough = |record: &Record| match &*record.command {
            COMMAND => true,
            command => command == "generate" && record.caption.is_some(),
        };
        let again = self.from.as_deref().map(|from| Again::read(from, is_enough)).transpose()?;
        if let (Some(again), None) = (&again, &self.image_embedding) {
            ensure!(
                !again.record.arguments.contains_key("image_embedding"),
                "--from {}: this picture was painted from an image embedding, please give it with --image-embedding",
                again.seed().0.display()
            );
        }
        Ok(again)
    }

    /// The task: of no caption the prior of a model that has one samples nothing.
    fn task(&self, pipeline: &Pipeline, caption: Option<&str>) -> Task {
        let decodes = pipeline.stages().any(|stage| stage == PRIOR);
        let prior = self.image_embedding.is_none() && (caption.is_some() || !decodes);
        Task { prior, inpaints: true, ..Task::GENERATE }
    }

    /// The model's settings, or those of the picture that is drawn again, changed by the flags. Prepares the pipeline.
    fn settings(
        &self,
        pipeline: &Pipeline,
        caption: Option<&str>,
        again: Option<&Again>,
    ) -> Result<Settings> {
        let task = self.task(pipeline, caption);
        let prior = task.prior;
        let flags = self.decoder.add_to(self.resample.add_to(SettingsOverrides::default()));
        let flags = self.clip_guidance.add_to(self.candidates.add_to(flags));
        let flags = match prior {
            true => self.prior_settings.add_to(flags),
            false => {
                self.warn_of_prior_flags();
                flags
            }
        };
        let fix = match prior {
            true => |settings| settings,
            false => Settings::without_prior,
        };
        let settings = match again {
            None => self.model.prepare(pipeline, task, &self.preset, &flags, fix)?,
            Some(again) => {
                let (prior, preset) = (&self.prior, &self.preset);
                again.settings(&self.model, pipeline, task, prior, preset, &flags)?
            }
        };
        // The record says it, so that the picture is painted again should another number become the default.
        let resample = settings.resample.or(pipeline.repaints()?.then_some(RESAMPLE));
        Ok(Settings { resample, ..settings })
    }

    /// Says of which flags of the prior nothing comes, where it takes no part.
    fn warn_of_prior_flags(&self) {
        self.prior_settings.warn(match self.image_embedding {
            Some(_) => "the image embedding takes the prior's place",
            None => "without a caption the prior takes no part",
        });
    }

    /// The record of the pictures, but their seeds.
    fn record(
        &self,
        caption: Option<&str>,
        settings: &Settings,
        picture: &ImageFile,
        edit: &MaskedEdit,
    ) -> Result<Record> {
        let record = self.model.record(COMMAND, caption, settings)?;
        let mut record = self.model.with_encoders(record, &self.encoders)?;
        record = self.model.with_prior(record, &self.prior)?;
        if let Some(path) = &self.image_embedding {
            record = with_file(record, "image_embedding", path);
        }
        Ok(self.mask.add_to(with_digest(record, "image", &self.image, picture), edit))
    }
}

/// Says how the mask is read, and what of the picture is painted at once by a model whose images have `side` pixels.
fn remark(edit: &MaskedEdit, regions: &[Region], side: u32) {
    for remark in &edit.remarks {
        say!("{remark}");
    }
    if regions.len() > 1 {
        say!(
            "the mask has {} regions, which are painted one by one: Ctrl-C stops after a picture's last region, and a second Ctrl-C at once",
            regions.len()
        );
    }
    for Region { bounds, is_whole, is_union, .. } in regions {
        let (width, height) = edit.edit.mask().dimensions();
        let (columns, rows) = (bounds.width, bounds.height);
        if *is_union {
            say!(
                "the mask has more than {MOST_REGIONS} regions, which are painted together: the rectangle around them has {columns} x {rows} pixels"
            );
        }
        if *is_whole {
            say!(
                "the rectangle around the mask's pixels has {columns} x {rows} pixels, and the picture {width} x {height}: all of it is painted at once, as {side} x {side} pixels"
            );
        }
    }
}

/// Says that a JPEG keeps no pixel as it was.
fn warn_of_format(path: &Path) {
    if EncoderFormat::of(path) == Some(EncoderFormat::Jpeg) {
        say!(
            "warning: {} is a JPEG, which changes pixels outside the mask too: a PNG or a WebP keeps them",
            path.display()
        );
    }
}
