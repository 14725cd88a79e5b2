//! `unclip generate`: pictures from a caption.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use pipeline::{Pipeline, Settings, Use, check_caption};

use crate::model::ModelArgs;
use crate::numbers;
use crate::output::Output;
use crate::progress::Bars;

/// What `unclip generate` is told.
#[derive(Args)]
pub struct Generate {
    /// What the picture should show, in plain words
    caption: String,
    /// How many pictures to draw; picture i has seed S + i
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = numbers::pictures, allow_negative_numbers = true)]
    num_images: u64,
    /// The first picture's seed, which fixes the picture [default: random]
    #[arg(long, short, value_name = "S", value_parser = numbers::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// A name with {index} and {seed}, or a folder [default: from the caption]
    #[arg(long, short, value_name = "PATTERN")]
    out: Option<String>,
    /// Overwrite pictures that are there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    wishes: Wishes,
}

/// What a user may wish otherwise than the model's makers.
#[derive(Args)]
#[command(next_help_heading = "Diffusion (defaults are the model's own; Karlo's are in brackets)")]
pub struct Wishes {
    /// Steps that draw the image embedding [25]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    prior_steps: Option<usize>,
    /// Steps that draw the small picture [25]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    decoder_steps: Option<usize>,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    upsampler_steps: Option<usize>,
    /// How strongly the caption pulls the embedding [4]
    #[arg(long, value_name = "X", value_parser = numbers::scale, allow_hyphen_values = true)]
    prior_guidance_scale: Option<f64>,
    /// How strongly the caption and the embedding pull the picture [8]
    #[arg(long, value_name = "X", value_parser = numbers::scale, allow_hyphen_values = true)]
    decoder_guidance_scale: Option<f64>,
}

impl Wishes {
    /// The model's settings, changed where the user wished so.
    pub fn over(&self, defaults: Settings) -> Settings {
        Settings {
            prior_steps: self.prior_steps.unwrap_or(defaults.prior_steps),
            decoder_steps: self.decoder_steps.unwrap_or(defaults.decoder_steps),
            upsampler_steps: self.upsampler_steps.unwrap_or(defaults.upsampler_steps),
            prior_guidance_scale: self
                .prior_guidance_scale
                .unwrap_or(defaults.prior_guidance_scale),
            decoder_guidance_scale: self
                .decoder_guidance_scale
                .unwrap_or(defaults.decoder_guidance_scale),
        }
    }
}

impl Generate {
    /// Draws the pictures. Everything that can be refused is refused before the first of them.
    pub fn run(&self) -> Result<()> {
        check_caption(&self.caption)?;
        let seeds = self.seeds()?;
        let output = Output::plan(self.out.as_deref(), &self.caption, &seeds, self.force)?;
        let pipeline = self.model.open()?;
        let settings = self.wishes.over(pipeline.defaults()?);
        pipeline.prepare(&[Use::Prior], &settings)?;
        let text = pipeline.encode_text(&[&self.caption])?;
        warn(&pipeline, &self.caption, text.cut_off[0].as_deref())?;
        if self.seed.is_none() {
            eprintln!("unclip: the seed is {}", seeds[0]);
        }

        let mut bars = Bars::new(&settings, seeds.len());
        for (index, &seed) in seeds.iter().enumerate() {
            let picture = pipeline.draw(&text, seed, &settings, &mut |stage, done, _| {
                bars.set(index, stage, done)
            })?;
            let path = output.save(index, &picture)?;
            bars.suspend(|| writeln!(std::io::stdout(), "{}", path.display()))?;
        }
        Ok(())
    }

    /// The pictures' seeds: one after another from the first.
    fn seeds(&self) -> Result<Vec<u64>> {
        // torch's generator, which pictures agree with, reads the lower 32 bits only.
        let first = self
            .seed
            .unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32);
        (0..self.num_images)
            .map(|i| first.checked_add(i))
            .collect::<Option<_>>()
            .with_context(|| {
                format!(
                    "--seed {first}: the seeds of {} pictures go beyond {}",
                    self.num_images,
                    u64::MAX
                )
            })
    }
}

/// Says what the model will not see of a caption, or has never seen.
fn warn(pipeline: &Pipeline, caption: &str, cut_off: Option<&str>) -> Result<()> {
    if let Some(words) = cut_off {
        eprintln!(
            "unclip: warning: the caption is longer than the model reads, this is cut off: {words}"
        );
    }
    let unknown = pipeline.unknown_words(caption)?;
    if !unknown.is_empty() {
        eprintln!(
            "unclip: warning: the model was trained on no caption with: {}",
            unknown.join(", ")
        );
    }
    Ok(())
}
