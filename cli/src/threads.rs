//! How many threads compute.

use std::path::Path;
use std::sync::OnceLock;

use files::text::excerpt;
use pipeline::threads::available;

use crate::messages::say;

/// The most threads that are asked for: more than any machine has processors.
const MOST: u16 = 1024;

/// Reads a number of threads.
pub(crate) fn parse(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(threads) if (1..=MOST).contains(&threads) => Ok(threads),
        _ => Err(format!("threads are a whole number from 1 to {MOST}")),
    }
}

/// The processors of which OMP_NUM_THREADS has one compute, where it does and nobody said otherwise.
static IDLE_BESIDE_ONE: OnceLock<usize> = OnceLock::new();

/// Has as many threads compute as were asked for. Unasked, libtorch takes as many as there are processors, or as
/// OMP_NUM_THREADS says; of the former no more than this process may keep busy.
pub(crate) fn set(flag: Option<u16>) -> Result<(), String> {
    let asked = match flag {
        Some(threads) => Some(threads),
        None => said_by_us()?,
    };
    let (usual, available) = (tch::get_num_threads(), available(Path::new("/")));
    let threads = match (asked, said_by_openmp()) {
        (Some(threads), _) => threads.into(),
        (None, Some(said)) => {
            if said == 1 && available > 1 {
                IDLE_BESIDE_ONE.get_or_init(|| available);
            }
            usual
        }
        (None, None) => usual.min(available as i32),
    };
    if threads != usual {
        tch::set_num_threads(threads);
    }
    Ok(())
}

/// The number in UNCLIP_THREADS; none where it is empty.
fn said_by_us() -> Result<Option<u16>, String> {
    let said = std::env::var_os("UNCLIP_THREADS").unwrap_or_default();
    match said.to_string_lossy().trim() {
        "" => Ok(None),
        said => parse(said)
            .map(Some)
            .map_err(|reason| format!("UNCLIP_THREADS is {}: {reason}", excerpt(said))),
    }
}

/// Says that OMP_NUM_THREADS leaves processors idle, before a CPU begins to compute: whoever set it (torchrun sets 1, and so
/// do many clusters) may not know. `processes` share this machine.
pub(crate) fn warn_of_idle_processors(on_cpu: bool, processes: usize) {
    let Some(available) = IDLE_BESIDE_ONE.get().filter(|_| on_cpu) else {
        return;
    };
    match (processes, available / processes) {
        (_, 0 | 1) => {}
        (1, all) => say!(
            "OMP_NUM_THREADS is 1 (torchrun sets it): 1 of {all} processors computes, --threads {all} takes all"
        ),
        (_, each) => say!(
            "OMP_NUM_THREADS is 1 (torchrun sets it): {processes} of {available} processors compute, --threads {each} takes all"
        ),
    }
}

fn said_by_openmp() -> Option<i32> {
    let said = std::env::var("OMP_NUM_THREADS").ok()?;
    // A list gives a number for each level of threads within threads.
    said.split(',').next()?.trim().parse().ok()
}
