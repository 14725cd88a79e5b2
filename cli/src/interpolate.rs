//! `unclip interpolate`: the way from one picture or caption to another.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use images::RgbImage;
use noise::Generator;
use pipeline::manipulation::slerp;
use pipeline::{Pipeline, Progress, Settings, Use};
use tch::Tensor;

use crate::drawing::{DecoderWishes, InversionArgs, PresetArgs, PriorWishes, SeedArgs};
use crate::frames::{AnimationArgs, FrameSequence, check_new, prepare};
use crate::input::{End, check_named_once, encode_image, in_image};
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::progress::Bars;
use crate::record::with_file;
use crate::value_parsers;
use pipeline::Record;

/// What `unclip interpolate` is told.
#[derive(Args)]
pub struct Interpolate {
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
    image_encoder: ImageEncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
}

impl Interpolate {
    /// Draws the frames and prints the files' paths.
    pub fn run(&self) -> Result<()> {
        check_named_once([&self.from, &self.to])?;
        check_new("--out", &self.out, false)?;
        let ends = [End::read(&self.from)?, End::read(&self.to)?];
        let pipeline = self.model.open(Some(&self.prior), Some(&self.image_encoder))?;
        let makers = pipeline.defaults()?;
        let preset = self.preset.over(makers, &makers);
        let settings = self.prior_wishes.over(preset)?;
        let settings = self.decoder_wishes.over(settings);
        let uses: Vec<Use> = ends.iter().map(End::needs).collect();
        let origins = self.model.origins(makers, preset, settings)?;
        let prepared = pipeline.prepare(&uses, &settings);
        prepared.map_err(origins.explain())?;
        self.inversion.steps(&pipeline)?;
        self.animation.check()?;
        let _alone = prepare("--out", &self.out, false)?;
        let seed = self.seed.told();
        let settings = match uses.contains(&Use::Prior) {
            true => settings,
            false => settings.without_prior(),
        };
        match &ends {
            [End::Image(from), End::Image(to)] if !self.shared_noise => {
                let settings = Settings {
                    decoder_steps: self.inversion.steps(&pipeline)?,
                    decoder_guidance_scale: 1.0,
                    ..settings
                };
                let way = self.way(&ends, seed, &settings)?;
                self.between_inversions(&pipeline, [from, to], &way, seed, &settings)
            }
            _ => {
                let way = self.way(&ends, seed, &settings)?;
                self.between_embeddings(&pipeline, &ends, &way, seed, &settings)
            }
        }
    }

    /// Where the frames go, and what is told of them.
    fn way(&self, ends: &[End; 2], seed: u64, settings: &Settings) -> Result<FrameSequence<'_>> {
        let mut record = self.model.record("interpolate", None, settings)?;
        for (name, given, end) in [("from", &self.from, &ends[0]), ("to", &self.to, &ends[1])] {
            record = match end {
                End::Image(_) => with_file(record, name, Path::new(given)),
                End::Caption(caption) => record.with(name, caption.as_str()),
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

    /// Between pictures, both the embeddings and the noise that decodes to them move.
    fn between_inversions(
        &self,
        pipeline: &Pipeline,
        ends: [&RgbImage; 2],
        way: &FrameSequence,
        seed: u64,
        settings: &Settings,
    ) -> Result<()> {
        let mut bars = Bars::new(settings, 2 + self.frames as usize);
        let mut invert = |index: usize, picture: &RgbImage| {
            let mut told = |stage, done, _| bars.set(index, stage, done);
            let picture = std::slice::from_ref(picture);
            let inverted = pipeline.invert(picture, settings.decoder_steps, &mut told);
            let path = Path::new([&self.from, &self.to][index]);
            inverted.map_err(|error| in_image(error, path))
        };
        let [from, to] = [invert(0, ends[0])?, invert(1, ends[1])?];
        let draw = |share: f64, progress: &mut Progress| {
            let between = from.between(&to, share);
            let streams = &mut [Generator::new(seed)];
            let drawn =
                pipeline.draw_inversion(&between, (0.0, 1.0), streams, settings, progress)?;
            Ok(drawn.into_iter().next().expect("one picture for one"))
        };
        self.animation.draw(way, &mut bars, 2, draw)
    }

    /// The embeddings move, and the noise is the seed's in every frame.
    fn between_embeddings(
        &self,
        pipeline: &Pipeline,
        ends: &[End; 2],
        way: &FrameSequence,
        seed: u64,
        settings: &Settings,
    ) -> Result<()> {
        let embedding = |end: &End, given: &OsStr| -> Result<Tensor> {
            Ok(match end {
                End::Image(picture) => encode_image(pipeline, Path::new(given), picture.clone())?,
                End::Caption(caption) => {
                    let text = pipeline.encode_text(&[caption])?;
                    let mut streams = [Generator::new(seed)];
                    pipeline.draw_embedding(&text, settings, &mut streams, &mut |_, _, _| ())?
                }
            })
        };
        let [from, to] = [embedding(&ends[0], &self.from)?, embedding(&ends[1], &self.to)?];
        let settings = settings.without_prior();
        let text = pipeline.encode_text(&[""])?;
        let mut bars = Bars::new(&settings, self.frames as usize);
        self.animation.draw(way, &mut bars, 0, |t, progress| {
            let between = slerp(&from, &to, t).to_kind(from.kind());
            Ok(pipeline.draw_from(&between, &text, seed, &settings, progress)?)
        })
    }
}
