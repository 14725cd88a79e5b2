//! What commands that draw pictures share: how many, from which seeds, with which settings, and where they go.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use evaluation::sheets::{contact_sheet, save_png};
use image::RgbImage;
use pipeline::inversion::CALLS_A_STEP;
use pipeline::{Progress, Settings};

use crate::numbers;
use crate::output::{Output, check_writable};
use crate::progress::Bars;
use crate::record::Record;

/// The seed.
#[derive(Args, Clone, Copy)]
pub struct SeedArgs {
    /// The first picture's seed, which fixes the picture [default: random]
    #[arg(long, short, value_name = "S", value_parser = numbers::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
}

impl SeedArgs {
    /// The seed that was given, or a new one.
    fn value(self) -> u64 {
        // torch's generator, which pictures agree with, reads the lower 32 bits only.
        self.seed
            .unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32)
    }

    /// Says the seed that is used where none was given.
    fn tell(self, seed: u64) {
        if self.seed.is_none() {
            eprintln!("unclip: the seed is {seed}");
        }
    }

    /// The seed, which is said where none was given.
    pub fn told(self) -> u64 {
        let seed = self.value();
        self.tell(seed);
        seed
    }
}

/// How thoroughly a picture is inverted.
#[derive(Args)]
pub struct InversionArgs {
    /// How often the decoder is asked to invert a picture
    #[arg(long, value_name = "N", default_value = "100", value_parser = numbers::steps, allow_negative_numbers = true)]
    calls: usize,
}

impl InversionArgs {
    /// How often the decoder is asked.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// The steps that so many calls are enough for.
    pub fn steps(&self) -> Result<usize> {
        let steps = self.calls / CALLS_A_STEP;
        ensure!(
            steps > 0,
            "--calls {}: an inversion asks the decoder {CALLS_A_STEP} times at least",
            self.calls
        );
        Ok(steps)
    }
}

/// Which pictures are drawn.
#[derive(Args)]
pub struct Pictures {
    /// How many pictures to draw; picture i has seed S + i
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = numbers::pictures, allow_negative_numbers = true)]
    num_images: u64,
    #[command(flatten)]
    seed: SeedArgs,
    /// A name with {index} and {seed}, or a folder [default: a name]
    #[arg(long, short, value_name = "PATTERN")]
    out: Option<String>,
    /// Overwrite pictures that are there already
    #[arg(long)]
    force: bool,
    /// Also write all pictures as one contact sheet
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Print one JSON object a picture instead of its path
    #[arg(long)]
    json: bool,
    /// Leave out of PNGs how they were drawn
    #[arg(long)]
    no_metadata: bool,
}

impl Pictures {
    /// The pictures' seeds and files; `name` begins the files' names where the user gave none.
    pub fn plan(&self, name: &str) -> Result<Plan<'_>> {
        self.plan_again(name, None)
    }

    /// The same, from this seed on where the user gave none.
    pub fn plan_again(&self, name: &str, recorded: Option<u64>) -> Result<Plan<'_>> {
        let first = SeedArgs {
            seed: self.seed.seed.or(recorded),
        };
        let seeds = self.seeds(first.value())?;
        if let Some(grid) = &self.grid {
            check_writable("--grid", grid, self.force)?;
        }
        Ok(Plan {
            output: Output::plan(self.out.as_deref(), name, &seeds, self.force)?,
            wanted: self,
            first,
            seeds,
        })
    }

    /// The pictures' seeds: one after another from the first.
    fn seeds(&self, first: u64) -> Result<Vec<u64>> {
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

/// Pictures that are going to be drawn.
pub struct Plan<'a> {
    wanted: &'a Pictures,
    seeds: Vec<u64>,
    output: Output,
    first: SeedArgs,
}

/// Columns of a contact sheet: as many as rows, or one more.
fn columns(pictures: usize) -> u32 {
    (pictures as f64).sqrt().ceil() as u32
}

