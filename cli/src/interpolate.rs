//! `unclip interpolate`: the way from one picture or caption to another.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use image::RgbImage;
use noise::Generator;
use pipeline::manipulation::slerp;
use pipeline::{Pipeline, Progress, Settings, Use};
use tch::Tensor;

use crate::drawing::{DecoderWishes, InversionArgs, PresetArgs, PriorWishes, SeedArgs};
use crate::frames::{AnimationArgs, check_new, prepare};
use crate::input::End;
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::numbers;
use crate::progress::Bars;

/// What `unclip interpolate` is told.
#[derive(Args)]
pub struct Interpolate {
    /// Where it begins: a picture's file, or a caption
    from: OsString,
    /// Where it ends
    to: OsString,
    /// The folder to write frames, a contact sheet and an animation to; it must be new or empty
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// How many pictures, both ends included
    #[arg(long, value_name = "N", default_value = "9", value_parser = numbers::pictures, allow_negative_numbers = true)]
    frames: u64,
    #[command(flatten)]
    animation: AnimationArgs,
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
        check_new("--out", &self.out, false)?;
        let ends = [End::read(&self.from)?, End::read(&self.to)?];
        let pipeline = self
            .model
            .open(Some(&self.prior), Some(&self.image_encoder))?;
        let makers = pipeline.defaults()?;
        let settings = self.preset.over(makers, &makers);
        let settings = self.prior_wishes.over(settings)?;
        let settings = self.decoder_wishes.over(settings);
        let uses: Vec<Use> = ends.iter().map(End::needs).collect();
        pipeline.prepare(&uses, &settings)?;
        self.inversion.steps(&pipeline)?;
        self.animation.check()?;
        prepare("--out", &self.out, false)?;
        let seed = self.seed.told();
        match &ends {
            [End::Picture(from), End::Picture(to)] if !self.shared_noise => {
                self.between_inversions(&pipeline, [from, to], seed, &settings)
            }
            ends => self.between_embeddings(&pipeline, ends, seed, &settings),
        }
    }

    /// Between pictures, both the embeddings and the noise that decodes to them move.
    fn between_inversions(
        &self,
        pipeline: &Pipeline,
        ends: [&RgbImage; 2],
        seed: u64,
        settings: &Settings,
    ) -> Result<()> {
        let steps = self.inversion.steps(pipeline)?;
        let settings = Settings {
            decoder_steps: steps,
            ..settings.without_prior()
        };
        let mut bars = Bars::new(&settings, 2 + self.frames as usize);
        let mut invert = |index: usize, picture: &RgbImage| {
            let mut told = |stage, done, _| bars.set(index, stage, done);
            pipeline.invert(std::slice::from_ref(picture), steps, &mut told)
        };
        let [from, to] = [invert(0, ends[0])?, invert(1, ends[1])?];
        let draw = |share: f64, progress: &mut Progress| {
            let between = from.between(&to, share);
            let streams = &mut [Generator::new(seed)];
            let drawn =
                pipeline.draw_inversion(&between, (0.0, 1.0), streams, &settings, progress)?;
            Ok(drawn.into_iter().next().expect("one picture for one"))
        };
        self.animation
            .draw(self.frames, &self.out, &mut bars, 2, false, draw)
    }

    /// The embeddings move, and the noise is the seed's in every frame.
    fn between_embeddings(
        &self,
        pipeline: &Pipeline,
        ends: &[End; 2],
        seed: u64,
        settings: &Settings,
    ) -> Result<()> {
        let embedding = |end: &End| -> Result<Tensor> {
            Ok(match end {
                End::Picture(picture) => pipeline.encode_pictures(std::slice::from_ref(picture))?,
                End::Caption(caption) => {
                    let text = pipeline.encode_text(&[caption])?;
                    let mut streams = [Generator::new(seed)];
                    pipeline.draw_embedding(&text, settings, &mut streams, &mut |_, _, _| ())?
                }
            })
        };
        let [from, to] = [embedding(&ends[0])?, embedding(&ends[1])?];
        let settings = settings.without_prior();
        let text = pipeline.encode_text(&[""])?;
        let mut bars = Bars::new(&settings, self.frames as usize);
        self.animation.draw(
            self.frames,
            &self.out,
            &mut bars,
            0,
            false,
            |share, progress| {
                let between = slerp(&from, &to, share).to_kind(from.kind());
                Ok(pipeline.draw_from(&between, &text, seed, &settings, progress)?)
            },
        )
    }
}
