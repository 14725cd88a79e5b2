//! Rounds: the keys of a store that outlives its groups.
//!
//! An elastic launcher's agent keeps its store when it starts all ranks again, and the addresses of dead processes stay in it.
//! So the ranks of a round agree on a prefix that no earlier round had, by a handshake that a stale key cannot take part in:
//! rank 0 draws a number R and writes it to `round`; every other rank writes a number of its own to `ack/R/<rank>`; once all
//! are there rank 0 writes them to `go/R`. A rank goes on when `go/R` has its own number, which only a rank 0 that read this
//! very acknowledgement can have written. Until then it looks at `round` again, for it may have read an old one.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::shim::Store;

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(20);

/// The reason why there is no round.
pub(crate) enum NoRound {
    /// The ranks that did not come in time, as far as this one knows.
    Absent(Vec<usize>),
    Store(String),
}

impl From<String> for NoRound {
    fn from(reason: String) -> Self {
        Self::Store(reason)
    }
}

/// Agrees with all other ranks on a prefix, until `deadline`.
pub(crate) fn agree(
    store: &Store,
    rank: usize,
    world: usize,
    deadline: Instant,
) -> Result<String, NoRound> {
    match rank {
        0 => lead(store, world, deadline),
        _ => follow(store, (rank, world), deadline),
    }
}

fn lead(store: &Store, world: usize, deadline: Instant) -> Result<String, NoRound> {
    let round = nonce();
    store.set("round", &round)?;
    let mut acknowledgements = Vec::new();
    for rank in 1..world {
        let key = format!("ack/{round}/{rank}");
        let acknowledgement = loop {
            if let Some(value) = store.get(&key)? {
                break value;
            }
            if Instant::now() > deadline {
                return give_up(store, &round, world);
            }
            thread::sleep(PERIOD);
        };
        acknowledgements.push(acknowledgement);
    }
    store.set(&format!("go/{round}"), &acknowledgements.join(" "))?;
    Ok(round)
}

/// Tells the others who did not come, and stays until they have read it: rank 0 may host the store.
fn give_up(store: &Store, round: &str, world: usize) -> Result<String, NoRound> {
    let absent = silent(store, round, world)?;
    let list: Vec<String> = absent.iter().map(usize::to_string).collect();
    store.set(&format!("stop/{round}"), &list.join(" "))?;
    thread::sleep(PERIOD * 25);
    Err(NoRound::Absent(absent))
}

/// The ranks after 0 that did not acknowledge a round.
fn silent(store: &Store, round: &str, world: usize) -> Result<Vec<usize>, String> {
    let mut silent = Vec::new();
    for rank in 1..world {
        if store.get(&format!("ack/{round}/{rank}"))?.is_none() {
            silent.push(rank);
        }
    }
    Ok(silent)
}

fn follow(
    store: &Store,
    (rank, world): (usize, usize),
    deadline: Instant,
) -> Result<String, NoRound> {
    let mine = nonce();
    let mut acknowledged = String::new();
    loop {
        let mut has_begun = false;
        if let Some(round) = store.get("round")? {
            if round != acknowledged {
                store.set(&format!("ack/{round}/{rank}"), &mine)?;
                acknowledged.clone_from(&round);
            }
            let go = store.get(&format!("go/{round}"))?;
            has_begun = go.is_some();
            if go.unwrap_or_default().split(' ').any(|number| number == mine) {
                return Ok(round);
            }
            if let Some(absent) = store.get(&format!("stop/{round}"))? {
                let absent: Vec<usize> =
                    absent.split(' ').filter_map(|rank| rank.parse().ok()).collect();
                // A round that this rank came too late for is an old one.
                if !absent.is_empty() && !absent.contains(&rank) {
                    return Err(NoRound::Absent(absent));
                }
            }
        }
        if Instant::now() > deadline {
            // A round that began without this rank is an old one: there is no rank 0 to begin another.
            let absent = match acknowledged.is_empty() || has_begun {
                true => Vec::new(),
                false => silent(store, &acknowledged, world)?,
            };
            return Err(NoRound::Absent(if absent.is_empty() { vec![0] } else { absent }));
        }
        thread::sleep(PERIOD);
    }
}

/// A number that no other process has drawn.
fn nonce() -> String {
    let mut hasher = RandomState::new().build_hasher();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    hasher.write_u128(since.as_nanos());
    hasher.write_u32(std::process::id());
    let first = hasher.finish();
    hasher.write_u8(1);
    format!("{first:016x}{:016x}", hasher.finish())
}
