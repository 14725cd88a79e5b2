//! What commands that draw pictures share: how many, from which seeds, with which settings, and where they go.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use images::RgbImage;
use pipeline::{CodeSampling, Pipeline, Preset, Progress, Settings, Solver};

use crate::destinations::Files;
use crate::messages::say;
use crate::names::Names;
use crate::origins::in_flag;
use crate::run::{Job, Run};
use crate::value_parsers;
use pipeline::Record;

/// The seed.
#[derive(Args, Clone, Copy)]
pub struct SeedArgs {
    /// The first picture's seed, which fixes the picture [default: random]
    #[arg(long, short, value_name = "S", value_parser = value_parsers::seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
}

impl SeedArgs {
    /// The seed that was given, or a new one.
    fn value(self) -> u64 {
        // torch's generator, which pictures agree with, reads the lower 32 bits only.
        self.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32)
    }

    /// Says the seed that is used where none was given.
    fn tell(self, seed: u64) {
        if self.seed.is_none() {
            say!("the seed is {seed}");
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
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    calls: usize,
}

impl InversionArgs {
    /// How often the decoder is asked; refuses what this model cannot do.
    #[cfg(feature = "lab")]
    pub fn calls(&self, pipeline: &Pipeline) -> Result<usize> {
        self.steps(pipeline)?;
        Ok(self.calls)
    }

    /// The steps that so many calls are enough for; refuses what this model cannot do.
    pub fn steps(&self, pipeline: &Pipeline) -> Result<usize> {
        pipeline.steps_of_calls(self.calls).map_err(in_flag)
    }
}

/// Which pictures are drawn.
#[derive(Args)]
pub struct Pictures {
    /// How many pictures to draw; picture i has seed S + i
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = value_parsers::images, allow_negative_numbers = true)]
    pub num_images: u64,
    #[command(flatten)]
    pub seed: SeedArgs,
    /// A name with {index} and {seed}, or a folder [default: a name]
    #[arg(long, short, value_name = "PATTERN")]
    pub out: Option<OsString>,
    /// Overwrite pictures that are there already
    #[arg(long)]
    pub force: bool,
    /// Also write all pictures as one contact sheet
    #[arg(long, value_name = "FILE")]
    pub grid: Option<PathBuf>,
    /// Show each picture in the terminal, on standard error
    #[arg(long)]
    pub preview: bool,
    /// Print one JSON object a picture instead of its path
    #[arg(long)]
    pub json: bool,
    /// Leave out of PNGs how they were drawn
    #[arg(long)]
    pub no_metadata: bool,
}

impl Pictures {
    /// The pictures' seeds and files, none of which is one of the `inputs`; `name` begins the files' names where the user
    /// gave none.
    pub fn plan(&self, name: &str, inputs: &[&Path]) -> Result<Plan<'_>> {
        self.plan_again(name, inputs, None)
    }

    /// The same, from this seed on where the user gave none.
    pub fn plan_again(
        &self,
        name: &str,
        inputs: &[&Path],
        recorded: Option<(&Path, u64)>,
    ) -> Result<Plan<'_>> {
        let first = SeedArgs { seed: self.seed.seed.or(recorded.map(|(_, seed)| seed)) };
        let seeds = match recorded.filter(|_| self.seed.seed.is_none()) {
            Some((file, seed)) => {
                seeds(&format!("{}: its seed is", file.display()), seed, self.num_images)
            }
            None => seeds("--seed", first.value(), self.num_images),
        }?;
        let names = Names::new(self.out.as_deref())?;
        let mut files = Files::new(inputs);
        if let Some(folder) = names.folder() {
            files.add_folder("--out", folder)?;
        }
        if let Some(grid) = &self.grid {
            files.add_sheet("--grid", grid, self.force)?;
        }
        let paths: Vec<PathBuf> = seeds
            .iter()
            .enumerate()
            .map(|(index, &seed)| names.path(name, index, seeds.len(), seed))
            .collect();
        for path in &paths {
            files.add_other("--out", path, self.force)?;
        }
        Ok(Plan { wanted: self, first, seeds, paths })
    }
}

/// The seeds of `count` pictures: one after another from the first, which `place` says.
pub fn seeds(place: &str, first: u64, count: u64) -> Result<Vec<u64>> {
    (0..count).map(|i| first.checked_add(i)).collect::<Option<_>>().with_context(|| {
        format!("{place} {first}: the seeds of {count} pictures go beyond {}", u64::MAX)
    })
}

/// Pictures that are going to be drawn.
pub struct Plan<'a> {
    wanted: &'a Pictures,
    first: SeedArgs,
    seeds: Vec<u64>,
    paths: Vec<PathBuf>,
}

impl Plan<'_> {
    /// The first picture's file.
    pub fn first_path(&self) -> &Path {
        &self.paths[0]
    }

    /// The first picture's seed.
    pub fn first_seed(&self) -> u64 {
        self.seeds[0]
    }

    /// Draws each picture from its seed, writes it and prints its path. `drawn` is what is told of the pictures, but
    /// their seeds.
    pub fn draw(
        &self,
        drawn: &Record,
        mut draw: impl FnMut(u64, &mut Progress) -> Result<RgbImage>,
    ) -> Result<()> {
        let jobs = self.seeds.iter().zip(&self.paths).map(|(&seed, path)| Job {
            path: path.clone(),
            record: Record { seed, ..drawn.clone() },
            there: false,
        });
        let mut run = Run::new(self.wanted, jobs.collect())?;
        self.first.tell(self.seeds[0]);
        for (index, &seed) in self.seeds.iter().enumerate() {
            run.draw(index, |progress| draw(seed, progress))?;
        }
        run.finish()
    }
}

