//! `unclip edit`: what a difference of two captions does to a picture.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use pipeline::text_diff::{EDIT_GUIDANCE_SCALE, STRENGTH};
use pipeline::{Record, Silent, Task, check_caption};

use crate::drawing::{ImageArgs, InversionArgs};
use crate::frames::{AnimationArgs, FrameSequence, check_new, prepare};
use crate::input::{in_image, open_image, stem};
use crate::model::{EncoderArgs, ModelArgs};
use crate::origins::in_flag;
use crate::progress::Bars;
use crate::record::with_file;
use crate::settings_args::UpsamplerArgs;
use crate::value_parsers;

/// Arguments of `unclip edit`.
#[derive(Args)]
pub(crate) struct Edit {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    /// The caption of the picture as it is
    #[arg(long, value_name = "CAPTION")]
    from: String,
    /// The caption that it should have
    #[arg(long, value_name = "CAPTION")]
    to: String,
    /// How much of the difference of the captions is added to the embedding
    #[arg(long, value_name = "X", default_value_t = STRENGTH, value_parser = value_parsers::strength, allow_hyphen_values = true)]
    strength: f64,
    /// How strongly the changed embedding pulls, against what the decoder draws without any; 1 is no guidance
    #[arg(long, value_name = "X", default_value_t = EDIT_GUIDANCE_SCALE, value_parser = value_parsers::scale, allow_hyphen_values = true)]
    decoder_guidance_scale: f64,
    /// Also draw the way there in so many pictures, with a contact sheet and an animation, into the folder NAME-way
    /// beside the picture NAME.png
    #[arg(long, value_name = "N", value_parser = value_parsers::images, allow_negative_numbers = true)]
    frames: Option<u64>,
    #[command(flatten)]
    animation: AnimationArgs,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    upsampler: UpsamplerArgs,
}

impl Edit {
    /// Inverts the picture, turns its embedding, and decodes it with the noise that the inversion found.
    pub(crate) fn run(&self) -> Result<()> {
        check_caption(&self.from)?;
        check_caption(&self.to)?;
        let image = open_image(&self.image)?;
        let plan = self.images.plan(&format!("{}-edited", stem(&self.image)), &[&self.image])?;
        let mut folder = plan.first_path().with_extension("").into_os_string();
        folder.push("-way");
        let folder = PathBuf::from(folder);
        if self.frames.is_some() {
            self.animation.check()?;
            check_new("--frames", &folder, self.images.force)?;
        }
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        let steps = self.inversion.steps(&pipeline)?;
        let defaults = pipeline.defaults()?.without_prior();
        let preset = self.upsampler.apply_preset(&defaults);
        let settings = preset.clone();
        let settings = pipeline.inversion_settings(settings, steps, self.decoder_guidance_scale)?;
        let settings = self.upsampler.overrides().apply(settings).map_err(in_flag)?;
        let origins = self.model.origins(&defaults)?;
        let origins = origins.then("--preset", &preset).then_flags(&settings);
        pipeline.prepare(Task::EDIT, &settings).map_err(origins.explain())?;
        let _alone = match self.frames {
            Some(_) => Some(prepare("--frames", &folder, self.images.force)?),
            None => None,
        };
        let diff = pipeline.text_diff(&image, &self.from, &self.to, steps, &mut Silent);
        let diff = diff.map_err(|error| in_image(error, &self.image))?;
        let diff = diff.with_strength(self.strength);
        let diff = diff.with_guidance_scale(self.decoder_guidance_scale);
        let record = self.model.record("edit", Some(&self.to), &settings)?;
        let record = self.model.with_encoders(record, &self.encoders)?;
        let record = with_file(record, "image", &self.image)
            .with("from", self.from.as_str())
            .with("strength", self.strength);
        plan.draw(&record, |seeds, observer| {
            Ok(diff.frames(&pipeline, 1.0, seeds, &settings, observer)?)
        })?;
        let Some(frames) = self.frames else {
            return Ok(());
        };
        let mut bars = Bars::new(&settings, frames as usize);
        let seed = plan.first_seed();
        let record = Record { seed, ..record };
        let sequence = FrameSequence {
            frames,
            folder: &folder,
            force: self.images.force,
            record: Some(record).filter(|_| !self.images.no_metadata),
        };
        self.animation.draw(&sequence, &mut bars, 0, |t, observer| {
            Ok(diff.frames(&pipeline, t, &[seed], &settings, observer)?.remove(0))
        })
    }
}