impl Plan<'_> {
    /// The first picture's seed.
    pub fn first_seed(&self) -> u64 {
        self.seeds[0]
    }

    /// The first picture's file.
    pub fn first_path(&self) -> &Path {
        self.output.path(0)
    }

    /// Draws each picture from its seed, writes it and prints its path. `drawn` is what is told of the pictures, but
    /// their seeds.
    pub fn draw(
        &self,
        drawn: &Record,
        mut draw: impl FnMut(u64, &mut Progress) -> Result<RgbImage>,
    ) -> Result<()> {
        self.first.tell(self.seeds[0]);
        let mut bars = Bars::new(&drawn.settings, self.seeds.len());
        let mut pictures = Vec::new();
        for (index, &seed) in self.seeds.iter().enumerate() {
            let picture = draw(seed, &mut |stage, done, _| bars.set(index, stage, done))?;
            let record = Record {
                seed,
                ..drawn.clone()
            };
            let texts = match self.wanted.no_metadata {
                true => Vec::new(),
                false => record.texts(picture.dimensions()).to_vec(),
            };
            let path = self.output.save(index, &picture, &texts)?;
            let line = match self.wanted.json {
                true => record.line(index, path),
                false => path.display().to_string(),
            };
            bars.suspend(|| writeln!(std::io::stdout(), "{line}"))?;
            if self.wanted.grid.is_some() {
                pictures.push(picture);
            }
        }
        if let Some(grid) = &self.wanted.grid {
            save_png(&contact_sheet(&pictures, columns(pictures.len())), grid)?;
            if !self.wanted.json {
                writeln!(std::io::stdout(), "{}", grid.display())?;
            }
        }
        Ok(())
    }
}

const HEADING: &str = "Diffusion (defaults are the model's own; Karlo's are in brackets)";

/// What a user may wish of the prior, otherwise than the model's makers.
#[derive(Args)]
#[command(next_help_heading = HEADING)]
pub struct PriorWishes {
    /// Steps that draw the image embedding [25]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    prior_steps: Option<usize>,
    /// Embeddings to draw; the closest to the caption is kept [1]
    #[arg(long, value_name = "N", value_parser = numbers::candidates, allow_negative_numbers = true)]
    prior_candidates: Option<usize>,
    /// How strongly the caption pulls the embedding [4]
    #[arg(long, value_name = "X", value_parser = numbers::scale, allow_hyphen_values = true)]
    prior_guidance_scale: Option<f64>,
}

impl PriorWishes {
    /// The settings, changed where the user wished so.
    pub fn over(&self, defaults: Settings) -> Settings {
        Settings {
            prior_steps: self.prior_steps.unwrap_or(defaults.prior_steps),
            prior_candidates: self.prior_candidates.unwrap_or(defaults.prior_candidates),
            prior_guidance_scale: self
                .prior_guidance_scale
                .unwrap_or(defaults.prior_guidance_scale),
            ..defaults
        }
    }
}

/// What a user may wish of the decoder and the upsampler, otherwise than the model's makers.
#[derive(Args)]
#[command(next_help_heading = HEADING)]
pub struct DecoderWishes {
    /// Steps that draw the small picture [25]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    decoder_steps: Option<usize>,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = numbers::steps, allow_negative_numbers = true)]
    upsampler_steps: Option<usize>,
    /// How strongly the caption and the embedding pull the picture [8]
    #[arg(long, value_name = "X", value_parser = numbers::scale, allow_hyphen_values = true)]
    decoder_guidance_scale: Option<f64>,
}

impl DecoderWishes {
    /// The settings, changed where the user wished so.
    pub fn over(&self, defaults: Settings) -> Settings {
        Settings {
            decoder_steps: self.decoder_steps.unwrap_or(defaults.decoder_steps),
            upsampler_steps: self.upsampler_steps.unwrap_or(defaults.upsampler_steps),
            decoder_guidance_scale: self
                .decoder_guidance_scale
                .unwrap_or(defaults.decoder_guidance_scale),
            ..defaults
        }
    }
}