const HEADING: &str = "Diffusion (defaults are the model's own; Karlo's are in brackets)";

/// What takes a picture's steps, and how many it may take.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub struct PresetArgs {
    /// How fast to draw
    #[arg(long, value_name = "PRESET", value_parser = presets())]
    pub preset: Option<Preset>,
    /// What takes the steps
    #[arg(long, value_name = "SOLVER", value_parser = solvers())]
    pub solver: Option<Solver>,
}

impl PresetArgs {
    /// The settings, changed where the user wished so; `makers` are those that the model's makers draw with.
    pub fn over(&self, settings: Settings, makers: &Settings) -> Settings {
        let settings = match self.preset {
            Some(preset) => preset.over(settings, makers),
            None => settings,
        };
        Settings { solver: self.solver.unwrap_or(settings.solver), ..settings }
    }
}

/// One of the presets, by its name.
pub fn presets() -> impl TypedValueParser<Value = Preset> {
    named(Preset::ALL.map(|preset| (preset.name(), preset)))
}

fn solvers() -> impl TypedValueParser<Value = Solver> {
    named(Solver::ALL.map(|solver| (solver.name(), solver)))
}

/// One of some values, by its name.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |text| {
        let found = values.iter().find(|(name, _)| *name == text);
        found.expect("one of the names").1
    })
}

/// What a user may wish of the prior, otherwise than the model's makers.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub struct PriorWishes {
    /// Steps that draw the image embedding [25]
    #[arg(long, value_name = "N", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    pub prior_steps: Option<usize>,
    /// Embeddings to draw; the closest to the caption is kept [1]
    #[arg(long, value_name = "N", value_parser = value_parsers::candidates, allow_negative_numbers = true)]
    pub prior_candidates: Option<usize>,
    /// How strongly the caption pulls the embedding [4]
    #[arg(long, value_name = "X", value_parser = value_parsers::scale, allow_hyphen_values = true)]
    pub prior_guidance_scale: Option<f64>,
    /// Temperature of the autoregressive prior's codes [1]
    #[arg(long, value_name = "X", value_parser = value_parsers::temperature, allow_hyphen_values = true)]
    pub prior_temperature: Option<f64>,
    /// Share of the likeliest codes that is drawn from [1]
    #[arg(long, value_name = "X", value_parser = value_parsers::top_p, allow_hyphen_values = true)]
    pub prior_top_p: Option<f64>,
}

impl PriorWishes {
    /// The settings, changed where the user wished so. An error for a wish that is the other prior's.
    pub fn over(&self, defaults: Settings) -> Result<Settings> {
        let by_codes = defaults.prior_codes.is_some();
        let others = match by_codes {
            true => [("--prior-steps", self.prior_steps.is_some()), ("", false)],
            false => [
                ("--prior-temperature", self.prior_temperature.is_some()),
                ("--prior-top-p", self.prior_top_p.is_some()),
            ],
        };
        let (draws, has) = match by_codes {
            true => ("autoregressive", "no steps: it draws code by code"),
            false => ("diffusion", "no codes: --prior autoregressive has"),
        };
        if let Some((flag, _)) = others.into_iter().find(|(_, given)| *given) {
            bail!("{flag}: the {draws} prior draws, which has {has}");
        }
        let prior_codes = defaults.prior_codes.map(|codes| CodeSampling {
            temperature: self.prior_temperature.unwrap_or(codes.temperature),
            top_p: self.prior_top_p.unwrap_or(codes.top_p),
            ..codes
        });
        Ok(Settings {
            prior_codes,
            prior_steps: self.prior_steps.unwrap_or(defaults.prior_steps),
            prior_candidates: self.prior_candidates.unwrap_or(defaults.prior_candidates),
            prior_guidance_scale: self
                .prior_guidance_scale
                .unwrap_or(defaults.prior_guidance_scale),
            ..defaults
        })
    }
}

/// Among how many small pictures one is chosen.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub struct ChoiceArgs {
    /// Small pictures to draw; CLIP's closest is enlarged [1]
    #[arg(long, value_name = "N", value_parser = value_parsers::candidates, allow_negative_numbers = true)]
    pub candidates: Option<usize>,
}

impl ChoiceArgs {
    /// The settings, changed where the user wished so.
    pub fn over(&self, defaults: Settings) -> Settings {
        Settings { candidates: self.candidates.unwrap_or(defaults.candidates), ..defaults }
    }
}

/// What a user may wish of the decoder and the upsampler, otherwise than the model's makers.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub struct DecoderWishes {
    /// Steps that draw the small picture [25]
    #[arg(long, value_name = "N", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    pub decoder_steps: Option<usize>,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    pub upsampler_steps: Option<usize>,
    /// How strongly the caption and the embedding pull the picture [8]
    #[arg(long, value_name = "X", value_parser = value_parsers::scale, allow_hyphen_values = true)]
    pub decoder_guidance_scale: Option<f64>,
    /// Guide the decoder from A to B; 0 is the picture, 1 noise [0,1]
    #[arg(long, value_name = "A,B", value_parser = value_parsers::interval, allow_hyphen_values = true)]
    pub guidance_interval: Option<[f64; 2]>,
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
            guidance_interval: self.guidance_interval.or(defaults.guidance_interval),
            ..defaults
        }
    }
}
