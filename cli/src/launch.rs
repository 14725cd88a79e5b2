//! The place of this process among those that a launcher started.

use anyhow::{Context, Result};
use launcher::Launch;

use crate::messages::say;

/// This process's place among others; none where it is alone.
pub(crate) fn launch() -> Result<Option<Launch>> {
    Launch::from_environment().context("the launcher's variables")
}

/// The items that are this process's, dealt out in turn, where a launcher started several.
pub(crate) fn own_part<T>(items: Vec<T>, things: &str) -> Result<Vec<T>> {
    let Some(launch) = launch()? else {
        return Ok(items);
    };
    let all = items.len();
    let own = items.into_iter().enumerate().filter(|(n, _)| launch.owns(*n));
    let own: Vec<T> = own.map(|(_, item)| item).collect();
    say!("rank {} of {}: {} of {all} {things} are its own", launch.rank, launch.world, own.len());
    Ok(own)
}
