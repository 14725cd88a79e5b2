//! The command `unclip`.
//!
//! Arguments become validated settings, and settings an action: each subcommand is a module with its flags and a
//! `run`. What a user does wrong ends in one sentence on standard error and exit code 2.

#[cfg(not(all(feature = "lab", feature = "server")))]
mod absent;
mod again;
#[cfg(feature = "lab")]
mod bench;
#[cfg(feature = "lab")]
mod calibrate;
#[cfg(feature = "lab")]
mod claims;
mod classify;
mod completions;
mod convert;
mod destinations;
mod device;
mod download_progress;
mod drawing;
mod edit;
mod embedding;
#[cfg(feature = "lab")]
mod embedding_shards;
mod error_flags;
#[cfg(feature = "lab")]
mod evaluate;
mod frames;
mod generate;
#[cfg(feature = "lab")]
mod group_args;
mod image_index;
mod info;
mod inpaint;
mod input;
mod interpolate;
mod interrupt;
mod invert;
#[cfg(feature = "lab")]
mod judge;
mod kernel_cache;
mod launch;
mod malloc;
mod mask_args;
mod mask_record;
mod messages;
mod mix;
mod model;
mod models;
mod names;
mod origins;
mod output;
mod path_json;
mod preview;
mod progress;
mod prompts;
mod pull;
mod reconstruct;
mod record;
mod run;
#[cfg(feature = "lab")]
mod scenes;
mod search;
#[cfg(feature = "server")]
mod serve;
mod settings_args;
mod shard_args;
mod simd;
mod stdout;
mod threads;
#[cfg(feature = "lab")]
mod train;
#[cfg(feature = "lab")]
mod training_progress;
mod value_parsers;
mod variations;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod wait_policy;

use std::io::{IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

use anyhow::Result;
use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use files::text::excerpt;
use kernels::OutOfMemory;
use tracing_subscriber::EnvFilter;

#[cfg(not(feature = "server"))]
use crate::absent::serve;
#[cfg(not(feature = "lab"))]
use crate::absent::{bench, calibrate, evaluate, judge, scenes, train};
use crate::messages::{Log, complain, complaint, not_utf8, say, sentence};

/// The exit code of a command that did what it should.
const SUCCESS: u8 = 0;

/// The exit code after a mistake of the user's.
const MISTAKE: u8 = 2;

/// The exit code after a mistake of our own.
const DEFECT: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  unclip generate \"a small red boat on a calm sea\"
  unclip generate --seed 7 -n 4 --out 'boat-{index}.png' \"a red boat\"
  unclip generate --model kakaobrain/karlo-v1-alpha --device cuda \"a corgi in a field of flowers\"";

/// Draws pictures from captions: unCLIP, the architecture of DALL-E 2.
#[derive(Parser)]
#[command(name = "unclip", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads that compute [default: one a processor]
    #[arg(long, global = true, value_name = "N", value_parser = threads::parse, allow_negative_numbers = true, help_heading = "Model")]
    threads: Option<u16>,
}

#[derive(Subcommand)]
enum Command {
    /// Draw pictures from a caption
    #[command(after_help = [generate::PROMPTS, EXAMPLES].concat())]
    Generate(generate::Generate),
    /// Draw pictures like a picture
    Variations(variations::Variations),
    /// Draw the way from one picture or caption to another
    Interpolate(interpolate::Interpolate),
    /// Draw pictures of several pictures and captions at once
    #[command(after_help = mix::EXAMPLES)]
    // Its own weights are those of its inputs.
    #[command(mut_arg("weight_dtype", |arg| arg.long("weight-dtype")))]
    Mix(mix::Mix),
    /// Change a picture by the difference of two captions
    Edit(edit::Edit),
    /// Paint a part of a picture anew
    #[command(after_help = inpaint::EXAMPLES)]
    Inpaint(inpaint::Inpaint),
    /// Draw what the first principal components of a picture's embedding say
    Reconstruct(reconstruct::Reconstruct),
    /// Save the CLIP embeddings of pictures and captions
    Embed(embedding::Embed),
    /// Tell which of some labels pictures show
    #[command(after_help = classify::EXAMPLES)]
    Classify(classify::Classify),
    /// Find the pictures in a folder that a caption or a picture is closest to
    #[command(after_help = search::EXAMPLES)]
    Search(search::Search),
    /// Find the embedding and the noise that decode to a picture
    Invert(invert::Invert),
    /// Draw a picture from what invert found
    Decode(invert::Decode),
    /// Tell how a picture was drawn, what a model is, or what this machine computes with
    Info(info::Info),
    /// Write a model as safetensors, in the layout that unclip writes
    Convert(convert::Convert),
    /// Serve models over HTTP, with a page
    #[cfg_attr(feature = "server", command(after_help = serve::EXAMPLES))]
    Serve(serve::Serve),
    /// List the models in the Hugging Face Hub's cache and those known to work
    Models(models::Models),
    /// Download a model from the Hugging Face Hub
    #[command(after_help = pull::EXAMPLES)]
    Pull(pull::Pull),
    /// Export the pictures and captions that the project's own model learns from
    Scenes(scenes::Scenes),
    /// Train the models of one folder, all or one of them
    Train(train::Train),
    /// Measure how far off a model's prior is at each timestep, for --solver analytic
    Calibrate(calibrate::Calibrate),
    /// Measure what drawing takes, stage by stage
    Bench(bench::Bench),
    /// Count how often pictures show what their captions say
    Evaluate(evaluate::Evaluate),
    /// Test the judge that evaluate asks, or train another
    Judge(judge::JudgeCommand),
    /// Print what a shell needs to complete unclip's commands and flags
    Completions(completions::Completions),
}

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Self::Generate(generate) => generate.run(),
            Self::Variations(variations) => variations.run(),
            Self::Interpolate(interpolate) => interpolate.run(),
            Self::Mix(mix) => mix.run(),
            Self::Edit(edit) => edit.run(),
            Self::Inpaint(inpaint) => inpaint.run(),
            Self::Reconstruct(reconstruct) => reconstruct.run(),
            Self::Embed(embed) => embed.run(),
            Self::Classify(classify) => classify.run(),
            Self::Search(search) => search.run(),
            Self::Invert(invert) => invert.run(),
            Self::Decode(decode) => decode.run(),
            Self::Info(info) => info.run(),
            Self::Convert(convert) => convert.run(),
            Self::Serve(serve) => serve.run(),
            Self::Models(models) => models.run(),
            Self::Pull(pull) => pull.run(),
            Self::Scenes(scenes) => scenes.run(),
            Self::Train(train) => train.run(),
            Self::Calibrate(calibrate) => calibrate.run(),
            Self::Bench(bench) => bench.run(),
            Self::Evaluate(evaluate) => evaluate.run(),
            Self::Judge(judge) => judge.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}

