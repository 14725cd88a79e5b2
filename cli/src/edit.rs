//! `unclip edit`: what a difference of two captions does to a picture.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use images::RgbImage;
use noise::Generator;
use pipeline::manipulation::{EDIT_GUIDANCE_SCALE, STRENGTH};
use pipeline::{Preset, Progress, Settings, Use, check_caption};

use crate::drawing::{InversionArgs, Pictures, presets};
use crate::frames::{AnimationArgs, FrameSequence, check_new, prepare};
use crate::input::{in_image, open_image, stem};
use crate::model::{ImageEncoderArgs, ModelArgs};
use crate::progress::Bars;
use crate::record::with_file;
use crate::value_parsers;
use pipeline::Record;

/// What `unclip edit` is told.
#[derive(Args)]
pub struct Edit {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    /// What it shows
    #[arg(long, value_name = "CAPTION")]
    from: String,
    /// What it should show
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
    pictures: Pictures,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    /// How many steps draw the large picture: the makers' own are quality; --upsampler-steps wins
    #[arg(long, value_name = "PRESET", value_parser = presets())]
    preset: Option<Preset>,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    upsampler_steps: Option<usize>,
}

impl Edit {
    /// Inverts the picture, turns its embedding, and decodes it with the noise that the inversion found.
    pub fn run(&self) -> Result<()> {
        check_caption(&self.from)?;
        check_caption(&self.to)?;
        let picture = open_image(&self.image)?;
        let plan = self.pictures.plan(&format!("{}-edited", stem(&self.image)), &[&self.image])?;
        let mut way = plan.first_path().with_extension("").into_os_string();
        way.push("-way");
        let way = PathBuf::from(way);
        if self.frames.is_some() {
            self.animation.check()?;
            check_new("--frames", &way, self.pictures.force)?;
        }
        let pipeline = self.model.open(None, Some(&self.image_encoder))?;
        let steps = self.inversion.steps(&pipeline)?;
        let defaults = pipeline.defaults()?.without_prior();
        let preset = self.preset.unwrap_or(Preset::Quality).over(defaults, &defaults);
        let settings = Settings {
            decoder_steps: steps,
            decoder_guidance_scale: self.decoder_guidance_scale,
            upsampler_steps: self.upsampler_steps.unwrap_or(preset.upsampler_steps),
            ..defaults
        };
        let origins = self.model.origins(defaults, preset, settings)?;
        let prepared = pipeline.prepare(&[Use::ImageEncoder], &settings);
        prepared.map_err(origins.explain())?;
        let _alone = match self.frames {
            Some(_) => Some(prepare("--frames", &way, self.pictures.force)?),
            None => None,
        };
        let inversion = pipeline
            .invert(&[picture], steps, &mut |_, _, _| ())
            .map_err(|error| in_image(error, &self.image))?;
        let captions = pipeline.encode_text(&[&self.from, &self.to])?;
        let [from, to] = [0, 1].map(|row| captions.embedding.narrow(0, row, 1));
        let draw = |share: f64, seed: u64, progress: &mut Progress| -> Result<RgbImage> {
            let edited = inversion.edited(&from, &to, self.strength * share);
            let streams = &mut [Generator::new(seed)];
            // On the way, guidance grows with the difference, so that the way begins at the picture itself.
            let guidance_scale = 1.0 + (settings.decoder_guidance_scale - 1.0) * share;
            let how = (0.0, guidance_scale);
            let drawn = pipeline.draw_inversion(&edited, how, streams, &settings, progress)?;
            Ok(drawn.into_iter().next().expect("one picture for one"))
        };
        let record = self.model.record("edit", Some(&self.to), &settings)?;
        let record = with_file(record, "image", &self.image)
            .with("from", self.from.as_str())
            .with("strength", self.strength);
        plan.draw(&record, |seed, progress| draw(1.0, seed, progress))?;
        let Some(frames) = self.frames else {
            return Ok(());
        };
        let mut bars = Bars::new(&settings, frames as usize);
        let seed = plan.first_seed();
        let record = Record { seed, ..record };
        let way = FrameSequence {
            frames,
            folder: &way,
            force: self.pictures.force,
            record: Some(record).filter(|_| !self.pictures.no_metadata),
        };
        self.animation.draw(&way, &mut bars, 0, |t, progress| draw(t, seed, progress))
    }
}
