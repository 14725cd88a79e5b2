//! `unclip interpolate`: the way from one picture or caption to another.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use noise::Generator;
use pipeline::manipulation::slerp;
use pipeline::{Inversion, Pipeline, Settings, Use};
use tch::Tensor;

use crate::drawing::{DecoderWishes, InversionArgs, PriorWishes, SeedArgs};
use crate::frames::{FramesArgs, prepare};
use crate::input::End;
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::progress::Bars;

/// What `unclip interpolate` is told.
#[derive(Args)]
pub struct Interpolate {
    /// Where it begins: a picture's file, or a caption
    from: String,
    /// Where it ends
    to: String,
    /// The folder to write frames, a contact sheet and an animation to; it must be new or empty
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    frames: FramesArgs,
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
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
}

impl Interpolate {
    /// Draws the frames and prints the files' paths.
    pub fn run(&self) -> Result<()> {
        self.inversion.steps()?;
        let ends = [End::read(&self.from)?, End::read(&self.to)?];
        let pipeline = self
            .model
            .open(Some(&self.prior), Some(&self.image_encoder))?;
        let settings = self.prior_wishes.over(pipeline.defaults()?);
        let settings = self.decoder_wishes.over(settings);
        let uses: Vec<Use> = ends.iter().map(End::needs).collect();
        pipeline.prepare(&uses, &settings)?;
        prepare("--out", &self.out)?;
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
        ends: [&image::RgbImage; 2],
        seed: u64,
        settings: &Settings,
    ) -> Result<()> {
        let steps = self.inversion.steps()?;
        let settings = Settings {
            decoder_steps: steps,
            ..settings.without_prior()
        };
        let mut bars = Bars::new(&settings, 2 + self.frames.count());
        let mut inversions = Vec::new();
        for (index, picture) in ends.into_iter().enumerate() {
            let mut told = |stage, done, _| bars.set(index, stage, done);
            inversions.push(pipeline.invert(picture, steps, &mut told)?);
        }
        let [from, to] = [&inversions[0], &inversions[1]];
        self.frames
            .draw(&self.out, &mut bars, 2, |share, progress| {
                let between = Inversion {
                    embedding: slerp(&from.embedding, &to.embedding, share),
                    noise: slerp(&from.noise, &to.noise, share),
                    steps,
                };
                let stream = &mut Generator::new(seed);
                Ok(pipeline.draw_inversion(&between, 0.0, stream, &settings, progress)?)
            })
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
        let mut bars = Bars::new(&settings, self.frames.count());
        self.frames
            .draw(&self.out, &mut bars, 0, |share, progress| {
                let between = slerp(&from, &to, share).to_kind(from.kind());
                Ok(pipeline.draw_from(&between, &text, seed, &settings, progress)?)
            })
    }
}
