//! Processes that train together. Each rank is this binary again, which runs the one scenario that its environment names.

mod failures;
mod gathers;
mod numbers;
pub(crate) mod ranks;
mod rounds;

use ranks::Scenario;

use crate::training::processes;

/// The name of each scenario, and what a rank does in it.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("numbers", numbers::collectives),
    ("gather", gathers::gather),
    ("sum", rounds::sum),
    ("wait", rounds::wait),
    ("loop", failures::reduce_for_ever),
    ("sleeper", failures::sleeper),
    ("backward", failures::backward),
    ("train", processes::rank),
    ("first step", processes::first_step),
    ("shards", processes::shards),
    ("uneven", processes::uneven),
];

/// A rank, where the environment says that this is one; else nothing.
#[test]
fn rank_main() {
    ranks::run(SCENARIOS);
}
