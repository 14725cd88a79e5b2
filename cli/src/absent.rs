//! Commands that are not in this binary, which was built without one of the features `lab` and `server`: they say how to build one
//! that has them.

use std::ffi::OsString;

#[cfg(not(feature = "lab"))]
use anyhow::{Result, bail};
use clap::Args;

/// Arguments, whatever they are.
#[derive(Args)]
struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _all: Vec<OsString>,
}

/// A command of the lab's.
#[cfg(not(feature = "lab"))]
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Absent {
    #[command(flatten)]
    _arguments: Arguments,
}

#[cfg(not(feature = "lab"))]
impl Absent {
    /// Refuses.
    pub(crate) fn run(self) -> Result<()> {
        absent("this command")
    }
}

/// Refuses what needs training and evaluation.
#[cfg(not(feature = "lab"))]
pub(crate) fn absent(what: &str) -> Result<()> {
    bail!(
        "this binary was built without training and evaluation, and {what} needs them: `cargo build --release` in unclip's \
         folder builds one with them, as bin/unclip does by itself"
    )
}

/// Each command's module with the name that it has with the feature `lab`.
#[cfg(not(feature = "lab"))]
macro_rules! absent_commands {
    ($($module:ident: $command:ident),*) => {
        $(pub(crate) mod $module {
            pub(crate) use super::Absent as $command;
        })*
    };
}

#[cfg(not(feature = "lab"))]
absent_commands!(
    bench: Bench,
    calibrate: Calibrate,
    evaluate: Evaluate,
    judge: JudgeCommand,
    scenes: Scenes,
    train: Train
);

/// `unclip serve` without the feature `server`.
#[cfg(not(feature = "server"))]
pub(crate) mod serve {
    use anyhow::{Result, bail};
    use clap::Args;

    use super::Arguments;

    #[derive(Args)]
    #[command(disable_help_flag = true)]
    pub(crate) struct Serve {
        #[command(flatten)]
        _arguments: Arguments,
    }

    impl Serve {
        pub(crate) fn run(self) -> Result<()> {
            bail!(
                "this binary was built without the server: `cargo build --release` in unclip's folder builds one with it, as \
                 bin/unclip does by itself"
            )
        }
    }
}
