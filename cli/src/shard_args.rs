//! The flags of `unclip embed --data`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::value_parsers;

/// The flags that say what is embedded and where it goes.
#[derive(Args)]
pub(crate) struct ShardArgs {
    /// Instead of files: what unclip train --data takes, once or more often
    #[arg(
        long,
        value_name = "DATA",
        requires = "shards",
        conflicts_with_all = ["inputs", "out", "sample", "force"],
        help_heading = "Data sets"
    )]
    pub data: Vec<OsString>,
    /// The folder of the shards: new, empty, or one that the same command began
    #[arg(long, value_name = "DIR", requires = "data", help_heading = "Data sets")]
    pub shards: Option<PathBuf>,
    /// How many scenes of --data scenes
    #[arg(long, value_name = "N", requires = "data", value_parser = value_parsers::scenes, allow_negative_numbers = true,
        help_heading = "Data sets")]
    pub count: Option<u64>,
    /// Pictures a shard
    #[arg(long, value_name = "N", requires = "data", default_value = "10000", value_parser = value_parsers::count,
        allow_negative_numbers = true, help_heading = "Data sets")]
    pub shard_size: u64,
}
