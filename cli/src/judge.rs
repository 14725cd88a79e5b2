//! `unclip judge`: validation of the judge of `unclip evaluate`, and the training of another one.

use std::path::PathBuf;

use ::judge::{Judge, JudgeRecipe, Subject, train, validate};
use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::destinations::{Files, check_room};
use crate::interrupt;
use crate::messages::say;
use crate::stdout::print_line;
use crate::training_progress::TrainingProgress;
use crate::value_parsers;

/// Test scenes that no decision about the shipped judge was taken on begin here.
const FIRST_SCENE: u64 = 200_000;

/// The subject of a judge.
#[derive(Clone, Copy, ValueEnum)]
enum SubjectArg {
    /// The largest thing, and what is around it
    Scene,
    /// Two things
    Pair,
    /// A place with up to two everyday things
    World,
}

/// Arguments of `unclip judge`.
#[derive(Args)]
pub(crate) struct JudgeCommand {
    /// Which judge: of one thing and what is around it, of two things, or of everyday things
    #[arg(long, value_enum, value_name = "SUBJECT", default_value = "scene")]
    of: SubjectArg,
    /// Train a judge into this file, half an hour of one core or, of everyday things, of two and longer, and test it instead of the
    /// shipped one. A signal saves a checkpoint, from which the same command goes on
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// The folder of the training's checkpoint and log
    #[arg(long, value_name = "DIR", default_value = "runs/judge")]
    runs: PathBuf,
    /// Scenes to test it on, undamaged, and as many damaged ones
    #[arg(long, value_name = "N", default_value = "2000", value_parser = value_parsers::scenes, allow_negative_numbers = true)]
    count: u64,
}

impl JudgeCommand {
    /// Trains where that is asked for, validates, and prints the table on standard output.
    pub(crate) fn run(&self) -> Result<()> {
        let subject = match self.of {
            SubjectArg::Scene => Subject::Scene,
            SubjectArg::Pair => Subject::Pair,
            SubjectArg::World => Subject::World,
        };
        let judge = match &self.train {
            None => Judge::shipped(subject)?,
            Some(out) => {
                Files::new(&[]).add("--train", out, false)?;
                check_room("--runs", &self.runs)?;
                // The first signal waits for the step that is being taken, and for its checkpoint.
                interrupt::defer();
                let progress = &mut TrainingProgress::new(true);
                if !train(&JudgeRecipe::of(subject), subject, &self.runs, out, progress)? {
                    let runs = self.runs.display();
                    say!("stopped: the same command goes on from the checkpoint in {runs}");
                    return Ok(());
                }
                interrupt::end_deferral();
                Judge::open(out, subject)?
            }
        };
        let validation = validate(&judge, FIRST_SCENE, self.count);
        print_line!("{}", validation.to_markdown())
    }
}
