//! The commands of a binary that was built without its feature `lab`: they say how to build one that has them.

use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::Args;

/// A command that is not in this binary, whatever its arguments are.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Absent {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl Absent {
    /// Refuses.
    pub(crate) fn run(self) -> Result<()> {
        drop(self.arguments);
        absent("this command")
    }
}

/// Refuses what needs the feature.
pub(crate) fn absent(what: &str) -> Result<()> {
    bail!(
        "this binary was built without training and evaluation, and {what} needs them: `cargo build --release` in unclip's \
         folder builds one with them, as bin/unclip does by itself"
    )
}

/// Each command's module with the name that it has with the feature.
macro_rules! absent_commands {
    ($($module:ident: $command:ident),*) => {
        $(pub(crate) mod $module {
            pub(crate) use super::Absent as $command;
        })*
    };
}

absent_commands!(
    bench: Bench,
    evaluate: Evaluate,
    judge: JudgeCommand,
    scenes: Scenes,
    train: Train
);
