//! The flags of processes that train together.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use collectives::{Group, JoinOptions};
use launcher::Launch;
use tch::Device;

use crate::value_parsers;

/// The flags.
#[derive(Args, Debug)]
#[command(next_help_heading = "Processes")]
pub(crate) struct GroupArgs {
    /// Keep only a part of the optimiser's state in each process (ZeRO-1): less memory, more to send
    #[arg(long)]
    pub(crate) shard_optimizer: bool,
    /// How long a process may keep the others waiting, in seconds
    #[arg(long, value_name = "S", default_value = "1800", value_parser = value_parsers::seconds)]
    group_timeout: u64,
}

impl GroupArgs {
    /// The group of all processes that the launcher started, or of this one alone.
    pub(crate) fn join(&self, launch: Option<&Launch>, device: Device) -> Result<Group> {
        let Some(launch) = launch else {
            return Ok(Group::alone());
        };
        let timeout = Duration::from_secs(self.group_timeout);
        let join_timeout = timeout.min(JoinOptions::default().join_timeout);
        let options = JoinOptions { timeout, join_timeout, device, ..JoinOptions::default() };
        Group::join(launch, &options).context("joining the other processes")
    }
}
