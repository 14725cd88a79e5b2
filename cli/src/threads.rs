//! How many threads compute.

use std::path::Path;

use pipeline::threads::available;

use crate::messages::say;

/// The most threads that are asked for: more than any machine has processors.
const MOST: u16 = 1024;

/// Reads a number of threads.
pub fn parse(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(threads) if (1..=MOST).contains(&threads) => Ok(threads),
        _ => Err(format!("threads are a whole number from 1 to {MOST}")),
    }
}

/// Has as many threads compute as were asked for. Unasked, libtorch takes as many as there are processors, or as
/// OMP_NUM_THREADS says; of these no more than this process may keep busy.
pub fn set(asked: Option<u16>) {
    let usual = tch::get_num_threads();
    let threads = match asked {
        Some(threads) => threads.into(),
        None if said_by_openmp().is_some() => usual,
        None => usual.min(available(Path::new("/")) as i32),
    };
    if threads != usual {
        tch::set_num_threads(threads);
    }
}

/// Says that OMP_NUM_THREADS leaves processors idle, before a CPU begins to compute: whoever set it (torchrun sets 1, and so
/// do many clusters) may not know.
pub fn warn_of_idle_processors(on_cpu: bool) {
    let (threads, available) = (tch::get_num_threads(), available(Path::new("/")));
    let Some(said) = said_by_openmp().filter(|&said| said == threads) else {
        return;
    };
    if on_cpu && said == 1 && available > 1 {
        say!(
            "OMP_NUM_THREADS is 1 (torchrun sets it): 1 of {available} processors computes, --threads {available} takes all"
        );
    }
}

fn said_by_openmp() -> Option<i32> {
    let said = std::env::var("OMP_NUM_THREADS").ok()?;
    // A list gives a number for each level of threads within threads.
    said.split(',').next()?.trim().parse().ok()
}
