//! The flags of commands that write images: how many, from which seeds, and where they go.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use images::RgbImage;
use pipeline::{Observer, Pipeline, Record};

use crate::destinations::Files;
use crate::messages::say;
use crate::names::Names;
use crate::origins::in_flag;
use crate::run::{Job, Run};
use crate::value_parsers;

/// The seed.
#[derive(Args, Clone, Copy)]
pub(crate) struct SeedArgs {
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
    fn say(self, seed: u64) {
        if self.seed.is_none() {
            say!("the seed is {seed}");
        }
    }

    /// The seed, which is said where none was given.
    pub(crate) fn resolve(self) -> u64 {
        let seed = self.value();
        self.say(seed);
        seed
    }
}

/// How thoroughly a picture is inverted.
#[derive(Args)]
pub(crate) struct InversionArgs {
    /// How often the decoder is asked to invert a picture
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    calls: usize,
}

impl InversionArgs {
    /// How often the decoder is asked; refuses what this model cannot do.
    #[cfg(feature = "lab")]
    pub(crate) fn calls(&self, pipeline: &Pipeline) -> Result<usize> {
        self.steps(pipeline)?;
        Ok(self.calls)
    }

    /// The steps that so many calls are enough for; refuses what this model cannot do.
    pub(crate) fn steps(&self, pipeline: &Pipeline) -> Result<usize> {
        pipeline.steps_of_calls(self.calls).map_err(in_flag)
    }
}

/// Which pictures are drawn.
#[derive(Args)]
pub(crate) struct ImageArgs {
    /// How many pictures to draw; picture i has seed S + i
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = value_parsers::images, allow_negative_numbers = true)]
    pub num_images: u64,
    /// Pictures to draw at a time [default: 1; on a GPU, what fits]
    #[arg(long, value_name = "N", value_parser = value_parsers::batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,
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

impl ImageArgs {
    /// The pictures' seeds and files, none of which is one of the `inputs`; `name` begins the files' names where the user
    /// gave none.
    pub(crate) fn plan(&self, name: &str, inputs: &[&Path]) -> Result<Plan<'_>> {
        self.plan_again(name, inputs, None)
    }

    /// The same, from this seed on where the user gave none.
    pub(crate) fn plan_again(
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
        Ok(Plan { args: self, first, seeds, paths })
    }
}

/// The seeds of `count` pictures: one after another from the first, which `place` says.
pub(crate) fn seeds(place: &str, first: u64, count: u64) -> Result<Vec<u64>> {
    (0..count).map(|i| first.checked_add(i)).collect::<Option<_>>().with_context(|| {
        format!("{place} {first}: the seeds of {count} pictures go beyond {}", u64::MAX)
    })
}

/// Images that are going to be sampled.
pub(crate) struct Plan<'a> {
    args: &'a ImageArgs,
    first: SeedArgs,
    seeds: Vec<u64>,
    paths: Vec<PathBuf>,
}

impl Plan<'_> {
    /// The first image's file.
    pub(crate) fn first_path(&self) -> &Path {
        &self.paths[0]
    }

    /// The first image's seed.
    pub(crate) fn first_seed(&self) -> u64 {
        self.seeds[0]
    }

    /// Samples each image from its seed, a batch of seeds at a time, writes it and prints its path. `record` is the images'
    /// record, but for their seeds.
    pub(crate) fn draw(
        &self,
        record: &Record,
        mut sample: impl FnMut(&[u64], &mut dyn Observer) -> Result<Vec<RgbImage>>,
    ) -> Result<()> {
        let jobs = self.seeds.iter().zip(&self.paths).map(|(&seed, path)| Job {
            path: path.clone(),
            record: Record { seed, ..record.clone() },
            there: false,
        });
        let mut run = Run::new(self.args, jobs.collect())?;
        self.first.say(self.seeds[0]);
        run.draw(|_, batch, observer| {
            let seeds: Vec<u64> = batch.iter().map(|&index| self.seeds[index]).collect();
            sample(&seeds, observer)
        })?;
        run.finish()
    }
}