fn main() -> ! {
    let code = run();
    let _ = std::io::stdout().flush();
    // Files are whole by now, and libtorch would take a third of its start's time again to take itself apart.
    signal_hook::low_level::exit(code.into())
}

/// Does what the command line says, and gives the exit code.
fn run() -> u8 {
    malloc::keep_freed_pages();
    interrupt::install();
    log_to_standard_error();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    if let Err(reason) = threads::set(cli.threads).and_then(|()| simd::set()) {
        complain(&reason);
        return MISTAKE;
    }
    let defect = keep_panic_messages();
    let ended = panic::catch_unwind(AssertUnwindSafe(|| cli.command.run()));
    kernel_cache::save();
    match ended {
        Ok(Ok(())) => SUCCESS,
        Ok(Err(error)) => {
            complain(&sentence(&error));
            let stopped = error.downcast_ref::<interrupt::Interruption>();
            let stopped = stopped.map(interrupt::Interruption::exit_code);
            stopped.or_else(|| download_progress::exit_code(&error)).unwrap_or(MISTAKE)
        }
        Err(_) => {
            let message = defect.lock().map(|message| message.clone());
            explain_panic(&message.unwrap_or_default())
        }
    }
}

/// Reads the command line; of `serve` each flag that is not there is read from its variable, which containers set.
fn parse() -> Result<Cli, clap::Error> {
    let command = Cli::command().mut_subcommand("serve", |serve| {
        serve.mut_args(|arg| match arg.get_long().filter(|_| arg.get_env().is_none()) {
            Some(long) => {
                let variable = format!("UNCLIP_{}", long.to_uppercase().replace('-', "_"));
                let arg = arg.env(&*variable.leak()).hide_env(true);
                match arg.get_action() {
                    ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
                    _ => arg,
                }
            }
            None => arg,
        })
    });
    Cli::from_arg_matches(&command.try_get_matches()?)
}

/// Explains a panic: too little memory, which libtorch's bindings panic of, or a mistake of our own.
fn explain_panic(message: &str) -> u8 {
    match OutOfMemory::from_message(message) {
        Some(failure) => {
            complain(&format!("{failure}; smaller batches or pictures take less"));
            MISTAKE
        }
        None => {
            complain(&format!("this is a defect of unclip, please report it: {message}"));
            DEFECT
        }
    }
}

/// Prints what clap has instead of a command: help, the version, or an error.
fn explain(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::InvalidUtf8 => {
            complain(&not_utf8());
            return MISTAKE;
        }
        // Help and the version are no errors.
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {}
        _ => {
            complain(&complaint(error));
            return MISTAKE;
        }
    }
    match error.print() {
        _ if error.use_stderr() => MISTAKE,
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"));
            MISTAKE
        }
        _ => SUCCESS,
    }
}

/// Shows what libraries log through `tracing`: the levels that `UNCLIP_LOG` names, warnings by default.
fn log_to_standard_error() {
    let said = std::env::var("UNCLIP_LOG").unwrap_or_default();
    let filter = match &*said {
        "" => Ok(EnvFilter::new("warn")),
        said => EnvFilter::try_new(said),
    };
    let filter = filter.unwrap_or_else(|_| {
        let said = excerpt(&said);
        say!("warning: UNCLIP_LOG is {said}: a level is wanted, as debug, and warnings are shown");
        EnvFilter::new("warn")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| Log)
        .log_internal_errors(false)
        .init();
}

/// Keeps the first line of a panic's message, which would otherwise go to standard error with a backtrace.
fn keep_panic_messages() -> &'static Mutex<String> {
    static MESSAGE: Mutex<String> = Mutex::new(String::new());
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        // Of libtorch's errors, printed with escapes, the first line alone says something to a reader.
        let message = message.unwrap_or("no message").replace("\\n", "\n");
        let message = message.lines().next().unwrap_or_default();
        let place = panic
            .location()
            .map(|place| format!(" ({}:{})", place.file(), place.line()))
            .unwrap_or_default();
        if let Ok(mut last) = MESSAGE.lock() {
            *last = format!("{message}{place}");
        }
    }));
    &MESSAGE
}
